"""What gaffer wants to be beside the others, and whether a run shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from versus.arithmetic import Spread, ratios
from versus.plan import FORMS
from versus.results import Results

__all__ = ["Verdict", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """A goal, what was found, and whether that is enough: `None` if it was not measured."""

    goal: str
    found: str
    met: bool | None


def verdicts(results: Results) -> Iterator[Verdict]:
    """Judge all goals by the medians; ratios are taken within each round."""
    yield from _drains(results)
    yield from _floors(results)
    yield from _inserts(results)
    yield from _latencies(results)
    yield from _many_processes(results)


def _drains(results: Results) -> Iterator[Verdict]:
    for profile, peer, least in (
        ("default", "pgqueuer", 3.0),
        ("default", "procrastinate", 15.0),
        ("best", "pgqueuer", 1.3),
    ):
        ours = results.series("drain", "no-op", "gaffer", profile)
        found = ratios(ours, results.series("drain", "no-op", peer, profile))
        goal = f"drain, {profile}: at least {least:g} x {peer} {profile}"
        yield _at_least(goal, found, least)


def _floors(results: Results) -> Iterator[Verdict]:
    for form in FORMS:
        profile, least = ("default", 0.6) if form.startswith("10 ") else ("hundred", 0.4)
        ours = results.series("drain", "no-op", "gaffer", profile)
        found = ratios(ours, results.series("drain", "no-op", "floor", form))
        goal = f"drain, {profile}: at least {least:.0%} of the floor with {form}"
        yield _at_least(goal, found, least)


def _inserts(results: Results) -> Iterator[Verdict]:
    for profile, least, what in (
        ("default", 1.0, "the jobs returned"),
        ("quiet", 1.5, "no jobs returned"),
    ):
        ours = results.series("insert", "1000 a call", "gaffer", profile)
        found = ratios(ours, results.series("insert", "1000 a call", "pgqueuer", "default"))
        yield _at_least(f"bulk insert, {what}: at least {least:g} x pgqueuer", found, least)
    for case in ("1 thread", "8 threads"):
        ours = results.series("insert1", case, "gaffer", "default")
        found = ratios(ours, results.series("insert1", case, "pgqueuer", "default"))
        yield _at_least(f"single insert, {case}: at least pgqueuer", found, 1.0)


def _latencies(results: Results) -> Iterator[Verdict]:
    for percent, most in ((50, 1.2), (99, 5.0)):
        found = results.spread("latency", f"other process, p{percent}", "gaffer", "default")
        goal = f"latency, other process, p{percent}: at most {most:g} ms"
        yield _at_most(goal, found, most, "ms")


def _many_processes(results: Results) -> Iterator[Verdict]:
    for profile in ("default", "best"):
        one, four = (
            results.series("processes", case, "gaffer", profile)
            for case in ("1 process", "4 processes")
        )
        goal = f"4 processes, {profile}: at least as fast as one"
        yield _at_least(goal, ratios(four, one), 1.0)
        for case in ("2 processes", "4 processes"):
            locks = results.series("processes", f"{case}, deadlocks", "gaffer", profile)
            worst = Spread.of([sum(locks.values())]) if locks else None
            yield _at_most(f"{case}, {profile}: no deadlock in any round", worst, 0, "")
            share = results.spread("processes", f"{case}, busiest/idlest", "gaffer", profile)
            goal = f"{case}, {profile}: the busiest does at most twice the idlest's jobs"
            yield _at_most(goal, share, 2.0, "x")


def _at_least(goal: str, found: Spread | None, least: float) -> Verdict:
    if found is None:
        return Verdict(goal, "not measured", None)
    text = f"{found.median:.2f} x ({found.least:.2f}-{found.most:.2f})"
    return Verdict(goal, text, found.median >= least)


def _at_most(goal: str, found: Spread | None, most: float, unit: str) -> Verdict:
    if found is None:
        return Verdict(goal, "not measured", None)
    text = f"{found.median:.3g} {unit} ({found.least:.3g}-{found.most:.3g})"
    return Verdict(goal, text, found.median <= most)
