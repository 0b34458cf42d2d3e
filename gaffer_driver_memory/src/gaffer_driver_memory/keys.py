"""Keys that are held for a time, whatever becomes of the jobs. No lock: the storage holds one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gaffer.driver import Job

__all__ = ["Keys"]


class Keys:
    """By queue and key: the job that holds it, and until when."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str | None], tuple[UUID, datetime]] = {}

    def holder(self, job: Job, now: datetime) -> UUID | None:
        """Return the job that holds the key of *job* at *now*, if it is not *job*, from before."""
        id, until = self._kept.get((job.queue, job.unique), (job.id, now))
        return id if until > now and (id != job.id or job.revision == 0) else None

    def keep(self, jobs: Iterable[Job]) -> None:
        """Keep the keys of new *jobs* that have a period."""
        for job in jobs:
            if job.revision == 0 and job.unique_until is not None and not job.state.terminal:
                self._kept[job.queue, job.unique] = (job.id, job.unique_until)

    def free(self, job: Job) -> None:
        """Forget the key of *job*, if it holds it."""
        kept = self._kept.get((job.queue, job.unique))
        if kept is not None and kept[0] == job.id:
            del self._kept[job.queue, job.unique]

    def free_all(self, queue: str) -> None:
        """Forget the keys of a queue."""
        self._kept = {place: kept for place, kept in self._kept.items() if place[0] != queue}

    def forget(self, now: datetime) -> None:
        """Forget the keys whose time has gone by."""
        if self._kept:
            self._kept = {place: kept for place, kept in self._kept.items() if kept[1] > now}

    def clear(self) -> None:
        """Forget all keys."""
        self._kept.clear()
