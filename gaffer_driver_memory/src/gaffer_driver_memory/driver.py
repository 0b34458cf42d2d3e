"""The driver: each verb takes the storage's lock once, and wakes after it has let go."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Any, Self
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
    StateStats,
)
from gaffer_driver_memory.index import QueueIndex
from gaffer_driver_memory.storage import Storage, copied

__all__ = ["MemoryDriver"]


class MemoryDriver(Driver):
    """Keeps jobs in memory, thread-safe, for as long as the process lives.

    Drivers made with the same *storage* see the same jobs. Without one the driver makes its own,
    and forgets everything when it is stopped.
    """

    unique = True

    def __init__(self, storage: Storage | None = None) -> None:
        self._storage = storage or Storage()
        self._own = storage is None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a driver from ``memory://``, which takes nothing else."""
        if url.rstrip("/") != "memory:":
            raise DriverError(f"{url!r}: memory:// takes no host, path or options")
        return cls()

    def start(self) -> None:
        """Do nothing: the memory is there."""

    def stop(self) -> None:
        """Forget all jobs, if the storage is this driver's own."""
        if self._own:
            self._storage.clear()

    @property
    def storage(self) -> Hashable:
        """The storage that this driver works on."""
        return self._storage

    def now(self) -> datetime:
        """Return the instant of the storage's clock."""
        return self._storage.clock.now()

    # -- queues --------------------------------------------------------------------------------

    def queue_insert(self, name: str) -> None:
        """Keep the name of a queue."""
        self._storage.change(lambda: self._storage.queues.setdefault(name, QueueIndex()))

    def queue_exists(self, name: str) -> bool:
        """Return whether the name is kept."""
        return name in self._storage.queues

    def queue_list(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._storage.queues)

    def queue_delete(self, name: str, *, jobs: bool = False) -> None:
        """Forget a queue, and its jobs if asked to."""
        self._storage.change(lambda: self._storage.delete(name, jobs=jobs))

    def queue_pause(self, name: str, paused: bool) -> bool:
        """Keep whether a queue is paused; return whether that was a change."""
        return self._storage.change(lambda: self._storage.pause(name, paused))

    def queue_paused(self, name: str) -> bool:
        """Return whether a queue is paused."""
        index = self._storage.queues.get(name)
        return index is not None and index.paused

    # -- jobs ----------------------------------------------------------------------------------

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none."""
        if connection is not None:
            raise DriverError("the memory driver has no connections; leave connection out")
        self._storage.change(lambda: self._storage.write(jobs))
        return list(jobs)

    def job_get(self, id: UUID) -> Job | None:
        """Return a job, or `None`."""
        job = self._storage.jobs.get(id.int)
        return None if job is None else copied(job)

    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        """Return those of *ids* that have ended, and `None` for those that are gone."""
        found = [(id, self._storage.jobs.get(id.int)) for id in ids]
        return {
            id: None if job is None else copied(job)
            for id, job in found
            if job is None or job.state.terminal
        }

    def job_list(self, filter: JobFilter) -> list[Job]:
        """Return the jobs that meet *filter*, by (created_at, id)."""
        with self._storage.lock:
            found = [job for job in self._candidates(filter) if self._meets(job, filter)]
        if filter.limit is None:
            return [copied(job) for job in sorted(found, key=_by_age)]
        return [copied(job) for job in nsmallest(filter.limit, found, key=_by_age)]

    def _candidates(self, filter: JobFilter) -> Iterable[Job]:
        queues = self._storage.queues
        names = queues if filter.queue is None else [filter.queue]
        for name in names:
            for state in JobState if filter.states is None else filter.states:
                if name in queues:
                    yield from queues[name].jobs[state].values()

    def _meets(self, job: Job, filter: JobFilter) -> bool:
        if filter.node is not None and self._storage.holders.get(job.id.int) != filter.node:
            return False
        return filter.after is None or (job.created_at, job.id) > filter.after

    def job_delete(self, id: UUID) -> bool:
        """Delete a job; return whether there was one."""
        return self._storage.change(lambda: self._storage.drop(id))

    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return count, oldest and newest of each state."""
        with self._storage.lock:
            index = self._storage.queues.get(queue)
            jobs = {state: list(index.jobs[state].values()) if index else [] for state in JobState}
        return {state: self._stats(some) for state, some in jobs.items()}

    def _stats(self, jobs: Sequence[Job]) -> StateStats:
        entered, now = [job.entered_at for job in jobs], self.now()
        due = [
            since
            for job in jobs
            if job.state is JobState.AVAILABLE
            and (since := job.scheduled_at or job.created_at) <= now
        ]
        return StateStats(
            len(jobs),
            min(entered, default=None),
            max(entered, default=None),
            min(due, default=None),
        )

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim jobs, in order."""
        return self._storage.change(lambda: self._storage.take(claim))

    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* old jobs; return their ids."""
        return self._storage.change(lambda: self._storage.prune(queue, cutoffs, limit))

    # -- schedules ------------------------------------------------------------------------------

    def schedule_last(self, queue: str, name: str) -> datetime | None:
        """Return the last slot of a schedule."""
        return self._storage.slots.get((queue, name))

    def schedule_advance(
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep a slot and insert its jobs, if the last one is *expected*."""
        return self._storage.change(
            lambda: self._storage.advance((queue, name), expected, slot, jobs)
        )

    # -- nodes ---------------------------------------------------------------------------------

    def node_beat(self, node: str) -> None:
        """Note that *node* is alive."""
        self._storage.nodes[node] = self.now()

    def node_leave(self, node: str) -> None:
        """Forget a node."""
        self._storage.nodes.pop(node, None)
        self._storage.abouts.pop(node, None)

    def node_tell(self, node: str, about: str) -> None:
        """Keep what a node says of itself."""
        if node in self._storage.nodes:
            self._storage.abouts[node] = about

    def node_list(self) -> list[Node]:
        """Return the nodes by name."""
        abouts = self._storage.abouts.copy()
        return [
            Node(name=name, beat_at=beat_at, about=abouts.get(name))
            for name, beat_at in sorted(self._storage.nodes.copy().items())
        ]

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs whose node has not beaten for *lease* seconds."""
        silent = self.now() - timedelta(seconds=lease)
        executing = JobFilter(queue=queue, states=frozenset({JobState.EXECUTING}))
        with self._storage.lock:
            found = [job for job in self._candidates(executing) if self._silent(job, silent)]
        return [copied(job) for job in sorted(found, key=_by_age)]

    def _silent(self, job: Job, since: datetime) -> bool:
        node = self._storage.holders.get(job.id.int)
        beat = None if node is None else self._storage.nodes.get(node)
        return beat is None or beat <= since

    # -- waking ----------------------------------------------------------------------------------

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None]:
        """Call *wake* at once when a job of *queue* may have become claimable."""
        return self._storage.subscribe(queue, wake)


def _by_age(job: Job) -> tuple[datetime, int]:
    return (job.created_at, job.id.int)
