"""What the pages show is true: their programs run, their links lead somewhere, their paths exist.

The ``python`` blocks of one page are one program: they run in order, in one namespace, in a fresh
interpreter and an empty folder. A block of ``>>>`` lines is checked as a doctest. A page whose
program speaks of PostgreSQL has a database of its own, which libpq's ``PG*`` variables and
``DATABASE_URL`` name; its ``sql`` blocks run there, in their turn.

A comment on the line before a block says what else to do with it: ``<!-- file: shop/jobs.py -->``
writes it to that file, from where the blocks behind it can import it or run it as a process.
``<!-- not run: why -->`` leaves it out; that is for pseudo-code only, and for what a test cannot
have. A block inside of a comment is run like any other; readers do not see it.

Run as a program, this file runs the page that it is given.
"""

from __future__ import annotations

import doctest
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "gaffer_driver_*/*.md", "docs/**/*.md", "examples/**/*.md")
    for page in ROOT.glob(pattern)
    if "_build" not in page.parts
)
TIMEOUT = 120.0

FENCE = re.compile(r"^ *(?P<fence>`{3,}|~{3,}) *(?:\{code-block\} *)?(?P<language>[\w{}:.-]*)")
NOT_RUN = re.compile(r"^\s*<!-- not run: \S.* -->\s*$")
FILE = re.compile(r"^\s*<!-- file: (?P<path>[\w./-]+) -->\s*$")
LINK = re.compile(r"!?\[[^\]]*\]\(<?(?P<target>[^)\s>]+)>?(?: \"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6} +(?P<title>.+?) *#* *$", re.MULTILINE)
PYTHON = {"python", "py", "pycon"}
SQL = {"sql"}
POSTGRES = re.compile(r"postgres|DATABASE_URL", re.IGNORECASE)
SHELL = {"sh", "shell", "bash", "console"}


@dataclass(frozen=True)
class Block:
    """A fenced block; *line* is the number of its first line, from 1."""

    language: str
    line: int
    source: str
    run: bool
    file: str = ""


def blocks(text: str, before: int = 0) -> Iterator[Block]:
    """Find the fenced blocks of a text that *before* lines precede, those in directives too."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        start = number + 1
        if opening:
            rest = range(start, len(lines))
            end = next((n for n in rest if _closes(lines[n], opening["fence"])), len(lines))
            source = textwrap.dedent("\n".join(lines[start:end]) + "\n")
            above = lines[number - 1] if number else ""
            file = named["path"] if (named := FILE.match(above)) else ""
            run = not NOT_RUN.match(above)
            yield Block(opening["language"], before + start + 1, source, run, file)
            if opening["language"].startswith("{"):
                yield from blocks(source, before + start)
            start = end + 1
        number = start


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and set(stripped) == {fence[0]}


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    lines = text.splitlines()
    for block in blocks(text):
        for number in range(block.line - 1, block.line - 1 + block.source.count("\n")):
            lines[number] = ""
    return "\n".join(lines)


def programs(page: Path) -> list[Block]:
    """Return the blocks of a page that are to run."""
    found = blocks(page.read_text("utf-8"))
    return [b for b in found if b.run and (b.file or b.language in PYTHON | SQL)]


def wants_postgres(page: Path) -> bool:
    """Whether the program of a page speaks of PostgreSQL."""
    return any(b.language in SQL or POSTGRES.search(b.source) for b in programs(page))


def run_page(page: Path) -> None:
    """Run the blocks of a page, as the main module. A traceback shows the page's own lines."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    for block in programs(page):
        if block.file:
            file = Path(block.file)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.source, "utf-8")
        elif block.language in SQL:
            with psycopg.connect(autocommit=True) as connection:
                connection.execute(block.source.encode())
        elif block.source.lstrip().startswith(">>>"):
            _run_doctest(page, block, main.__dict__)
        else:
            code = "\n" * (block.line - 1) + block.source
            exec(compile(code, str(page), "exec", dont_inherit=True), main.__dict__)


def _run_doctest(page: Path, block: Block, namespace: dict[str, Any]) -> None:
    parser = doctest.DocTestParser()
    test = parser.get_doctest(block.source, namespace, page.name, str(page), block.line - 1)
    test.globs = namespace  # the parser made a copy; the next block shall see what this one made
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, clear_globs=False)
    if runner.failures:
        sys.exit(f"{runner.failures} examples of {page.name} differ")


def anchors(page: Path) -> set[str]:
    """Return what can follow a ``#`` in a link to a page."""
    text = prose(page.read_text("utf-8"))
    titles = [match["title"].lower() for match in HEADING.finditer(text)]
    slugs = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}
    return slugs | set(re.findall(r"^\(([\w-]+)\)=$", text, flags=re.MULTILINE))


def names_an_object(anchor: str) -> bool:
    """Whether an anchor is the dotted name of something that the reference describes."""
    if not anchor.startswith("gaffer."):
        return False
    try:
        pkgutil.resolve_name(anchor)
    except (ImportError, AttributeError):
        return False
    return True


def dead_links(page: Path, root: Path = ROOT) -> list[str]:
    """Return the relative links of a page that lead nowhere in *root*."""
    text = re.sub(r"`[^`\n]*`", "", prose(page.read_text("utf-8")))
    targets = [match["target"] for match in LINK.finditer(text)]
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in local if not _leads_somewhere(page, target, root)]


def _leads_somewhere(page: Path, target: str, root: Path) -> bool:
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.is_relative_to(root) or not file.exists():
        return False
    return not anchor or anchor in anchors(file) or names_an_object(anchor)


def command_paths(page: Path) -> Iterator[str]:
    """Find the paths that the pip and pytest commands of a page name."""
    for block in blocks(page.read_text("utf-8")):
        if block.run and block.language in SHELL:
            for command in re.split(r"&&|[;|]|(?<!\\)\n", block.source):
                yield from _paths(shlex.split(command.strip().removeprefix("$ "), comments=True))


def _paths(words: list[str]) -> Iterator[str]:
    if not {"pip", "pip3", "pytest"} & set(words):
        return
    for before, word in pairwise(["", *words]):
        path = re.sub(r"\[.*\]$", "", word.partition("::")[0])
        local = path.endswith(".py") or ("/" in path and "://" not in path)
        if before in ("-e", "-r") or (local and not path.startswith("-")):
            yield path


def name_of(page: Path) -> str:
    """Name a page in the output of the tests."""
    return page.relative_to(ROOT).as_posix()


def run_apart(
    page: Path, folder: Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a page in a fresh interpreter, in *folder*, with *settings* and none of others."""
    others = ("GAFFER_", "PYTEST", "PG", "DATABASE_URL", "DJANGO_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    return subprocess.run(
        [sys.executable, "-W", "error", __file__, str(page)],
        cwd=folder,
        env={**environment, **(settings or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def settings_for(conninfo: str) -> dict[str, str]:
    """Return libpq's variables for *conninfo*, and a URL that says the same."""
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.envvar
    }
    return {
        **{variables[name]: value for name, value in given.items() if name in variables},
        "DATABASE_URL": f"postgresql://?{urlencode(given, quote_via=quote)}",
    }


@pytest.fixture
def database(server: str) -> Iterator[dict[str, str]]:
    """Give settings that lead to a database of the test's own."""
    name = f"gaffer_docs_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
        yield settings_for(psycopg.conninfo.make_conninfo(server, dbname=name))
        admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


WITH_PROGRAMS = [page for page in PAGES if programs(page)]
ON_POSTGRES = [page for page in WITH_PROGRAMS if wants_postgres(page)]


@pytest.mark.parametrize("page", [p for p in WITH_PROGRAMS if p not in ON_POSTGRES], ids=name_of)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path) -> None:
    done = run_apart(page, tmp_path)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ON_POSTGRES, ids=name_of)
def test_the_programs_of_a_page_run_on_postgresql(
    page: Path, tmp_path: Path, database: dict[str, str]
) -> None:
    done = run_apart(page, tmp_path, database)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


# The commands in docs/ are for the reader's own project.
@pytest.mark.parametrize("page", [p for p in PAGES if "docs" not in p.parts], ids=name_of)
def test_the_paths_in_the_commands_of_a_page_exist(page: Path) -> None:
    places = {ROOT, page.parent}

    missing = [p for p in command_paths(page) if not any((place / p).exists() for place in places)]

    assert missing == []


def test_the_readme_shows_a_program() -> None:
    assert ROOT / "README.md" in WITH_PROGRAMS


def test_the_blocks_of_a_page_become_files_and_statements(
    tmp_path: Path, database: dict[str, str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- file: shop/tables.py -->\n```python\nNAME = 'orders'\n```\n"
        "```sql\nCREATE TABLE orders (id int); INSERT INTO orders VALUES (1)\n```\n"
        "<!-- unseen\n```python\nimport os, psycopg\nfrom shop.tables import NAME\n\n"
        "for conninfo in ('', os.environ['DATABASE_URL']):\n"
        "    with psycopg.connect(conninfo) as c:\n"
        "        print(c.execute(f'SELECT id + 1 FROM {NAME}').fetchall())\n```\n-->\n"
    )

    done = run_apart(page, tmp_path, database)

    assert (done.stdout, done.returncode) == ("[(2,)]\n[(2,)]\n", 0)


def test_a_program_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nn = 1\n```\n\n```python\n>>> n + 1\n3\n\n```\n")

    done = run_apart(page, tmp_path)

    assert done.returncode != 0
    assert "Expected:\n    3\nGot:\n    2" in done.stdout


def test_a_traceback_names_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n<!-- not run: it is no Python -->\n```python\n...?\n```\n\n"
        "````{note}\n```python\n1 / 0\n```\n````\n"
    )

    done = run_apart(page, tmp_path)

    assert f'"{page}", line 10, in <module>' in done.stdout


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Of a `page`\n\n[1](page.md#of-a-page) [2](gone.md) [3](#of) `[4](code.md)`\n\n"
        "```\n[5](block.md)\n```\n[6](api.md#gaffer.Job) [7](#gaffer.errors.GafferError)\n"
    )

    assert dead_links(page, tmp_path) == ["gone.md", "#of", "api.md#gaffer.Job"]


def test_the_paths_in_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\n$ pip install -e '.[dev]' \\\n  -e ./driver  # both\n. v/bin/activate && pytest -q "
        "tests/test_x.py::test_y --driver=memory\ncp a/b c/d\n```\n"
    )

    assert list(command_paths(page)) == [".", "./driver", "tests/test_x.py"]


if __name__ == "__main__":
    sys.path[0] = ""  # a page imports from its folder, not from the tests'
    run_page(Path(sys.argv[1]))
