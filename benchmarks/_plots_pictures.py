"""From what was measured to what is drawn: no file, no drawing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Line", "Picture", "pictures"]


@dataclass(frozen=True, slots=True)
class Line:
    """Points of one kind, from left to right; *low* and *high* are the range of the runs."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One picture; *log* names the axes that are logarithmic, *bound* is a line across."""

    name: str
    title: str
    x: str
    y: str
    lines: Sequence[Line]
    note: str
    log: str = ""
    bound: float | None = None
    whole: bool = False
    """Whether each x is a number to be read off, such as one of processes."""


def pictures(figures: Mapping[str, Any]) -> list[Picture]:
    """Return the pictures that can be drawn of *figures*, which have a section for each."""
    return [_OF[name](figures[name]) for name in _OF if name in figures]


def _batch(section: Mapping[str, Any]) -> Picture:
    return Picture(
        name="batch",
        title="Rate by batch size",
        x="jobs claimed and settled at once, or max_workers",
        y="jobs per second",
        lines=[
            _line("driver: claim and settle, one thread", section["batches"]),
            _line("whole queue: a no-op worker, one process", section["workers"]),
        ],
        note=_note(section, section["batches"]),
        log="xy",
    )


def _backlog(section: Mapping[str, Any]) -> Picture:
    return Picture(
        name="backlog",
        title="Claim time by backlog",
        x="jobs in the queue",
        y="claim of 10 jobs, p50 in ms",
        lines=[
            _line("waiting", section["waiting"]),
            _line("scheduled for later, beside 1,000 that wait", section["scheduled"]),
        ],
        note=_note(section, section["waiting"]),
        log="x",
    )


def _processes(section: Mapping[str, Any]) -> Picture:
    return Picture(
        name="processes",
        title="Drain rate by processes",
        x=f"processes, each with max_workers={section['max_workers']}",
        y="jobs per second",
        lines=[_line("a no-op worker", section["rates"])],
        note=_note(section, section["rates"]),
        whole=True,
    )


def _snapshot(section: Mapping[str, Any]) -> Picture:
    lines = [
        Line(label, [at["jobs"] / 1000 for at in points], [at[figure] for at in points])
        for figure in ("p50", "p95")
        for label, points in (
            (f"{figure}, a snapshot is held", section["held"]),
            (f"{figure}, none is held", section["free"]),
        )
    ]
    what = {"claim": "claim", "turn": "settling and claim"}[section["verb"]]
    return Picture(
        name="snapshot",
        title="Claim time under a held snapshot",
        x="jobs that have come and gone, in thousands",
        y=f"{what} of {section['batch']} jobs, ms",
        lines=lines,
        note=_note(section),
        bound=2.0 if section["verb"] == "claim" else None,
    )


_OF: Mapping[str, Callable[[Mapping[str, Any]], Picture]] = {
    "batch": _batch,
    "backlog": _backlog,
    "processes": _processes,
    "snapshot": _snapshot,
}


def _line(label: str, runs: Mapping[str, Sequence[float]]) -> Line:
    """Return the medians of the runs for each x; JSON has only texts for keys."""
    points = sorted((float(x), values) for x, values in runs.items())
    return Line(
        label,
        [x for x, _ in points],
        _each(statistics.median, points),
        _each(min, points),
        _each(max, points),
    )


def _each(
    what: Callable[[Sequence[float]], float], points: Iterable[tuple[float, Sequence[float]]]
) -> list[float]:
    return [what(values) for _, values in points]


def _note(section: Mapping[str, Any], runs: Mapping[str, Sequence[float]] | None = None) -> str:
    number = min(map(len, runs.values())) if runs else 1
    how = f"median and range of {number} runs" if number > 1 else "one run"
    return f"{how}; {section['server']}; {section['machine']}"
