"""The model: a driver over `gaffer.testing.oracle`, behind one lock. For tests only, it is slow.

The conformance suite compares every driver with it, and passes on it first: that tests the tests.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from gaffer.driver import (
    Claim,
    Cutoffs,
    Driver,
    DriverError,
    Job,
    JobFilter,
    JobState,
    Node,
    QueueHasJobs,
    StateStats,
    claim,
)
from gaffer.testing.doubles import ManualClock
from gaffer.testing.harness import DriverHarness
from gaffer.testing.oracle import ModelStore

__all__ = ["ModelDriver", "ModelHarness", "ModelStore"]


class ModelDriver(Driver):
    """A handle onto a `ModelStore`."""

    unique = True

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._ends: list[Callable[[], None]] = []

    def start(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """End the subscriptions of this handle."""
        for end in self._ends:
            end()
        self._ends.clear()

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self._store.lock = self._store.new_lock()

    @property
    def storage(self) -> Hashable:
        """The store."""
        return self._store

    def now(self) -> datetime:
        """Return the present instant of the store's clock."""
        return self._store.clock.now()

    def queue_insert(self, name: str) -> None:
        """Keep the name of a queue."""
        with self._store.lock:
            self._store.paused.setdefault(name, False)

    def queue_exists(self, name: str) -> bool:
        """Return whether the name is kept."""
        with self._store.lock:
            return name in self._store.paused

    def queue_list(self) -> list[str]:
        """Return all names, sorted by code point."""
        with self._store.lock:
            return sorted(self._store.paused)

    def queue_delete(self, name: str, *, jobs: bool = False) -> None:
        """Forget a queue."""
        with self._changing() as store:
            store.require_queue(name)
            if store.of(name) and not jobs:
                raise QueueHasJobs(name)
            for job in store.of(name):
                store.remove(job.id)
            del store.paused[name]
            store.periods = {id: kept for id, kept in store.periods.items() if kept[0] != name}
            store.slots = {key: at for key, at in store.slots.items() if key[0] != name}

    def queue_pause(self, name: str, paused: bool) -> bool:
        """Keep whether a queue is paused."""
        with self._changing() as store:
            store.require_queue(name)
            before = store.paused[name]
            store.paused[name] = paused
            return before != paused

    def queue_paused(self, name: str) -> bool:
        """Return whether a queue is paused."""
        with self._store.lock:
            return self._store.paused.get(name, False)

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none."""
        if connection is not None:
            raise DriverError("the model has no connections")
        with self._changing() as store:
            store.require_writable(jobs)
            for job in jobs:
                store.put(_copy(job))
            return [_copy(job) for job in jobs]

    def job_get(self, id: UUID) -> Job | None:
        """Return a job, or `None`."""
        with self._store.lock:
            job = self._store.jobs.get(id)
            return None if job is None else _copy(job)

    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        """Return those of *ids* that have ended, and `None` for those that are gone."""
        with self._store.lock:
            return {
                id: None if job is None else _copy(job)
                for id in ids
                if (job := self._store.jobs.get(id)) is None or job.state.terminal
            }

    def job_list(self, filter: JobFilter) -> list[Job]:
        """Return the jobs that meet *filter*."""
        with self._store.lock:
            return [_copy(job) for job in self._store.found(filter)]

    def job_delete(self, id: UUID) -> bool:
        """Delete a job."""
        with self._changing() as store:
            return store.remove(id)

    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return the number of jobs in each state, and when the first and last entered it."""
        with self._store.lock:
            return {state: self._store.stats(queue, state, self.now()) for state in JobState}

    def job_claim(self, claim_: Claim) -> list[Job]:
        """Claim jobs."""
        with self._changing() as store:
            jobs = [claim(job, now=claim_.now) for job in store.claimable(claim_)]
            for job in jobs:
                store.put(job)
                store.owners[job.id] = claim_.node
            return [_copy(job) for job in jobs]

    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* jobs of *queue*."""
        with self._changing() as store:
            ids = store.prunable(queue, cutoffs)[:limit]
            for id in ids:
                store.remove(id, pruned=True)
            return ids

    def schedule_last(self, queue: str, name: str) -> datetime | None:
        """Return the last slot of a schedule."""
        with self._store.lock:
            return self._store.slots.get((queue, name))

    def schedule_advance(
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep a slot and insert its jobs, if the last one is *expected*."""
        with self._changing() as store:
            store.require_queue(queue)
            if store.slots.get((queue, name)) != expected:
                return False
            store.require_writable(jobs)
            for job in jobs:
                store.put(_copy(job))
            store.slots[queue, name] = slot
            return True

    def node_beat(self, node: str) -> None:
        """Note that *node* is alive."""
        with self._store.lock:
            self._store.beats[node] = self.now()

    def node_leave(self, node: str) -> None:
        """Forget a node."""
        with self._store.lock:
            self._store.beats.pop(node, None)
            self._store.abouts.pop(node, None)

    def node_tell(self, node: str, about: str) -> None:
        """Keep what a node says of itself."""
        with self._store.lock:
            if node in self._store.beats:
                self._store.abouts[node] = about

    def node_list(self) -> list[Node]:
        """Return the nodes by name."""
        with self._store.lock:
            return [
                Node(name=name, beat_at=at, about=self._store.abouts.get(name))
                for name, at in sorted(self._store.beats.items())
            ]

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs whose node is silent."""
        with self._store.lock:
            return [_copy(job) for job in self._store.orphans(queue, lease)]

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call *wake* after every change, of whatever queue."""

        def call() -> None:
            wake()

        def end() -> None:
            if call in self._store.wakes:
                self._store.wakes.remove(call)

        self._store.wakes.append(call)
        self._ends.append(end)
        return end

    @contextlib.contextmanager
    def _changing(self) -> Iterator[ModelStore]:
        with self._store.lock:
            yield self._store
        self._store.wake()


def _copy(job: Job) -> Job:
    return replace(job, errors=copy.deepcopy(job.errors))


class ModelHarness(DriverHarness):
    """Runs the suite on the model itself."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = self.new_store()

    def new_store(self) -> ModelStore:
        """Return what the handles share."""
        return ModelStore(self.clock)

    def open(self) -> Driver:
        """Return a new handle."""
        driver = ModelDriver(self.store)
        driver.start()
        return driver

    def reset(self) -> None:
        """Forget everything."""
        self.store.clear()

    def advance(self, seconds: float) -> None:
        """Move the clock, and wake who waits for a time."""
        self.clock.advance(seconds)
        self.store.wake()
