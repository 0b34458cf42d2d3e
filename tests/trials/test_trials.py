"""Each trial keeps its bounds, in short; the full ones take minutes: see `nox -s trials`."""

from __future__ import annotations

import pytest

from tests.trials.__main__ import names, trial
from tests.trials.figures import at_least, at_most, exactly, percentile


@pytest.mark.parametrize("name", names())
def test_a_trial_keeps_its_bounds(name: str) -> None:
    one = trial(name)

    figures = one.run(**one.short)

    assert [figure for figure in figures if not figure.kept] == []
    assert figures


def test_a_figure_beyond_its_bound_is_broken() -> None:
    assert [at_most("a", n, 2).kept for n in (1, 2, 3)] == [True, True, False]
    assert [at_least("a", n, 2).kept for n in (1, 2, 3)] == [False, True, True]
    assert [exactly("a", n, 2).kept for n in (1, 2, 3)] == [False, True, False]


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([7.0], 0.99) == 7.0
