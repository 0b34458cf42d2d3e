"""One queue's jobs, arranged so that claim, insert and settle never look at all of them.

Everything here can be rebuilt from the jobs. Heaps are cleaned lazily: an entry whose job is not
the one that is kept any more is dropped when it comes up. No lock: the storage holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Literal, TypeAlias
from uuid import UUID

from gaffer.driver import Job, JobState, claim
from gaffer_driver_memory.lane import Lane, Ranked

__all__ = ["QueueIndex"]

_SLACK = 100

_Timed: TypeAlias = tuple[datetime, int, Job]


class _Chain:
    """The jobs of one chain: at most one executes, and only the first of the others is offered."""

    __slots__ = ("executing", "living", "offered", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Ranked] = []
        self.living = 0  # available jobs; the other entries are outdated
        self.executing: Job | None = None
        self.offered: Job | None = None


class QueueIndex:
    """The jobs of one queue by state, by rank, by due time and by age."""

    def __init__(self) -> None:
        self.paused = False
        self.jobs: dict[JobState, dict[int, Job]] = {state: {} for state in JobState}
        self.keyed: dict[str, Job] = {}  # available and executing jobs by their keys
        self._available = self.jobs[JobState.AVAILABLE]
        self._ready = Lane()
        self._scheduled: list[_Timed] = []
        self._ended: dict[JobState, list[_Timed]] = {s: [] for s in JobState if s.terminal}
        self._chains: dict[str, _Chain] = {}
        self._ticks = count()

    def __len__(self) -> int:
        return sum(map(len, self.jobs.values()))

    def __iter__(self) -> Iterator[Job]:
        for jobs in self.jobs.values():
            yield from jobs.values()

    @property
    def ready(self) -> bool:
        """Whether a claim may find a job (or only outdated entries) now."""
        return bool(self._ready)

    @property
    def due(self) -> datetime | None:
        """When the first scheduled job (or an outdated entry) is due."""
        return self._scheduled[0][0] if self._scheduled else None

    # -- changes ---------------------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Take in a job that is not here."""
        state = job.state
        self.jobs[state][job.id.int] = job
        if job.unique is not None and not state.terminal:
            self.keyed[job.unique] = job
        if state is JobState.AVAILABLE:
            self._add_available(job)
        elif state is JobState.EXECUTING:
            if job.chain is not None:
                self._chain(job.chain).executing = job
        else:
            self._add_ended(job)

    def _add_ended(self, job: Job) -> None:
        heap, jobs = self._ended[job.state], self.jobs[job.state]
        if len(heap) > 2 * len(jobs) + _SLACK:
            heap[:] = [entry for entry in heap if jobs.get(entry[-1].id.int) is entry[-1]]
            heapify(heap)
        heappush(heap, (job.entered_at, next(self._ticks), job))

    def _add_available(self, job: Job) -> None:
        if job.chain is None:
            self._offer(job)
        else:
            chain = self._chain(job.chain)
            chain.living += 1
            if len(chain.waiting) > 2 * chain.living + _SLACK:
                chain.waiting = [entry for entry in chain.waiting if self._is_kept(entry[-1])]
                heapify(chain.waiting)
            heappush(chain.waiting, self._rank(job))
            self._offer_head(job.chain, chain)
        if len(self._ready) + len(self._scheduled) > 2 * len(self._available) + _SLACK:
            self._drop_outdated()

    def remove(self, job: Job) -> None:
        """Forget a job that is here."""
        jobs = self.jobs[job.state]
        del jobs[job.id.int]
        if job.unique is not None and self.keyed.get(job.unique) is job:
            del self.keyed[job.unique]
        if not jobs:
            self._drop_entries(job.state)
        if job.chain is not None:
            chain = self._chain(job.chain)
            if chain.executing is job:
                chain.executing = None
            chain.living -= job.state is JobState.AVAILABLE
            self._offer_head(job.chain, chain)

    def _drop_entries(self, state: JobState) -> None:
        """Let go of all entries of a state that no job is in: all are outdated."""
        if state.terminal:
            self._ended[state].clear()
        elif state is JobState.AVAILABLE:
            self._ready = Lane()
            self._scheduled.clear()

    def take(self, limit: int, now: datetime) -> list[Job]:
        """Claim up to *limit* jobs at *now*, and return them as executing, in order."""
        self.promote(now)
        taken: list[Job] = []
        while self._ready and len(taken) < limit:
            job = self._ready.pop()
            if not self._claimable(job):
                continue
            if job.scheduled_at is not None and job.scheduled_at > now:
                self._offer(job)  # the claim before this one had a later clock
                self.promote(now)
                continue
            claimed = claim(job, now=now)
            self.remove(job)
            self.add(claimed)
            taken.append(claimed)
        return taken

    def promote(self, now: datetime) -> None:
        """Make the scheduled jobs that are due at *now* ready."""
        while self._scheduled and self._scheduled[0][0] <= now:
            job = heappop(self._scheduled)[-1]
            if self._is_kept(job):
                self._ready.push(self._rank(job))

    # -- looks -----------------------------------------------------------------------------------

    def aged(self, state: JobState, cutoff: datetime | Literal["all"], limit: int) -> list[UUID]:
        """Return the ids of up to *limit* jobs that entered *state* before *cutoff*."""
        jobs = self.jobs[state]
        if cutoff == "all":
            return [job.id for _, job in zip(range(limit), jobs.values(), strict=False)]
        if not state.terminal:
            old = (job.id for job in jobs.values() if job.entered_at < cutoff)
            return [id for _, id in zip(range(limit), old, strict=False)]
        return self._aged(state, cutoff, limit)

    def _aged(self, state: JobState, cutoff: datetime, limit: int) -> list[UUID]:
        # The caller deletes what is returned, so that the popped entries are not missed.
        heap, jobs, old = self._ended[state], self.jobs[state], list[UUID]()
        while heap and heap[0][0] < cutoff and len(old) < limit:
            job = heappop(heap)[-1]
            if jobs.get(job.id.int) is job:
                old.append(job.id)
        return old

    # -- inside ----------------------------------------------------------------------------------

    def _claimable(self, job: Job) -> bool:
        if not self._is_kept(job):
            return False
        if job.chain is None:
            return True
        chain = self._chains[job.chain]
        if chain.executing is None and self._head(chain) is job:
            return True
        if chain.offered is job:
            chain.offered = None  # it comes up again when it is its turn
        return False

    def _rank(self, job: Job) -> Ranked:
        return (-job.priority, job.created_at, job.id.int, next(self._ticks), job)

    def _offer(self, job: Job) -> None:
        if job.scheduled_at is None:
            self._ready.push(self._rank(job))
        else:
            heappush(self._scheduled, (job.scheduled_at, next(self._ticks), job))

    def _chain(self, name: str) -> _Chain:
        chain = self._chains.get(name)
        if chain is None:
            chain = self._chains[name] = _Chain()
        return chain

    def _head(self, chain: _Chain) -> Job | None:
        waiting = chain.waiting
        while waiting:
            job = waiting[0][-1]
            if self._is_kept(job):
                return job
            heappop(waiting)
        return None

    def _offer_head(self, name: str, chain: _Chain) -> None:
        head = self._head(chain)
        if chain.executing is not None:
            return
        if head is None:
            self._chains.pop(name, None)
        elif head is not chain.offered:
            chain.offered = head
            self._offer(head)

    def _drop_outdated(self) -> None:
        self._ready.keep(self._is_kept)
        self._scheduled = [entry for entry in self._scheduled if self._is_kept(entry[-1])]
        heapify(self._scheduled)

    def _is_kept(self, job: Job) -> bool:
        return self._available.get(job.id.int) is job
