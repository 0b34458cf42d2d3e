"""What must hold for the files of this repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from gaffer import conf, events

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = [ROOT, *sorted(path.parent for path in ROOT.glob("gaffer_driver_*/pyproject.toml"))]
MAX_LINES = 400
MAX_FUNCTION = 40

# Written so that no pattern matches itself.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work\b|root\b|home/|tmp/v\b|Users/)")
REGISTRY = re.compile(
    r"\b(?:pypi\W(?:org|io|python)|pythonhosted\W(?:org)|npmjs\W(?:org|com)|crates\W(?:io)"
    r"|rubygems\W(?:org)|hex\W(?:pm)|anaconda\W(?:org))\b"
)
LEFT_OPEN = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b")
SKIPS = {"skip", "skipif", "skipIf", "xfail", "importorskip", "SkipTest"}


def files() -> list[Path]:
    """Return the files of the repository: tracked, or about to be."""
    # The checkout may belong to somebody else, as in a container.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run(
        [*command, "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return sorted(path for path in paths if path.is_file())


FILES = files()
SHIPPED = [
    path
    for path in FILES
    if path.suffix == ".py" and path.relative_to(ROOT).parts[0].startswith("gaffer")
]
TESTS = [
    path
    for path in FILES
    if path.suffix == ".py" and {"tests", "testing"} & set(path.relative_to(ROOT).parts)
]


def found(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    """Return where *pattern* stands in *paths*, as ``file:line: text``."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text("utf-8"), str(path))


def too_long(tree: ast.Module, most: int = MAX_FUNCTION) -> Iterator[tuple[str, int]]:
    """Find the functions of more than *most* lines, their docstrings not counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _lines(node)
            if ast.get_docstring(node, clean=False) is not None:
                lines -= _lines(node.body[0])
            if lines > most:
                yield node.name, lines


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def skips(tree: ast.Module) -> Iterator[str]:
    """Find what makes a test not run, or not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in SKIPS:
            dotted = ast.unparse(node)
            if dotted.startswith(("pytest.", "unittest.")):
                yield dotted
        elif isinstance(node, ast.ImportFrom) and node.module in ("pytest", "unittest"):
            yield from (alias.name for alias in node.names if alias.name in SKIPS)


def project(distribution: Path) -> dict[str, Any]:
    """Return the table ``project`` of a distribution."""
    table = tomllib.loads((distribution / "pyproject.toml").read_text("utf-8"))["project"]
    assert isinstance(table, dict)
    return table


def name_of(path: Path) -> str:
    """Name a path in the output of the tests."""
    return path.relative_to(ROOT).as_posix()


def table(page: str, heading: str) -> dict[str, list[str]]:
    """Return the rows of the table under a heading of a reference page, by their first cell."""
    text = (ROOT / "docs" / "reference" / page).read_text("utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [
        re.split(r"\s*\|\s*", line.strip("| "))
        for line in section.splitlines()
        if line.startswith("| ")
    ]
    return {cells[0].strip("` "): cells for cells in rows[1:]}


def test_no_file_names_a_path_of_one_machine() -> None:
    assert found(MACHINE_PATH, FILES) == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    assert found(REGISTRY, FILES) == []


def test_no_work_is_left_open() -> None:
    assert found(LEFT_OPEN, FILES) == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda path: path.name)
def test_every_package_is_marked_as_typed(distribution: Path) -> None:
    sources = distribution if distribution == ROOT else distribution / "src"
    packages = [
        path.parent
        for path in sources.glob("gaffer*/__init__.py")
        if distribution != ROOT or path.parent.name == "gaffer"
    ]

    assert len(packages) == 1
    assert (packages[0] / "py.typed").is_file()


def test_the_versions_of_the_distributions_agree() -> None:
    versions = {project(path)["name"]: project(path)["version"] for path in DISTRIBUTIONS}

    assert len(set(versions.values())) == 1, versions


def test_the_distributions_accept_each_other() -> None:
    version = project(ROOT)["version"]
    needs = [need for path in DISTRIBUTIONS for need in _requirements(project(path))]
    own = [need for need in needs if need.name.startswith("gaffer")]

    assert {need.name for need in own} >= {"gaffer-queue", "gaffer-driver-memory"}
    assert [str(need) for need in own if version not in need.specifier] == []


def _requirements(project: dict[str, Any]) -> Iterator[Requirement]:
    extras = project.get("optional-dependencies", {}).values()
    for group in [project.get("dependencies", []), *extras]:
        yield from map(Requirement, group)


def test_nothing_depends_on_the_unrelated_distribution_gaffer() -> None:
    needs = [need for path in DISTRIBUTIONS for need in _requirements(project(path))]

    assert "gaffer" not in {need.name for need in needs}
    assert "gaffer" not in {project(path)["name"] for path in DISTRIBUTIONS}


def test_the_changelog_has_a_heading_for_what_is_coming_or_current() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, flags=re.MULTILINE)

    assert {"Unreleased", project(ROOT)["version"]} & set(headings)


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_a_file_is_not_too_long(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_no_function_is_too_long(path: Path) -> None:
    assert list(too_long(parsed(path))) == []


def test_only_the_seam_may_leave_something_to_others() -> None:
    seam = ROOT / "gaffer" / "driver.py"

    assert found(re.compile(r"\bNotImplementedError\b"), [p for p in SHIPPED if p != seam]) == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_no_test_is_skipped_or_expected_to_fail(path: Path) -> None:
    assert list(skips(parsed(path))) == []


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    assert field.default_factory is not MISSING
    return field.default_factory()


def _shown(value: Any) -> str:
    return repr(dict(value)) if hasattr(value, "keys") else repr(value)


def test_the_options_of_a_queue_are_documented_with_their_defaults() -> None:
    rows = table("configuration.md", "Options of a queue")
    kept = {field.name: field for field in fields(conf.QueueConf)}
    options = conf.QueueOptions.__annotations__.keys() - {"prune"}

    assert rows.keys() == conf.QueueOptions.__annotations__.keys() | {"worker", "driver"}
    assert {name: rows[name][3] for name in options} == {
        name: f"`{_shown(_default(kept[name]))}`" for name in options
    }


def test_the_options_of_prune_are_documented_with_their_defaults() -> None:
    rows = table("configuration.md", "Options of `prune`")
    defaults = {field.name: _default(field) for field in fields(conf.PruneConf)}
    ages = {str(state): age for state, age in defaults["max_age"].items()}

    assert {name: cells[3] for name, cells in rows.items()} == {
        "interval": f"`{defaults['interval']!r}`",
        "max_age": "`" + repr(ages).replace("'", '"') + "`",
    }


def test_the_options_of_a_job_are_documented() -> None:
    assert table("configuration.md", "Options of a job").keys() == (
        conf.JobOptions.__annotations__.keys()
    )


def test_all_events_are_documented_with_path_and_fields() -> None:
    rows = table("events.md", "All events")
    kinds: dict[str, type[events.Event]] = {
        name: kind
        for name in events.__all__
        if isinstance(kind := getattr(events, name), type)
        and issubclass(kind, events.Event)
        and kind is not events.Event
    }

    assert {name: cells[1:3] for name, cells in rows.items()} == {
        name: [f"`{kind.path!r}`".replace("'", '"'), _field_names(kind)]
        for name, kind in kinds.items()
    }


def _field_names(kind: type[events.Event]) -> str:
    return ", ".join(f"`{field.name}`" for field in fields(kind) if field.name != "actor")


def _source_of_a_function(lines: int, docstring: int) -> str:
    doc = ['    """', *["    ..."] * (docstring - 2), '    """'] if docstring else []
    return "\n".join(["def f():", *doc, *["    pass"] * (lines - 1)])


@pytest.mark.parametrize(
    ("check", "source", "expected"),
    [
        (too_long, _source_of_a_function(40, 20), []),
        (too_long, _source_of_a_function(41, 0), [("f", 41)]),
        (skips, "import pytest\n\n@pytest.mark.skip" + "if(True)\ndef test(): ...",
         ["pytest.mark.skipif"]),
        (skips, "from pytest import xfail", ["xfail"]),
        (skips, "session.skip('why')", []),
    ],
)  # fmt: skip
def test_the_checks_of_syntax_find_what_they_look_for(
    check: Callable[[ast.Module], Iterator[object]], source: str, expected: list[object]
) -> None:
    assert list(check(ast.parse(source))) == expected


@pytest.mark.parametrize(
    ("pattern", "fine", "at_fault"),
    [
        (MACHINE_PATH, "a/worker /workers ./wo" + "rk/x", "cd /" + "work/x"),
        (MACHINE_PATH, "https://example.org/root", "in '/" + "root'"),
        (REGISTRY, "the hexagonal pypi", "https://pypi" + ".org/x"),
        (LEFT_OPEN, "todo: Todo XXXL", "# TO" + "DO: later"),
    ],
)
def test_the_patterns_find_what_they_look_for(
    pattern: re.Pattern[str], fine: str, at_fault: str
) -> None:
    assert not pattern.search(fine)
    assert pattern.search(at_fault)
