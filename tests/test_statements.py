"""Each promised behaviour has a test that says so.

What the library does was written down as numbered statements before it was built. The docstring of
a test names those that it shows (``B84``, ``B1-B4``); those below must all be named.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLACES = [
    "tests/test_*.py",
    "tests/postgres/test_*.py",
    "gaffer/testing/suite/test_*.py",
    "gaffer_driver_*/tests/test_*.py",
]
LAST = 220

STATEMENTS = {
    "managing queues": "1-19, 21-24, 26-32",
    "inserting": "34-41, 45, 48",
    "order and limits of claims": "50-53, 55, 58-62, 65",
    "execution": "66-71, 77-80",
    "retries": "81-87, 90",
    "putting off": "91",
    "cancel, delete, get, list": "95-102, 104-107",
    "timeouts": "109, 112",
    "shutdown, drain, flush": "116, 117, 120",
    "forwarding": "122-132",
    "hooks": "136-151, 153, 154",
    "pause and resume": "157-161, 163",
    "pruning": "166, 167, 169-173, 175-177, 179",
    "info and stats": "181-183",
    "orphaned queues": "184, 185",
    "drivers": "186-189, 193, 194",
    "errors and constraints of PostgreSQL": "195, 196",
    "migrations": "197-205",
    "supervision": "207-209",
}
"""The statements that must hold, by what they are about."""


def numbers(text: str) -> set[int]:
    """Return the numbers of a list of numbers and ranges."""
    found: set[int] = set()
    for part in text.split(", "):
        first, _, last = part.partition("-")
        found |= {*range(int(first), int(last or first) + 1)}
    return found


def named(docstring: str) -> set[int]:
    """Return the numbers of the statements that *docstring* names."""
    found: set[int] = set()
    for first, last in re.findall(r"\bB(\d+)(?:-B(\d+))?", docstring):
        found |= {*range(int(first), int(last or first) + 1)}
    return found


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the docstring of every test that has one."""
    for path in sorted(path for place in PLACES for path in ROOT.glob(place)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(ROOT)}::{node.name}", ast.get_docstring(node) or ""


SHOWN = {place: named(docstring) for place, docstring in docstrings()}


@pytest.mark.parametrize("about", STATEMENTS)
def test_every_statement_that_must_hold_is_shown_by_a_test(about: str) -> None:
    shown = {number for found in SHOWN.values() for number in found}

    missing = numbers(STATEMENTS[about]) - shown

    assert sorted(missing) == []


def test_no_test_names_a_statement_that_there_is_not() -> None:
    wrong = {place: found for place, found in SHOWN.items() if found - {*range(1, LAST + 1)}}

    assert wrong == {}


def test_numbers_and_ranges_are_understood() -> None:
    assert named("B84, B86 [T], B1-B3 [D].") == {84, 86, 1, 2, 3}
    assert named("AB12 and b7 are none.") == set()
