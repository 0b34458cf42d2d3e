"""Prints what a run of `index_stdlib` came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from _stdlib_crew import Crew
from _stdlib_member import Member
from _stdlib_sums import Run
from _stdlib_tally import ended
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import gaffer

__all__ = ["processes", "show"]

_MOST = 10
"""Rows shown of the slowest files; of the dead letters, ten times as many."""


def show(run: Run, console: Console) -> None:
    """Print the summary."""
    tables = [_totals(run), _slowest(run), _dead_letters(run), _queues(run)]
    if run.crew is not None:
        tables.append(processes(run.crew.members))
    for table in tables:
        if table.row_count:
            console.print(table)
    if run.crew is not None:
        console.print(_together(run, run.crew))
    jobs = sum(map(ended, run.stats.values()))
    console.print(
        f"{len(run.files):,} files, {jobs:,} jobs ended in {run.seconds:.1f} s: "
        f"{len(run.files) / run.seconds:,.0f} files and {jobs / run.seconds:,.0f} jobs per second"
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


def processes(members: Iterable[Member]) -> Table:
    """Return what each process has told of `index` so far."""
    rows = (
        [str(member.number), str(member.process.pid), member.fate,
         *(f"{number:,}" for number in (member["completed"], member.failed, len(member.running),
                                        member["rescued"], member["late"]))]
        for member in members
    )  # fmt: skip
    heads = ["process", "pid", "fate", "completed", "failed", "running", "rescued", "late"]
    return _table("Processes", heads, rows, left=2)


def _together(run: Run, crew: Crew) -> str:
    """Return what came of working together, in lines."""
    return (
        f"executing at once, as far as seen: at most {crew.most}, and {crew.plan.most} may\n"
        f"jobs rescued: {run.events['index', 'rescued']}; "
        f"late results, dropped: {run.events['index', 'late']}\n"
        f"ended by the killed process, which it did not live to tell: {run.untold}\n"
        f"files indexed again, and counted once: {run.repeated}"
    )


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
