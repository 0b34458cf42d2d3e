"""Drivers with one fault each, for `test_suite_catches_mutants`: the model, spoilt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from gaffer.driver import (
    Claim,
    Conflict,
    Cutoffs,
    Driver,
    Job,
    JobFilter,
    JobState,
    StateStats,
    UnknownQueue,
    evolve,
)
from gaffer.testing.model import ModelDriver, ModelHarness
from gaffer.testing.oracle import Lock, ModelStore


class SpoiltHarness(ModelHarness):
    """A harness for a store and a driver that may be spoilt; these are not."""

    store_type: ClassVar[type[ModelStore]] = ModelStore
    driver_type: ClassVar[type[ModelDriver]] = ModelDriver

    def new_store(self) -> ModelStore:
        return self.store_type(self.clock)

    def open(self) -> Driver:
        return self.driver_type(self.store)


class NoLock(ModelStore):
    def new_lock(self) -> Lock:
        return contextlib.nullcontext()


class NoFence(ModelStore):
    def outdated(self, job: Job) -> bool:
        return (job.id in self.jobs) == (job.revision == 0)


class Upsert(ModelStore):
    def outdated(self, job: Job) -> bool:
        return job.id in self.jobs and super().outdated(job)


class FirstConflictOnly(ModelStore):
    def require_writable(self, jobs: Sequence[Job]) -> None:
        try:
            super().require_writable(jobs)
        except Conflict as error:
            raise Conflict(sorted(error.ids)[:1]) from None


class AnyQueue(ModelStore):
    def require_queue(self, name: str) -> None:
        self.paused.setdefault(name, False)


class PriorityIgnored(ModelStore):
    def turn(self, job: Job) -> tuple[Any, ...]:
        return (job.created_at, job.id)


class NewestFirst(ModelStore):
    def turn(self, job: Job) -> tuple[Any, ...]:
        return (-job.priority, -job.created_at.timestamp(), job.id)


class IdIgnored(ModelStore):
    def turn(self, job: Job) -> tuple[Any, ...]:
        return (-job.priority, job.created_at, 0)


class ChainIgnored(ModelStore):
    def heads_its_chain(self, job: Job) -> bool:
        return True


class ChainOvertaken(ModelStore):
    """Lets a chain go on while its first job waits for its time."""

    def heads_its_chain(self, job: Job) -> bool:
        waiting = [one for one in self.of(job.queue) if one.chain == job.chain]
        late = {one.id: one for one in waiting if one.scheduled_at and one.id != job.id}
        for id in late:
            del self.jobs[id]
        try:
            return super().heads_its_chain(job)
        finally:
            self.jobs.update(late)


class ChainOverAllQueues(ModelStore):
    def heads_its_chain(self, job: Job) -> bool:
        running = self.of(None, JobState.EXECUTING)
        elsewhere = any(one.chain == job.chain for one in running)
        return super().heads_its_chain(job) and not (job.chain and elsewhere)


class PauseIgnored(ModelStore):
    def open(self, claim: Claim) -> bool:
        return claim.queue in self.paused


class GlobalLimitIgnored(ModelStore):
    def room(self, claim: Claim) -> int:
        return len(self.jobs) if claim.limit is None else claim.limit


class TimeIgnored(ModelStore):
    def ready(self, job: Job, now: datetime) -> bool:
        return job.state is JobState.AVAILABLE and self.heads_its_chain(job)


class NeverSilent(ModelStore):
    """Forgets who executes a job as soon as its node has left."""

    def orphans(self, queue: str | None, lease: float) -> list[Job]:
        return [
            job for job in super().orphans(queue, lease) if self.owners.get(job.id) in self.beats
        ]


class NodeForgotten(ModelStore):
    """Takes every executing job for lost."""

    def orphans(self, queue: str | None, lease: float) -> list[Job]:
        return self.of(queue, JobState.EXECUTING)


class KeepsItsNode(ModelStore):
    def put(self, job: Job) -> None:
        owner = self.owners.get(job.id)
        super().put(job)
        if owner is not None:
            self.owners[job.id] = owner


class PrunesTheEdge(ModelStore):
    def outlived(self, job: Job, cutoffs: Cutoffs) -> bool:
        later = {
            state: at if at == "all" else at + timedelta(microseconds=1)
            for state, at in cutoffs.items()
        }
        return super().outlived(job, later)


class PrunesOtherQueues(ModelStore):
    def prunable(self, queue: str, cutoffs: Cutoffs) -> list[UUID]:
        return [job.id for job in self.of(None) if self.outlived(job, cutoffs)]


class ListsAsInserted(ModelStore):
    def found(self, filter: JobFilter) -> list[Job]:
        found = {job.id for job in super().found(filter)}
        return [job for job in self.jobs.values() if job.id in found]


class CountsAllQueues(ModelStore):
    def stats(self, queue: str, state: JobState, now: datetime) -> StateStats:
        entered = [job.entered_at for job in self.of(None, state)]
        return StateStats(len(entered), min(entered, default=None), max(entered, default=None))


class WaitsFromTheInsert(ModelStore):
    def stats(self, queue: str, state: JobState, now: datetime) -> StateStats:
        stats = super().stats(queue, state, now)
        return replace(stats, waiting_since=stats.oldest) if state == "available" else stats


class Milliseconds(ModelStore):
    def put(self, job: Job) -> None:
        made = job.created_at.replace(microsecond=job.created_at.microsecond // 1000 * 1000)
        super().put(evolve(job, created_at=made))


class JsonNormalised(ModelStore):
    def put(self, job: Job) -> None:
        super().put(evolve(job, payload_json=json.dumps(json.loads(job.payload_json))))


class FloatsAsTheyCome(ModelStore):
    def put(self, job: Job) -> None:
        whole = job.timeout.is_integer()
        super().put(evolve(job, timeout=int(job.timeout) if whole else job.timeout))


class NeverWakes(ModelStore):
    def wake(self) -> None:
        pass


class WakesUnderTheLock(ModelStore):
    def wake(self) -> None:
        with self.lock:
            super().wake()


class HalfBatches(ModelDriver):
    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        return [super(HalfBatches, self).job_write([job], connection)[0] for job in jobs]


class PauseForgotten(ModelDriver):
    def queue_insert(self, name: str) -> None:
        super().queue_insert(name)
        self._store.paused[name] = False


class SharesItsErrors(ModelDriver):
    def job_get(self, id: UUID) -> Job | None:
        return self._store.jobs.get(id)


class EndedOnceClaimed(ModelDriver):
    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        found = {id: self.job_get(id) for id in ids}
        return {id: j for id, j in found.items() if j is None or j.attempted_at is not None}


class GoneLeftOut(ModelDriver):
    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        return {id: job for id, job in super().job_ended(ids).items() if job is not None}


class ClaimsTwoSteps(ModelDriver):
    """Looks at the limit in one step and claims in another, as a plain SQL count does."""

    def job_claim(self, claim_: Claim) -> list[Job]:
        with self._store.lock:
            room = self._store.room(claim_)
        free = Claim(
            queue=claim_.queue,
            limit=room,
            global_max_workers=None,
            node=claim_.node,
            now=claim_.now,
            even_paused=claim_.even_paused,
        )
        return super().job_claim(free)


class ClaimsWhateverIsRefused(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        try:
            self.job_write(jobs)
        except (Conflict, UnknownQueue):
            self.job_claim(claim_)
            raise
        return self.job_claim(claim_)


class ClaimsBeforeItWrites(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        with self._store.lock:
            self._store.require_writable(jobs)
            claimed = self.job_claim(claim_)
            self.job_write(jobs)
        return claimed


class ForgetsToWrite(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        self._store.require_writable(jobs)
        return self.job_claim(claim_)


class WritesTwice(ModelDriver):
    """Writes once more when it has claimed, and so over what it has claimed again."""

    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        with self._store.lock:
            claimed = super().job_write_and_claim(jobs, claim_)
            for job in jobs:
                self._store.put(job)
        return claimed


class WritesWhatItCan(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        for job in jobs:
            self.job_write([job])
        return self.job_claim(claim_)


class ClaimsBesideWithoutLimit(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        return super().job_write_and_claim(jobs, replace(claim_, limit=None))


class ClaimsBesideOverTheGlobalLimit(ModelDriver):
    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        return super().job_write_and_claim(jobs, replace(claim_, global_max_workers=None))


class CountsWhatItWritesTooOften(ModelDriver):
    """Looks at the limit before it writes, and takes all that it writes for freed places."""

    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        with self._store.lock:
            room = self._store.room(replace(claim_, limit=None)) + len(jobs)
            free = replace(claim_, limit=room, global_max_workers=None)
            return super().job_write_and_claim(jobs, free)


class ClaimsBesideInTwoSteps(ModelDriver):
    """Looks at the limit after the write and claims in another step."""

    def job_write_and_claim(self, jobs: Sequence[Job], claim_: Claim) -> list[Job]:
        self.job_write(jobs)
        with self._store.lock:
            room = self._store.room(claim_)
        return self.job_claim(replace(claim_, limit=room, global_max_workers=None))


FAULTS: dict[str, type[ModelStore] | type[ModelDriver]] = {
    spoilt.__name__: spoilt
    for base in (ModelStore, ModelDriver)
    for spoilt in base.__subclasses__()
    if spoilt.__module__ == __name__
}


def _harness(fault: type[ModelStore] | type[ModelDriver]) -> type[SpoiltHarness]:
    kind = "store_type" if issubclass(fault, ModelStore) else "driver_type"
    return type(f"{fault.__name__}Harness", (SpoiltHarness,), {kind: fault})


globals().update({f"{name}Harness": _harness(fault) for name, fault in FAULTS.items()})
