"""What the model keeps, and its rules: a dict and list scans, so plain that reading is checking.

Written from the docstrings of `gaffer.driver` and nothing else; it shares no code with any driver
that is meant for use. Nothing here takes the lock: `gaffer.testing.model` does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from gaffer.driver import (
    Claim,
    Clock,
    Conflict,
    Cutoffs,
    Job,
    JobFilter,
    JobState,
    KeyHeld,
    StateStats,
    UnknownQueue,
)

__all__ = ["ModelStore"]

_log = logging.getLogger("gaffer.testing.oracle")

Lock: TypeAlias = AbstractContextManager[Any]


class ModelStore:
    """Queues, jobs, who executes them, and when nodes have beaten."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = self.new_lock()
        self.wakes: list[Callable[[], None]] = []
        self.clear()

    def new_lock(self) -> Lock:
        """Return the lock that every verb holds while it works."""
        return threading.RLock()

    def clear(self) -> None:
        """Forget everything."""
        self.paused: dict[str, bool] = {}
        self.jobs: dict[UUID, Job] = {}
        self.owners: dict[UUID, str] = {}
        self.beats: dict[str, datetime] = {}
        self.abouts: dict[str, str] = {}
        self.periods: dict[UUID, tuple[str, str | None, datetime]] = {}
        self.slots: dict[tuple[str, str], datetime] = {}

    def wake(self) -> None:
        """Wake all who subscribed: anything may have changed. Called without the lock."""
        for wake in list(self.wakes):
            try:
                wake()
            except Exception:
                _log.exception("a wake callback failed")

    def require_queue(self, name: str) -> None:
        """Raise `UnknownQueue` unless the name is kept."""
        if name not in self.paused:
            raise UnknownQueue(name)

    def require_writable(self, jobs: Sequence[Job]) -> None:
        """Raise unless all of *jobs* can be written."""
        ids = [job.id for job in jobs]
        refused = {job.id for job in jobs if self.outdated(job) or ids.count(job.id) > 1}
        if refused:
            raise Conflict(refused)
        for job in jobs:
            if job.revision == 0:
                self.require_queue(job.queue)
        held = {job.id: holder for job in jobs if (holder := self.holder(job, jobs)) is not None}
        if held:
            raise KeyHeld(held)

    def holder(self, job: Job, batch: Sequence[Job]) -> Job | UUID | None:
        """Return who holds the key that *job* of *batch* needs, if another does."""
        if job.unique is None or job.state.terminal:
            return None
        written = {one.id for one in batch}
        stored = [one for one in self.jobs.values() if one.id not in written]
        turns = sorted(batch, key=lambda one: one.revision == 0)  # those that are there first
        before = turns[: [one.id for one in turns].index(job.id)]
        for one in [*stored, *before]:
            if one.unique == job.unique and one.queue == job.queue and not one.state.terminal:
                return one
        for id, (queue, unique, until) in self.periods.items():
            other = id != job.id or job.revision == 0
            if other and (queue, unique) == (job.queue, job.unique) and until > self.clock.now():
                return self.jobs.get(id, id)
        return None

    def outdated(self, job: Job) -> bool:
        """Return whether storage holds anything else than what *job* was computed from."""
        stored = self.jobs.get(job.id)
        if job.revision == 0:
            return stored is not None
        return stored is None or stored.revision != job.revision - 1

    def put(self, job: Job) -> None:
        """Keep *job*."""
        self.jobs[job.id] = job
        if job.revision == 0 and job.unique_until is not None and not job.state.terminal:
            self.periods[job.id] = (job.queue, job.unique, job.unique_until)
        if job.state is not JobState.EXECUTING:
            self.owners.pop(job.id, None)

    def remove(self, id: UUID, *, pruned: bool = False) -> bool:
        """Forget a job, and unless it is *pruned* its period; return whether there was one."""
        if not pruned and id in self.jobs:
            self.periods.pop(id, None)
        self.owners.pop(id, None)
        return self.jobs.pop(id, None) is not None

    def of(self, queue: str | None, state: JobState | None = None) -> list[Job]:
        """Return the jobs of a queue, or of all, in a state, or in any."""
        jobs = self.jobs.values()
        return [job for job in jobs if queue in (None, job.queue) and state in (None, job.state)]

    def found(self, filter: JobFilter) -> list[Job]:
        """Return what `Driver.job_list` lists."""
        found = sorted((job for job in self.jobs.values() if self._meets(job, filter)), key=_age)
        return found[: filter.limit]

    def _meets(self, job: Job, filter: JobFilter) -> bool:
        return (
            filter.queue in (None, job.queue)
            and (filter.states is None or job.state in filter.states)
            and (filter.after is None or _age(job) > filter.after)
            and (filter.node is None or self.owners.get(job.id) == filter.node)
        )

    def stats(self, queue: str, state: JobState, now: datetime) -> StateStats:
        """Return the number of jobs in a state, and when the first and last entered it."""
        jobs = self.of(queue, state)
        entered = [job.entered_at for job in jobs]
        since = [job.scheduled_at or job.created_at for job in jobs if state == "available"]
        due = [at for at in since if at <= now]
        oldest, newest = min(entered, default=None), max(entered, default=None)
        return StateStats(len(entered), oldest, newest, min(due, default=None))

    def claimable(self, claim: Claim) -> list[Job]:
        """Return the jobs that *claim* gets, in order."""
        if not self.open(claim):
            return []
        ready = [job for job in self.of(claim.queue) if self.ready(job, claim.now)]
        return sorted(ready, key=self.turn)[: self.room(claim)]

    def open(self, claim: Claim) -> bool:
        """Return whether the queue is kept and gives jobs at all."""
        if claim.queue not in self.paused:
            return False
        return claim.even_paused or not self.paused[claim.queue]

    def ready(self, job: Job, now: datetime) -> bool:
        """Return whether *job* could be claimed by itself."""
        due = job.scheduled_at is None or job.scheduled_at <= now
        return job.state is JobState.AVAILABLE and due and self.heads_its_chain(job)

    def heads_its_chain(self, job: Job) -> bool:
        """Return whether available *job* is the next of its chain, if it has one."""
        if job.chain is None:
            return True
        chain = [one for one in self.of(job.queue) if one.chain == job.chain]
        waiting = [one for one in chain if one.state is JobState.AVAILABLE]
        executing = any(one.state is JobState.EXECUTING for one in chain)
        return not executing and min(waiting, key=self.turn).id == job.id

    def turn(self, job: Job) -> tuple[Any, ...]:
        """Return what jobs are claimed in order of."""
        return (-job.priority, job.created_at, job.id)

    def room(self, claim: Claim) -> int:
        """Return how many jobs *claim* may get at most."""
        limits = [len(self.jobs)]
        if claim.limit is not None:
            limits.append(claim.limit)
        if claim.global_max_workers is not None:
            executing = self.of(claim.queue, JobState.EXECUTING)
            limits.append(claim.global_max_workers - len(executing))
        return max(0, min(limits))

    def prunable(self, queue: str, cutoffs: Cutoffs) -> list[UUID]:
        """Return the jobs of *queue* that a prune without a limit would delete."""
        return [job.id for job in self.of(queue) if self.outlived(job, cutoffs)]

    def outlived(self, job: Job, cutoffs: Cutoffs) -> bool:
        """Return whether *cutoffs* let go of *job*."""
        cutoff = cutoffs.get(job.state)
        return cutoff is not None and (cutoff == "all" or job.entered_at < cutoff)

    def orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs, of *queue* or all, whose node was silent for *lease*."""
        since = self.clock.now() - timedelta(seconds=lease)
        alive = {node for node, beat in self.beats.items() if beat > since}
        executing = self.of(queue, JobState.EXECUTING)
        return sorted((job for job in executing if self.owners.get(job.id) not in alive), key=_age)


def _age(job: Job) -> tuple[datetime, UUID]:
    return (job.created_at, job.id)
