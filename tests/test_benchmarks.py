"""What the benchmarks make of what they have measured."""

from __future__ import annotations

import pytest
from postgres_snapshot import Stretch, parts


def test_a_stretch_tells_of_its_claims_in_milliseconds() -> None:
    times = [number / 1000 for number in range(1, 102)]

    assert Stretch.of(20_000, times, 1234.6) == Stretch(20_000, 51.0, 96.0, 1235)


@pytest.mark.parametrize(
    ("jobs", "batch", "expected"),
    [
        (200, 10, [5, 5, 5, 5]),
        (240, 10, [5, 5, 5, 9]),
        (249, 10, [5, 5, 5, 9]),
        (30, 10, [3]),
        (400, 100, [2, 2]),
    ],
)
def test_the_last_stretch_has_what_is_left_over(jobs: int, batch: int, expected: list[int]) -> None:
    assert parts(jobs, batch, 50) == expected
