"""What a run of `index_stdlib` came to: the numbers, and whether they add up."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import gaffer

__all__ = ["Entry", "Run", "Sum", "Tally", "show", "sums"]

Stats: TypeAlias = Mapping[gaffer.JobState, gaffer.StateStats]

_MOST = 10
"""Rows shown of the slowest files; of the dead letters, ten times as many."""


class Tally:
    """A hook that counts events by queue and kind.

    Hooks run in the thread that made the write: here the main thread and the runners of the
    queues. So there is a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: gaffer.Event) -> None:
        """Count *event*."""
        match event:
            case gaffer.JobFailed(job=job) if job.state is gaffer.JobState.AVAILABLE:
                self._add(job.queue, "retried")
            case gaffer.JobInserted(job=job):
                self._add(job.queue, "inserted")
            case gaffer.JobCompleted(job=job) | gaffer.JobFailed(job=job):
                self._add(job.queue, job.state.value)
            case gaffer.JobCancelled(job=job):
                self._add(job.queue, "cancelled")

    def _add(self, queue: str, kind: str) -> None:
        with self._lock:
            self._counts[queue, kind] += 1

    def __getitem__(self, key: tuple[str, str]) -> int:
        """Return how often a queue saw a kind of event so far: ``tally["index", "failed"]``."""
        with self._lock:
            return self._counts[key]


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
    """All that is known at the end of a run, from four sources that have to agree.

    *files* is what was found on disk; *stats* what storage holds; *events* what the hook heard;
    *entries* and *letters* what arrived in the queues `aggregate` and `dead_letter`.
    """

    files: list[str]
    stats: Mapping[str, Stats]
    events: Tally
    entries: list[Entry]
    letters: list[Entry]
    seconds: float


@dataclass(frozen=True)
class Sum:
    """Two facts that have to be equal, and what they are."""

    says: str
    left: object
    right: object

    @property
    def holds(self) -> bool:
        """Whether they are equal."""
        return self.left == self.right

    def __str__(self) -> str:
        verdict = "ok   " if self.holds else "WRONG"
        return f"{verdict} {self.says}: {self.left} {'=' if self.holds else '/='} {self.right}"


def sums(run: Run) -> Iterator[Sum]:
    """Compare every number with another source of it."""
    index, aggregate, letters = (run.stats[name] for name in ("index", "aggregate", "dead_letter"))
    inserted = run.events["index", "inserted"]
    completed, failed = _in(index, "completed"), _in(index, "failed")
    yield Sum("files found = jobs inserted", len(run.files), inserted)
    yield Sum("jobs inserted = completed + failed", inserted, completed + failed)
    yield Sum("failed = dead letters", failed, len(run.letters))
    yield Sum("completed = aggregated", completed, len(run.entries))
    yield Sum("aggregated = completed there", len(run.entries), _in(aggregate, "completed"))
    yield Sum("dead letters = completed there", len(run.letters), _in(letters, "completed"))
    left = sum(_in(stats, "available", "executing") for stats in run.stats.values())
    yield Sum("available or executing = none", left, 0)
    seen = Counter(entry.file for entry in (*run.entries, *run.letters))
    once = sum(seen[file] == 1 for file in run.files)
    yield Sum("files found = files seen exactly once", len(run.files), once)
    yield Sum("files found = files seen", len(run.files), len(seen))
    for queue, stats in run.stats.items():
        ended = {state.value: stats[state].count for state in gaffer.JobState if state.terminal}
        heard = {state: run.events[queue, state] for state in ended}
        yield Sum(f"{queue}: storage = events", _shown(ended), _shown(heard))


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _in(stats: Stats, *states: str) -> int:
    return sum(stats[gaffer.JobState(state)].count for state in states)


def show(run: Run, console: Console) -> None:
    """Print the summary."""
    for table in (_totals(run), _slowest(run), _dead_letters(run), _queues(run)):
        if table.row_count:
            console.print(table)
    ended = sum(_in(stats, "completed", "failed", "cancelled") for stats in run.stats.values())
    console.print(
        f"{len(run.files):,} files, {ended:,} jobs ended in {run.seconds:.1f} s: "
        f"{len(run.files) / run.seconds:,.0f} files and {ended / run.seconds:,.0f} jobs per second"
    )


def _totals(run: Run) -> Table:
    totals: Counter[str] = Counter()
    for entry in run.entries:
        totals.update(entry.counts)
    return _table("Found", ["what", "total"], ([n, f"{c:,}"] for n, c in totals.items()))


def _slowest(run: Run) -> Table:
    slowest = sorted(run.entries, key=lambda entry: entry.seconds, reverse=True)[:_MOST]
    rows = ([e.file, f"{e.counts['tokens']:,}", f"{e.seconds:.3f}"] for e in slowest)
    return _table("Slowest files", ["file", "tokens", "CPU seconds"], rows)


def _dead_letters(run: Run) -> Table:
    letters = sorted(run.letters, key=lambda entry: entry.file)
    rows = [[e.file, str(e.attempts), e.reason] for e in letters[: 10 * _MOST]]
    if more := letters[10 * _MOST :]:
        rows.append([f"and {len(more):,} more", "", ""])
    return _table("Dead letters", ["file", "attempts", "reason"], rows, left=2)


def _queues(run: Run) -> Table:
    rows = [
        [queue, *(f"{stats[state].count:,}" for state in gaffer.JobState),
         f"{run.events[queue, 'retried']:,}"]
        for queue, stats in run.stats.items()
    ]  # fmt: skip
    return _table("Queues", ["queue", *gaffer.JobState, "retries"], rows)


def _table(title: str, heads: list[Any], rows: Iterable[list[str]], left: int = 0) -> Table:
    """Return a table; the first column and the one numbered *left* are text, the others numbers."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, head in enumerate(heads):
        justify: Any = "left" if number in (0, left) else "right"
        least = 11 if number == 0 else None
        table.add_column(str(head), justify=justify, overflow="fold", min_width=least)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
