"""The mutants fit the source as it is. Whether they are noticed takes minutes: see the command."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gaffer.testing.suite
from tests.mutations.bench import ROOT
from tests.mutations.catalogue import MUTANTS
from tests.mutations.mutant import Mutant, mutated
from tests.mutations.places import SUITE


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_of_the_source(mutant: Mutant) -> None:
    changed = mutated(mutant, ROOT)

    assert changed != (ROOT / mutant.path).read_text("utf-8")
    if mutant.path.endswith(".py"):
        ast.parse(changed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    for name in mutant.tests:
        path, _, test = name.partition("::")
        text = (ROOT / path).read_text("utf-8")
        known = gaffer.testing.suite.__all__ if path == SUITE else text
        assert test in known


def test_the_names_of_the_mutants_differ() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_text_that_has_moved_is_named(tmp_path: Path) -> None:
    mutant = Mutant(name="m", path="a.py", old="x", new="y", tests=[])
    for text in ("", "x x"):
        (tmp_path / "a.py").write_text(text)
        with pytest.raises(LookupError, match="adapt the mutant"):
            mutated(mutant, tmp_path)
