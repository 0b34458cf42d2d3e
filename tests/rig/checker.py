"""Whether gaffer kept its promises, by the records of a run: pure, and for any run.

What is compared are the changes of the jobs' rows as the database wrote them down (`audit`), what
the jobs did as they wrote it themselves (`history`), and what those know who inserted and deleted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from uuid import UUID

from tests.rig.audit import Transition
from tests.rig.history import Effect

__all__ = ["TERMINAL", "WAITING", "Limits", "Records", "Violation", "check", "story"]

TERMINAL = frozenset({"completed", "failed", "cancelled"})
WAITING = frozenset({"available", "scheduled", "chained"})
"""The three that storage keeps apart, of what the API calls available."""
UNSEEN = frozenset({"lost", "timeout"})
"""Errors of attempts whose job may never have come to run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue was declared with: its global limit, and where it forwards to by state."""

    most: int | None = None
    forward: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Records:
    """What is known of a run that is over.

    *tried* are the ids of all inserts that were begun, *acknowledged* those that returned, and
    *rolled_back* those of transactions that were not committed. *deleted* are the jobs that
    somebody tried to delete. *told* has how often hooks were told that a job has come to which
    state. *stored* has state and revision of what there is in the end. *unordered* are the jobs
    that callers inserted in transactions of their own: they may come to their chain after another
    has been claimed that has its place behind them.
    """

    queues: Mapping[str, Limits]
    transitions: Sequence[Transition]
    effects: Sequence[Effect]
    tried: Set[UUID]
    acknowledged: Set[UUID]
    rolled_back: Set[UUID]
    deleted: Set[UUID]
    stored: Mapping[UUID, tuple[str, int]]
    told: Mapping[tuple[UUID, str], int] = field(default_factory=dict)
    unordered: Set[UUID] = frozenset()

    @cached_property
    def by_job(self) -> Mapping[UUID, Sequence[Transition]]:
        """The changes of each job, in order."""
        found: defaultdict[UUID, list[Transition]] = defaultdict(list)
        for change in self.transitions:
            found[change.job].append(change)
        return found

    @cached_property
    def seen(self) -> Set[tuple[UUID, int, str]]:
        """What was written by jobs: which, claimed at which revision, which phase."""
        return {(effect.job, effect.revision, effect.phase) for effect in self.effects}

    @cached_property
    def forwarded(self) -> Counter[tuple[UUID, str | None]]:
        """How many jobs were made of which, in which queue."""
        return Counter(
            (change.origin, change.queue)
            for change in self.transitions
            if change.was is None and change.origin is not None
        )


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept: which rule, to which job, and a sentence."""

    rule: str
    job: UUID | None
    says: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.says}"


Found = Iterator[tuple[UUID | None, str]]


def inserts(records: Records) -> Found:
    """Judge whether what was acknowledged is there, and nothing else."""
    for job in records.acknowledged - records.by_job.keys():
        yield job, f"job {job} was acknowledged, and never stored"
    for job in records.rolled_back & records.by_job.keys():
        yield job, f"job {job} was inserted in a transaction that was rolled back, and is stored"
    for job, changes in records.by_job.items():
        first = changes[0]
        if first.was is not None:
            yield job, f"job {job} was never inserted, and is {first.became}"
        elif first.origin is None and job not in records.tried:
            yield job, f"job {job} is stored, and nobody inserted it"
        number = sum(change.was is None for change in changes)
        if number > 1:
            yield job, f"job {job} was inserted {number} times"


def presence(records: Records) -> Found:
    """Judge whether what was stored stays, unless somebody deletes it."""
    for job, changes in records.by_job.items():
        last = changes[-1]
        if last.became is None and job not in records.deleted:
            yield job, f"job {job} was deleted, and nobody had asked for it"
        there = records.stored.get(job)
        noted = None if last.became is None else (last.became, last.revision)
        if there != noted:
            yield job, f"job {job} is stored as {there}; by the account it should be {noted}"


def runs(records: Records) -> Found:
    """Judge whether every outcome is that of an attempt that was made."""
    for job, changes in records.by_job.items():
        for before, after in pairwise(changes):
            if before.became != "executing" or after.became not in ("completed", "failed"):
                continue
            wanted = ["start", "end"] if after.became == "completed" else ["start"]
            if after.became == "failed" and after.error in UNSEEN:
                wanted = []
            for phase in wanted:
                if (job, before.revision or 0, phase) not in records.seen:
                    yield (
                        job,
                        f"job {job} is {after.became} at revision {after.revision}, and the attempt"
                        f" that was claimed at {before.revision} wrote no {phase}",
                    )


def ends(records: Records) -> Found:
    """Judge whether each job ended once, and came to nothing else afterwards."""
    for job, changes in records.by_job.items():
        number = sum(change.became in TERMINAL for change in changes)
        gone = changes[-1].became is None
        if number > 1 or (number == 0 and not gone):
            yield job, f"job {job} has come to an end {number} times"
        for before, after in pairwise(changes):
            if before.became in TERMINAL and after.became is not None:
                yield job, f"job {job} was {before.became}, and then {after.became}"
            if after.became in ("completed", "failed") and before.became != "executing":
                yield job, f"job {job} is {after.became}, and was {before.became} before"


def revisions(records: Records) -> Found:
    """Judge whether each write was made on top of the one before."""
    for job, changes in records.by_job.items():
        if changes[0].was is None and changes[0].revision != 0:
            yield job, f"job {job} was inserted at revision {changes[0].revision}"
        for before, after in pairwise(changes):
            if after.was != before.became:
                yield job, f"job {job} was {before.became}, and then changed as if {after.was}"
            if after.became is None or before.revision is None:
                continue
            # Whether a job waits for its time or its chain is storage's own affair.
            aside = before.became in WAITING and after.became in WAITING
            step = (after.revision or 0) - before.revision
            if step != 1 and not (aside and step == 0):
                yield job, f"job {job} went from revision {before.revision} to {after.revision}"


def limits(records: Records) -> Found:
    """Judge whether no more executed at once than may, at each commit."""
    for change in records.transitions:
        known = records.queues.get(change.queue or "", Limits())
        if known.most is not None and change.executing > known.most:
            yield (
                change.job,
                f"{change.executing} jobs of queue {change.queue!r} executed at {change.at}, and at"
                f" most {known.most} may",
            )
        if change.chain is not None and change.executing_in_chain > 1:
            yield (
                change.job,
                f"{change.executing_in_chain} jobs of chain {change.chain!r} executed at"
                f" {change.at}",
            )


def order(records: Records) -> Found:
    """Judge whether of each chain the first was claimed, of those that waited at that commit."""
    waiting: defaultdict[tuple[str | None, str], dict[UUID, Place]] = defaultdict(dict)
    for change in records.transitions:
        if change.chain is None:
            continue
        line = waiting[change.queue, change.chain]
        line.pop(change.job, None)
        if change.became in WAITING:
            line[change.job] = _place(change)
        elif change.became == "executing":
            for job, place in line.items():
                if place < _place(change) and job not in records.unordered:
                    yield change.job, f"job {change.job} was claimed before {job} of its chain"


Place = tuple[int, datetime, UUID]


def _place(change: Transition) -> Place:
    assert change.priority is not None
    assert change.created_at is not None
    return -change.priority, change.created_at, change.job


def forwards(records: Records) -> Found:
    """Judge whether what is to be forwarded was, once, and nothing else."""
    owed: Counter[tuple[UUID, str | None]] = Counter(
        (change.job, target)
        for change in records.transitions
        if change.became in TERMINAL
        and (target := records.queues.get(change.queue or "", Limits()).forward.get(change.became))
    )
    for job, target in owed - records.forwarded:
        number = records.forwarded[job, target]
        yield job, f"job {job} should be forwarded to {target!r} once, and was {number} times"
    for origin, queue in records.forwarded - owed:
        number = records.forwarded[origin, queue]
        yield origin, f"job {origin} was forwarded to {queue!r} {number} times, and owed less"


def attempts(records: Records) -> Found:
    """Judge whether attempts are counted one by one, and no further than they may."""
    for job, changes in records.by_job.items():
        for change in changes:
            if (change.attempt or 0) > (change.max_attempts or 0):
                yield job, f"job {job} has {change.attempt} of {change.max_attempts} attempts"
        for before, after in pairwise(changes):
            if after.became is None or before.attempt is None:
                continue
            step = (after.attempt or 0) - before.attempt
            if step not in (0, 1) or (step == 1 and before.became != "executing"):
                yield job, f"job {job} went from attempt {before.attempt} to {after.attempt}"


def tellings(records: Records) -> Found:
    """Judge whether hooks were told of an end at most once, and of none that was not."""
    ended = {(change.job, change.became) for change in records.transitions}
    for (job, state), number in records.told.items():
        if number > 1:
            yield job, f"hooks were told {number} times that job {job} is {state}"
        if (job, state) not in ended:
            yield job, f"hooks were told that job {job} is {state}, and it never was"


def leftovers(records: Records) -> Found:
    """Judge whether everything has come to its end."""
    for job, (state, revision) in records.stored.items():
        if state not in TERMINAL:
            yield job, f"job {job} is still {state} at revision {revision}"


RULES: Sequence[Callable[[Records], Found]] = (
    inserts,
    presence,
    runs,
    ends,
    revisions,
    limits,
    order,
    forwards,
    attempts,
    tellings,
    leftovers,
)


def check(records: Records) -> list[Violation]:
    """Return what is wrong with a run, by all rules."""
    return [Violation(rule.__name__, *found) for rule in RULES for found in rule(records)]


def story(records: Records, job: UUID) -> list[str]:
    """Return all that is known of *job*, as lines by time; two servers' clocks put it in order."""
    lines = [
        (
            change.at,
            f"{change.was} -> {change.became} at revision {change.revision}, attempt"
            f" {change.attempt}, by {change.node}, {change.error or 'no error'}",
        )
        for change in records.by_job.get(job, ())
    ]
    lines += [
        (effect.at, f"  {effect.phase} of {effect.revision} in process {effect.process}")
        for effect in records.effects
        if effect.job == job
    ]
    return [f"{at:%H:%M:%S.%f} {line}" for at, line in sorted(lines, key=itemgetter(0))]
