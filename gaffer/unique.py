"""Inserting jobs with keys: what is done when other jobs hold these. No lock: storage decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from gaffer import machine
from gaffer.conf import OnConflict
from gaffer.driver import Driver
from gaffer.errors import Conflict, DriverError, DriverUnavailable, JobExists, KeyHeld
from gaffer.job import Job, JobState

__all__ = ["Unique", "exists", "require_keys"]

_TRIES = 20
"""How often in a row others may be quicker, before somebody is told."""

Write: TypeAlias = Callable[[Sequence[Job]], Any]


def require_keys(driver: Driver, jobs: Sequence[Job]) -> bool:
    """Return whether any of *jobs* has a key; raise `DriverError` if *driver* takes none."""
    if [job.unique for job in jobs].count(None) == len(jobs):
        return False
    if not driver.unique:
        raise DriverError(f"{type(driver).__name__} keeps no keys; leave unique out")
    return True


@dataclass(slots=True)
class Unique:
    """Inserts *jobs* by *write*, all that can be at once; see `Gaffer.insert` for *on_conflict*.

    Afterwards `inserted` are those that are new, `replaced` those that have been replaced, and
    `found` those that hold the keys of jobs, by the ids of these.
    """

    jobs: Sequence[Job]
    on_conflict: OnConflict
    write: Write
    inserted: list[Job] = field(default_factory=list)
    replaced: list[Job] = field(default_factory=list)
    found: dict[UUID, Job] = field(default_factory=dict)

    def run(self) -> list[Job]:
        """Insert; return a job for each of *jobs*, in order. Raise `JobExists`."""
        pending, tries = list(self.jobs), 0
        while pending:
            try:
                self.write(pending)
            except KeyHeld as held:
                refused = [job for job in pending if job.id in held.holders]
                if not refused:
                    raise  # names none of these jobs: the driver is at fault
                tries += 1
                self._resolve(refused, held, tries)
                pending = [job for job in pending if job.id not in self.found]
            else:
                self.inserted = pending
                break
        return [self._instead(job) for job in self.jobs]

    def _instead(self, job: Job) -> Job:
        while job.id in self.found and self.found[job.id].id != job.id:
            job = self.found[job.id]
        return job

    def _resolve(self, refused: Sequence[Job], held: KeyHeld, tries: int) -> None:
        for job in refused:
            holder = held.holders[job.id]
            if self.on_conflict == "raise" or isinstance(holder, UUID):
                raise exists(job, held) from None
            if self.on_conflict == "return":
                self.found[job.id] = holder
            else:
                self._replace(job, holder, held, tries)

    def _replace(self, job: Job, holder: Job, held: KeyHeld, tries: int) -> None:
        if holder.state is not JobState.AVAILABLE or holder.chain != job.chain:
            raise exists(job, held) from None
        after = machine.replaced(holder, job)
        try:
            self.write([after])
        except (Conflict, KeyHeld):  # somebody was quicker: insert again
            if tries >= _TRIES:
                raise DriverUnavailable(
                    f"job {holder.id}, which holds the key {job.unique!r}, changes all the time"
                ) from None
        else:
            self.replaced.append(after)
            self.found[job.id] = after


def exists(job: Job, held: KeyHeld) -> JobExists:
    """Return what a caller is told whose *job* was refused."""
    assert job.unique is not None
    return JobExists(job.queue, job.unique, held.holders[job.id])
