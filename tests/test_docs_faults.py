"""The page of faults names them all, and tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.trials.__main__ import names

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "explanation" / "faults.md"
LAST = 64

HEADING = re.compile(r"^### F(?P<number>\d+) \S", re.MULTILINE)
NAMED = re.compile(r"`(?P<path>(?:tests|gaffer)/[\w/]+\.py)(?:::(?P<test>\w+))?`")
TRIAL = re.compile(r"tests\.trials (\w+)")
NUMBER = re.compile(r"\bF(\d+)\b")


@cache
def known_in(path: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return frozenset(name for name in names if name.startswith("test_"))


def sections() -> dict[int, str]:
    """Return what the page says of each fault."""
    text = PAGE.read_text("utf-8")
    found = [*HEADING.finditer(text)]
    ends = [*(heading.start() for heading in found[1:]), len(text)]
    return {
        int(heading["number"]): text[heading.start() : end]
        for heading, end in zip(found, ends, strict=True)
    }


def test_every_fault_has_its_section_in_order() -> None:
    numbers = [int(heading["number"]) for heading in HEADING.finditer(PAGE.read_text("utf-8"))]

    assert numbers == [*range(1, LAST + 1)]


@pytest.mark.parametrize(("number", "section"), sections().items())
def test_a_fault_is_shown_by_something(number: int, section: str) -> None:
    assert "*Shown by*" in section
    assert NAMED.search(section) or "tests.trials" in section


def test_every_trial_that_the_page_names_exists() -> None:
    named = set(TRIAL.findall(PAGE.read_text("utf-8"))) - {"NAME"}

    assert named <= {*names()}
    assert len(named) > 10


def test_the_scorecard_has_every_trial() -> None:
    text = PAGE.with_name("reliability.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 5]
    last = {row.rsplit("|", 2)[1].strip(" `").split(" ")[0] for row in rows}

    assert last - {"trial", "benchmarks/hammer.py"} == {*names()}


def test_every_test_that_the_page_names_exists() -> None:
    named = [(named["path"], named["test"]) for named in NAMED.finditer(PAGE.read_text("utf-8"))]
    missing = [
        (path, test)
        for path, test in named
        if not (ROOT / path).is_file() or (test is not None and test not in known_in(path))
    ]

    assert len(named) > LAST
    assert missing == []


def test_every_fault_that_a_docstring_names_has_a_section() -> None:
    named = {
        int(number)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
        for number in NUMBER.findall(ast.get_docstring(node) or "")
    }

    assert len(named) > 50
    assert named <= sections().keys()
