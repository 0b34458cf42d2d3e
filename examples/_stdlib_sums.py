"""What a run of `index_stdlib` came to: the numbers, and whether they add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from _stdlib_crew import Crew
from _stdlib_tally import Stats, Tally, number_in

import gaffer

__all__ = ["Entry", "Run", "Sum", "sums"]


@dataclass(frozen=True)
class Entry:
    """What became of one file: its counts, or the reason why there are none."""

    file: str
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: int = 1
    reason: str = ""


@dataclass(frozen=True)
class Run:
    """All that is known at the end of a run, from sources that have to agree.

    *files* is what was found on disk; *stats* and *jobs* (those of `index`) what storage holds;
    *events* what the hooks heard; *entries* and *letters* what arrived in the queues `aggregate`
    and `dead_letter`; *crew* the processes that worked `index`, if that was not this one.
    """

    files: Sequence[str]
    stats: Mapping[str, Stats]
    jobs: Sequence[gaffer.Job]
    events: Tally
    entries: Sequence[Entry]
    letters: Sequence[Entry]
    seconds: float
    crew: Crew | None = None

    @property
    def repeated(self) -> int:
        """How many files were indexed by another attempt than their first."""
        return sum(entry.attempts > 1 for entry in self.entries)

    @property
    def untold(self) -> int:
        """How many jobs of `index` have ended in storage without an event, or the reverse."""
        held = _ends(self.stats["index"])
        return sum(abs(held[state] - self.events["index", state]) for state in held)


@dataclass(frozen=True)
class Sum:
    """Two facts that have to be equal, or of which the first is *at_most* the second."""

    says: str
    left: Any
    right: Any
    at_most: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return bool(self.left <= self.right if self.at_most else self.left == self.right)

    def __str__(self) -> str:
        verdict = "ok   " if self.holds else "WRONG"
        sign, other = ("<=", ">") if self.at_most else ("=", "/=")
        return f"{verdict} {self.says}: {self.left} {sign if self.holds else other} {self.right}"


def sums(run: Run) -> Iterator[Sum]:
    """Compare every number with another source of it."""
    index, aggregate, letters = run.stats.values()
    inserted = run.events["index", "inserted"]
    completed, failed = number_in(index, "completed"), number_in(index, "failed")
    yield Sum("files found = jobs inserted", len(run.files), inserted)
    yield Sum("jobs inserted = completed + failed", inserted, completed + failed)
    yield Sum("failed = dead letters", failed, len(run.letters))
    yield Sum("completed = aggregated", completed, len(run.entries))
    yield Sum("aggregated = completed there", len(run.entries), number_in(aggregate, "completed"))
    yield Sum("dead letters = completed there", len(run.letters), number_in(letters, "completed"))
    left = sum(number_in(stats, "available", "executing") for stats in run.stats.values())
    yield Sum("available or executing = none", left, 0)
    seen = Counter(entry.file for entry in (*run.entries, *run.letters))
    once = sum(seen[file] == 1 for file in run.files)
    yield Sum("files found = files seen exactly once", len(run.files), once)
    yield Sum("files found = files seen", len(run.files), len(seen))
    yield Sum("total of all numbers in storage = aggregated", _stored(run), _aggregated(run))
    yield from _heard(run)
    if run.crew is not None:
        yield from _shared(run, run.crew)


def _stored(run: Run) -> int:
    done = [job for job in run.jobs if job.state is gaffer.JobState.COMPLETED]
    return sum(sum(job.result["counts"].values()) for job in done)


def _aggregated(run: Run) -> int:
    return sum(sum(entry.counts.values()) for entry in run.entries)


def _heard(run: Run) -> Iterator[Sum]:
    """Compare what ended in storage with what the hooks heard."""
    for queue, stats in run.stats.items():
        if run.crew is not None and queue == "index":
            # A process that is killed may have written what it does not live to tell.
            at_most = run.crew.plan.workers
            yield Sum("index: untold ends <= workers killed", run.untold, at_most, at_most=True)
        else:
            held = _ends(stats)
            heard = {state: run.events[queue, state] for state in held}
            yield Sum(f"{queue}: storage = events", _shown(held), _shown(heard))


def _ends(stats: Stats) -> dict[str, int]:
    return {state.value: stats[state].count for state in gaffer.JobState if state.terminal}


def _shared(run: Run, crew: Crew) -> Iterator[Sum]:
    """Check what has to hold if several processes worked, and one of them was killed."""
    fates = Counter(member.fate for member in crew.members)
    yield Sum(
        "most seen executing at once <= global limit", crew.most, crew.plan.most, at_most=True
    )
    yield Sum("processes killed = 1", fates["killed"], 1)
    yield Sum("processes ended in order = all others", fates["ended"], len(crew.members) - 1)
    lost = sum(_is_lost(error.error) for job in run.jobs for error in job.errors)
    yield Sum("jobs rescued = attempts lost", run.events["index", "rescued"], lost)
    only_lost = sum(letter.reason.startswith("lost:") for letter in run.letters)
    yield Sum("dead letters that were lost, not broken = none", only_lost, 0)


def _is_lost(error: Any) -> bool:
    return isinstance(error, dict) and error.get("type") == "lost"


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())
