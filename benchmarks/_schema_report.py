"""Variants in turns, the table of their figures, and what follows from it."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["Case", "Figures", "Stopwatch", "compare", "report"]

Figures = dict[str, float]
"""What one round measured: rates where the name ends in ``/s``, microseconds elsewhere."""

Case = Callable[[], Figures]

NOISE = 1.2
"""A ratio between this and its inverse is no difference."""

AGREED = 0.85
"""The share of rounds that must point in one direction for a difference to count."""


class Stopwatch:
    """Takes the time of named steps, in microseconds."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Take the time of a block."""
        began = time.perf_counter()
        yield
        self.times.setdefault(name, []).append((time.perf_counter() - began) * 1e6)

    def medians(self) -> Figures:
        """Return the median of each step."""
        return {name: statistics.median(took) for name, took in self.times.items()}


def compare(title: str, cases: Mapping[str, Case], rounds: int) -> None:
    """Measure the cases in turns, and report. The first is the baseline."""
    began = time.perf_counter()
    found = _turns(cases, rounds)
    report(title, found, f"{rounds} rounds, {time.perf_counter() - began:.0f} s")


def report(title: str, found: Mapping[str, Sequence[Figures]], note: str) -> None:
    """Print the medians, their ratios to the first variant, and what differs from it."""
    baseline = next(iter(found))
    metrics = list(found[baseline][0])
    print(f"\n## {title}\n")
    print("| variant | " + " | ".join(metrics) + " |")
    print("|---|" + "---:|" * len(metrics))
    for name, figures in found.items():
        cells = [_cell(metric, figures, found[baseline]) for metric in metrics]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\n{_conclusion(found)} ({note})")
    sys.stdout.flush()


def _turns(cases: Mapping[str, Case], rounds: int) -> dict[str, list[Figures]]:
    """Measure round by round, each with another one at its head; the first round warms up."""
    found: dict[str, list[Figures]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds + 1):
        first = number * len(names) // (rounds + 1)
        order = names[first:] + names[:first]
        for name in order if number % 2 else reversed(order):
            figures = cases[name]()
            if number:
                found[name].append(figures)
    return found


def _ratios(metric: str, figures: Sequence[Figures], base: Sequence[Figures]) -> list[float]:
    """Return the ratio to the baseline within each round."""
    return [one[metric] / other[metric] for one, other in zip(figures, base, strict=True)]


def _cell(metric: str, figures: Sequence[Figures], base: Sequence[Figures]) -> str:
    if metric not in figures[0]:
        return "-"
    median = statistics.median(one[metric] for one in figures)
    if figures is base:
        return f"{median:,.0f}"
    return f"{median:,.0f} (x{statistics.median(_ratios(metric, figures, base)):.2f})"


def _conclusion(found: Mapping[str, Sequence[Figures]]) -> str:
    """Return what differs from the baseline, in words."""
    baseline, *others = found
    same, apart = [], []
    for name in others:
        differences = _differences(found[name], found[baseline])
        if differences:
            apart.append(f"{name}: {differences}")
        else:
            same.append(name)
    if same:
        apart.append(f"no difference: {', '.join(same)}")
    return f"Against {baseline!r} - " + "; ".join(apart) + "."


def _differences(figures: Sequence[Figures], base: Sequence[Figures]) -> str:
    """Return how often and how far a variant is better, and worse; nothing if it is neither."""
    better: dict[str, float] = {}
    worse: dict[str, float] = {}
    for metric in (metric for metric in base[0] if metric in figures[0]):
        ratios = _ratios(metric, figures, base)
        ratio = statistics.median(ratios)
        agreed = sum((one > 1) == (ratio > 1) for one in ratios) / len(ratios)
        times = max(ratio, 1 / ratio)
        if times >= NOISE and agreed >= AGREED:
            fine = (ratio > 1) == metric.endswith("/s")
            (better if fine else worse)[metric] = times
    said = []
    for word, found in (("better", better), ("WORSE", worse)):
        if found:
            most = max(found, key=lambda metric: found[metric])
            others = f", and in {len(found) - 1} more" if len(found) > 1 else ""
            said.append(f"{found[most]:.2f} times {word} in {most}{others}")
    return ", ".join(said)
