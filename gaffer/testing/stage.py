"""Where the jobs of a test are: with notes of what was inserted, and claims as the test wants them.

A driver becomes a stage by inheriting from `Stage` before its own class.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from gaffer.driver import Claim, Conflict, Driver, Job, JobState, claim

__all__ = ["Dying", "Stage"]


class Stage(Driver):
    """A driver that knows what was inserted, and that can be told to give one job only."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._noted: list[Job] = []
        self._next: list[tuple[str, UUID | None, list[Job]]] = []

    @abstractmethod
    def stands_in_for(self, driver: Driver | str) -> bool:
        """Return whether this may take the place of *driver*, as declared by the program."""

    @abstractmethod
    def dying(self) -> Dying:
        """Return the handle of a process that dies, on the same storage."""

    @abstractmethod
    def hold(self, id: UUID, node: str) -> None:
        """Have *node* hold the executing job of this *id*."""

    @property
    def inserted(self) -> list[Job]:
        """The jobs that were inserted, in order, as they were then."""
        return list(self._noted)

    def note(self, jobs: Sequence[Job]) -> None:
        """Note that *jobs* were inserted, here or by a handle that `dying` has given."""
        self._noted += jobs

    def close(self) -> None:
        """Leave nothing behind; the test has ended."""

    @contextmanager
    def one(self, queue: str, id: UUID | None) -> Iterator[list[Job]]:
        """Have the next claim of *queue* in the block give one job: that of *id*, or the first.

        Give a list that is empty until then: what it gives.
        """
        given: list[Job] = []
        self._next = [(queue, id, given)]
        try:
            yield given
        finally:
            self._next = []

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write jobs, and note those that are new."""
        written = super().job_write(jobs, connection)  # type: ignore[safe-super]
        self.note([job for job in jobs if job.revision == 0])
        return written

    def schedule_advance(
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep the slot of a schedule, and note its jobs if they are inserted."""
        moved = super().schedule_advance(queue, name, expected, slot, jobs)
        self.note(jobs if moved else [])
        return moved

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim jobs, or the one that was asked for."""
        if not self._next or self._next[0][0] != claim.queue:
            return super().job_claim(claim)  # type: ignore[safe-super]
        _, id, given = self._next.pop()
        if id is None:
            given += super().job_claim(replace(claim, limit=1))  # type: ignore[safe-super]
        else:
            given += self._take(id, claim)
        return list(given)

    def _take(self, id: UUID, wanted: Claim) -> list[Job]:
        job = self.job_get(id)
        if job is None or job.state is not JobState.AVAILABLE:
            return []
        taken = claim(job, now=wanted.now)
        try:
            super().job_write([taken])  # type: ignore[safe-super]
        except Conflict:  # a thread of the program's was quicker
            return []
        self.hold(id, wanted.node)
        return [taken]

    def job_write_and_claim(self, jobs: Sequence[Job], claim: Claim) -> list[Job]:
        """Write, and then claim: each with its notes."""
        return Driver.job_write_and_claim(self, jobs, claim)


class Dying(Stage):
    """The handle of a process that dies: it claims, gives no sign of life, and settles nothing."""

    def node_beat(self, node: str) -> None:
        """Give none."""

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Insert what is new; what would settle a job never arrives."""
        super().job_write([job for job in jobs if job.revision == 0], connection)
        return list(jobs)
