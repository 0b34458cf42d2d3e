"""The jobs of one process, and the one lock that guards them.

`Storage.jobs` is the truth; the indexes are derived from it and rebuilt from it when something,
such as a ``Ctrl-C`` in the main thread, interrupts a change half-way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID
from weakref import WeakSet

from gaffer.driver import (
    Claim,
    Clock,
    Conflict,
    Cutoffs,
    Job,
    JobState,
    KeyHeld,
    QueueHasJobs,
    SystemClock,
    UnknownQueue,
    dump_errors,
    evolve,
    load_errors,
)
from gaffer_driver_memory.index import QueueIndex
from gaffer_driver_memory.keys import Keys
from gaffer_driver_memory.timer import Timer, wake_all

__all__ = ["Storage", "copied"]

Wake = Callable[[], None]
T = TypeVar("T")


class Storage:
    """Jobs, queues and nodes in memory. Several drivers may share one; it lives as long as they do.

    The names without an underscore are for the drivers, which hold `lock` while they use them.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.jobs: dict[int, Job] = {}
        self.queues: dict[str, QueueIndex] = {}
        self.holders: dict[int, str] = {}
        self.nodes: dict[str, datetime] = {}
        self.abouts: dict[str, str] = {}
        self.keys = Keys()
        self.slots: dict[tuple[str, str], datetime] = {}
        self._touched: set[str] = set()  # queues that may have got claimable jobs
        self._subscribers: dict[str, list[Wake]] = {}
        self._renew()
        _storages.add(self)

    def _renew(self) -> None:
        """Make what belongs to one process: the lock, the timer, the subscribers."""
        self.lock = threading.Lock()
        self._subscribers.clear()
        self._timer = Timer(self.lock, self._next_due, self._wake_due)

    def clear(self) -> None:
        """Forget everything but the subscriptions."""
        with self.lock:
            self.jobs.clear()
            self.queues.clear()
            self.holders.clear()
            self.nodes.clear()
            self.abouts.clear()
            self.keys.clear()
            self.slots.clear()

    def change(self, make: Callable[[], T]) -> T:
        """Make a change under the lock, and wake whom it concerns after that.

        If it is interrupted, the indexes are derived anew.
        """
        with self.lock:
            try:
                made = make()
            except (Conflict, KeyHeld, QueueHasJobs, UnknownQueue):
                raise  # found before anything was changed
            except BaseException:
                self._rebuild()
                raise
            wakes = self._wakes(self._touched)
            self._touched.clear()
        wake_all(wakes)
        return made

    def _rebuild(self) -> None:
        fresh = {name: QueueIndex() for name in self.queues}
        for name, index in self.queues.items():
            fresh[name].paused = index.paused
        for job in self.jobs.values():
            fresh[job.queue].add(job)
        executing = {key for key, job in self.jobs.items() if job.state is JobState.EXECUTING}
        self.holders = {key: node for key, node in self.holders.items() if key in executing}
        self.queues = fresh

    # -- changes, under the lock -------------------------------------------------------------------

    def write(self, jobs: Sequence[Job]) -> None:
        """Keep all of *jobs*, or raise and keep none."""
        before = self._replaced(jobs)
        self._take_keys([job for job in jobs if job.unique is not None], jobs)
        after = {job.id.int: _own(job) for job in jobs}
        self.jobs.update(after)  # one step: from here on the batch is kept
        for key, job in after.items():
            index = self.queues[job.queue]
            old = before.get(key)
            if old is not None:
                index.remove(old)
                if job.state is not JobState.EXECUTING:
                    self.holders.pop(key, None)
            index.add(job)
            self._touched.add(job.queue)
            if job.scheduled_at is not None and job.scheduled_at == index.due:
                self._timer.look()

    def _take_keys(self, keyed: Sequence[Job], jobs: Sequence[Job]) -> None:
        """Keep the periods of new jobs, or raise `KeyHeld`."""
        if not keyed:
            return
        now, written = self.clock.now(), {job.id.int for job in jobs}
        taken = {
            (job.queue, job.unique): job
            for job in reversed(keyed)
            if job.revision and not job.state.terminal
        }
        held: dict[UUID, Job | UUID] = {}
        for job in keyed:
            if job.state.terminal:
                continue
            holder: Job | UUID | None = self.queues[job.queue].keyed.get(job.unique or "")
            if isinstance(holder, Job) and holder.id.int in written:
                holder = None
            holder = holder or taken.setdefault((job.queue, job.unique), job)
            if holder is job:
                id = self.keys.holder(job, now)
                holder = job if id is None else self.jobs.get(id.int, id)
            if holder is not job:
                held[job.id] = copied(holder) if isinstance(holder, Job) else holder
        if held:
            raise KeyHeld(held)
        self.keys.keep(keyed)

    def advance(
        self,
        schedule: tuple[str, str],
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep *slot* and *jobs*, if the schedule's last slot is *expected*."""
        if schedule[0] not in self.queues:
            raise UnknownQueue(schedule[0])
        if self.slots.get(schedule) != expected:
            return False
        self.write(jobs)
        self.slots[schedule] = slot
        return True

    def _replaced(self, jobs: Sequence[Job]) -> dict[int, Job]:
        found: dict[int, Job] = {}
        wrong = []
        seen = set()
        for job in jobs:
            key = job.id.int
            old = self.jobs.get(key)
            if key in seen or (old.revision if old else -1) != job.revision - 1:
                wrong.append(job.id)
            elif old is not None:
                found[key] = old
            seen.add(key)
        if wrong:
            raise Conflict(wrong)
        for job in jobs:
            if job.queue not in self.queues:
                raise UnknownQueue(job.queue)
        return found

    def take(self, claim: Claim) -> list[Job]:
        """Claim jobs."""
        index = self.queues.get(claim.queue)
        if index is None or (index.paused and not claim.even_paused):
            return []
        limit = len(self.jobs) if claim.limit is None else claim.limit
        if claim.global_max_workers is not None:
            limit = min(limit, claim.global_max_workers - len(index.jobs[JobState.EXECUTING]))
        taken = index.take(limit, claim.now)
        self.holders.update((job.id.int, claim.node) for job in taken)
        self.jobs.update((job.id.int, job) for job in taken)
        return [_own(job) for job in taken]

    def drop(self, id: UUID) -> bool:
        """Delete a job, and free its key; return whether there was one."""
        job = self._drop(id)
        if job is not None:
            self.keys.free(job)
        return job is not None

    def _drop(self, id: UUID) -> Job | None:
        job = self.jobs.pop(id.int, None)
        if job is None:
            return None
        self.holders.pop(id.int, None)
        self.queues[job.queue].remove(job)
        self._touched.add(job.queue)
        return job

    def prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* old jobs; return their ids."""
        pruned: list[UUID] = []
        for state, cutoff in cutoffs.items():
            if queue in self.queues:
                pruned += self.queues[queue].aged(state, cutoff, limit - len(pruned))
        for id in pruned:
            self._drop(id)
        self.keys.forget(self.clock.now())
        return pruned

    def delete(self, queue: str, *, jobs: bool) -> None:
        """Forget a queue, and its jobs if asked to."""
        index = self.index(queue)
        if len(index) and not jobs:
            raise QueueHasJobs(queue)
        for job in list(index):
            self.drop(job.id)
        self.keys.free_all(queue)
        del self.queues[queue]
        self.slots = {key: at for key, at in self.slots.items() if key[0] != queue}

    def pause(self, queue: str, paused: bool) -> bool:
        """Note whether a queue is paused; return whether that was a change."""
        index = self.index(queue)
        was, index.paused = index.paused, paused
        if not paused:
            self._touched.add(queue)
        return was != paused

    def index(self, queue: str) -> QueueIndex:
        """Return the index of a queue, or raise `UnknownQueue`."""
        try:
            return self.queues[queue]
        except KeyError:
            raise UnknownQueue(queue) from None

    # -- waking ----------------------------------------------------------------------------------

    def subscribe(self, queue: str, wake: Wake) -> Callable[[], None]:
        """Call *wake* whenever a job of *queue* may have become claimable."""
        with self.lock:
            self._subscribers.setdefault(queue, []).append(wake)
            self._timer.look()

        def unsubscribe() -> None:
            with self.lock:
                wakes = self._subscribers.get(queue, [])
                if wake in wakes:
                    wakes.remove(wake)
                if not wakes:
                    self._subscribers.pop(queue, None)
                self._timer.look()

        return unsubscribe

    def _wakes(self, queues: Iterable[str]) -> list[Wake]:
        found: list[Wake] = []
        for name in queues:
            wakes = self._subscribers.get(name)
            if wakes and name in self.queues and self.queues[name].ready:
                found += wakes
        return found

    def tick(self) -> None:
        """Look at the clock again: for clocks that are moved by hand."""
        with self.lock:
            self._timer.look()

    def _next_due(self) -> float | None:
        """Return the seconds until the next scheduled job of a subscribed queue, or `None`."""
        indexes = (self.queues.get(name) for name in self._subscribers)
        due = min((i.due for i in indexes if i is not None and i.due is not None), default=None)
        return None if due is None else (due - self.clock.now()).total_seconds()

    def _wake_due(self) -> list[Wake]:
        now = self.clock.now()
        for name in self._subscribers:
            if name in self.queues:
                self.queues[name].promote(now)
        return self._wakes(self._subscribers)


def _own(job: Job) -> Job:
    """Return *job* with errors that nobody else holds; its JSON texts cannot be changed."""
    return copied(job) if job.errors else job


def copied(job: Job) -> Job:
    """Return a copy that shares nothing that can be changed: no errors, no decoded values."""
    return evolve(job, errors=load_errors(dump_errors(job.errors)) if job.errors else ())


# A fork must not catch a storage half-way through a change: the forking thread takes every lock
# first. Nobody holds two of them, so the order does not matter.
_storages: WeakSet[Storage] = WeakSet()
_held: list[Storage] = []
_forking = threading.Lock()  # one fork at a time: it has `_held`


def _before_fork() -> None:
    _forking.acquire()
    _held[:] = _storages
    for storage in _held:
        storage.lock.acquire()


def _after_fork_in_parent() -> None:
    for storage in _held:
        storage.lock.release()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    global _forking
    for storage in _held:
        storage._renew()
    _held.clear()
    _forking = threading.Lock()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
