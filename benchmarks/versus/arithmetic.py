"""What is computed from what was measured: percentiles, ratios, and the count of the starts."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Series", "Spread", "Starts", "account", "delays", "fairness", "percentile", "ratios"]

Starts = Sequence[tuple[int, float]]
Series = Mapping[int, float]
"""A value for each round."""


@dataclass(frozen=True)
class Spread:
    """A median, and how far the rounds lie apart."""

    median: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of *values*; `None` of none."""
        found = list(values)
        if not found:
            return None
        return cls(statistics.median(found), min(found), max(found), len(found))


def ratios(ours: Series, theirs: Series) -> Spread | None:
    """Return the spread of ours to theirs, round by round: a slow spell is in both."""
    common = [number for number in ours if theirs.get(number)]
    return Spread.of(ours[number] / theirs[number] for number in common)


def account(workers: Sequence[Starts], numbers: Iterable[int]) -> tuple[int, int]:
    """Return how many of the jobs *numbers* never started, and how many starts were too many.

    The start of a job that was never inserted is one too many, too.
    """
    started = Counter(number for starts in workers for number, _ in starts)
    expected = set(numbers)
    lost = len(expected - started.keys())
    return lost, sum(started.values()) - (len(expected) - lost)


def fairness(workers: Sequence[Starts]) -> float:
    """Return how much more the busiest process did than the idlest; infinite if that did none."""
    counts = [len(starts) for starts in workers]
    return max(counts) / min(counts) if min(counts) else float("inf")


def delays(returned: Sequence[float], first: int, starts: Starts) -> list[float]:
    """Return the milliseconds from the return of each insert to the first start of its job.

    The jobs are numbered from *first* on, in the order of *returned*. A job that started before
    its insert returned has waited for 0.
    """
    started = dict(reversed(starts))
    return [
        max(0.0, started[number] - instant) * 1000 for number, instant in enumerate(returned, first)
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that *percent* of *values* do not exceed, interpolated."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
