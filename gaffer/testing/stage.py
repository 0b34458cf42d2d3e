"""Where the jobs of a test are: in memory, with notes of what was inserted and what was claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from gaffer.driver import Claim, Driver, Job, JobState, claim
from gaffer_driver_memory import MemoryDriver, Storage

__all__ = ["Dying", "Stage", "stands_in_for"]


def stands_in_for(driver: Driver | str) -> bool:
    """Return whether the stage can take the place of *driver*: of one in memory only."""
    if isinstance(driver, str):
        return driver.partition(":")[0] == "memory"
    return isinstance(driver, MemoryDriver)


class Stage(MemoryDriver):
    """A memory driver that knows what was inserted, and that can be told to give one job only."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.inserted: list[Job] = []
        self._next: list[tuple[str, UUID | None, list[Job]]] = []

    def give_one(self, queue: str, id: UUID | None) -> list[Job]:
        """Let the next claim of *queue* give one job: the one of that *id*, or the first.

        Return a list that is empty until then: what it gives.
        """
        given: list[Job] = []
        self._next = [(queue, id, given)]
        return given

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write jobs, and note those that are new. A connection means nothing here."""
        written = super().job_write(jobs)
        self.inserted += [job for job in jobs if job.revision == 0]
        return written

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim jobs, or the one that was asked for."""
        if not self._next or self._next[0][0] != claim.queue:
            return super().job_claim(claim)
        _, id, given = self._next.pop()
        if id is None:
            given += super().job_claim(replace(claim, limit=1))
        else:
            given += self._storage.change(lambda: self._take(id, claim))
        return list(given)

    def _take(self, id: UUID, wanted: Claim) -> list[Job]:
        storage = self._storage
        job = storage.jobs.get(id.int)
        if job is None or job.state is not JobState.AVAILABLE:
            return []
        taken = claim(job, now=wanted.now)
        index = storage.index(job.queue)
        index.remove(job)
        index.add(taken)
        storage.jobs[id.int] = taken
        storage.holders[id.int] = wanted.node
        return [taken]


class Dying(Stage):
    """The handle of a process that dies: it claims, gives no sign of life, and settles nothing."""

    def node_beat(self, node: str) -> None:
        """Give none."""

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Insert what is new; what would settle a job never arrives."""
        super().job_write([job for job in jobs if job.revision == 0])
        return list(jobs)
