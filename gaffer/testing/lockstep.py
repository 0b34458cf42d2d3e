"""A driver and the model side by side: every call goes to both, and both must answer the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from gaffer.driver import Claim, Conflict, Cutoffs, Driver, JobFilter, JobState, KeyHeld
from gaffer.errors import QueueHasJobs, UnknownQueue
from gaffer.job import Job
from gaffer.testing.doubles import ManualClock
from gaffer.testing.harness import DriverHarness
from gaffer.testing.model import ModelDriver, ModelStore
from gaffer.testing.values import new_job, typed

__all__ = ["Lockstep", "New", "Refusal"]


@dataclass(frozen=True)
class New:
    """A job to make: *due* and *age* are seconds from now, *due* ahead, *age* back."""

    queue: int = 0
    chain: str | None = None
    priority: int = 0
    due: int | None = None
    age: int = 0
    attempts: int = 1
    unique: str | None = None
    period: int | None = None

    def __repr__(self) -> str:
        changed = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if value != getattr(type(self), name)
        ]
        return f"New({', '.join(changed)})"


@dataclass(frozen=True)
class Refusal:
    """What a verb raised, with its facts."""

    kind: type[BaseException]
    facts: Any


def answer(driver: Driver, verb: str, *args: Any, **options: Any) -> Any:
    """Return what a verb returns, or the `Refusal` that it raises."""
    try:
        return getattr(driver, verb)(*args, **options)
    except Conflict as error:
        return Refusal(Conflict, error.ids)
    except KeyHeld as error:
        holders = error.holders.items()
        return Refusal(KeyHeld, {id: getattr(holder, "id", holder) for id, holder in holders})
    except (UnknownQueue, QueueHasJobs) as error:
        return Refusal(type(error), error.queue)


class Lockstep:
    """Two handles onto a driver's storage, and the model that does the same things.

    Jobs and claims take their instants from a clock of its own, so that a failing run can be
    repeated exactly on a driver whose clock is real.
    """

    def __init__(self, harness: DriverHarness) -> None:
        self._harness = harness
        self.clock = ManualClock()
        self._made = 0
        harness.reset()
        self.handles = [harness.open(), harness.open()]
        self._storage_clock = ManualClock(self.handles[0].now())  # periods are compared with it
        self.store = ModelStore(self._storage_clock)
        self.model = ModelDriver(self.store)

    def close(self) -> None:
        """Stop the handles."""
        for handle in self.handles:
            handle.stop()

    def reopen(self, *which: int) -> None:
        """Stop some of the handles, and only then open new ones in their place."""
        for handle in which:
            self.handles[handle].stop()
        for handle in which:
            self.handles[handle] = self._harness.open()

    def advance(self, seconds: float) -> None:
        """Move the driver's clock and the model's."""
        self._harness.advance(seconds)
        self.clock.advance(seconds)
        self._storage_clock.advance(seconds)

    def both(self, handle: int, verb: str, *args: Any, **options: Any) -> Any:
        """Call a verb on a handle and on the model; return the answer that both give."""
        expected = answer(self.model, verb, *args, **options)
        actual = answer(self.handles[handle], verb, *args, **options)
        assert typed(actual) == typed(expected), f"{verb}: the driver says {actual!r}"
        return expected

    def refused(self, handle: int, batch: list[Job], *ids: UUID) -> None:
        """Write a batch that must be refused because of exactly *ids*, and change nothing."""
        before = self.everything(handle)
        assert self.both(handle, "job_write", batch) == Refusal(Conflict, frozenset(ids))
        assert self.everything(handle) == before

    def everything(self, handle: int) -> Any:
        """Return all jobs that a handle sees, in a form to compare."""
        return typed(self.handles[handle].job_list(JobFilter()))

    def prune(self, handle: int, queue: str, cutoffs: Cutoffs, limit: int) -> None:
        """Prune the driver, check what it chose, and have the model follow."""
        eligible = set(self.store.prunable(queue, cutoffs))
        pruned = self.handles[handle].job_prune(queue, cutoffs, limit)
        assert len(pruned) == len(set(pruned)) == min(limit, len(eligible))
        assert set(pruned) <= eligible
        for id in pruned:
            assert self.store.remove(id, pruned=True)

    def claim(self, handle: int, claim: Claim) -> list[Job]:
        """Claim on both, and check the limit that the claim gives."""
        before = len(self.executing(claim.queue))
        claimed: list[Job] = self.both(handle, "job_claim", claim)
        if claim.global_max_workers is not None:
            most = max(before, claim.global_max_workers)
            assert len(self.executing(claim.queue)) <= most
        return claimed

    def write_and_claim(self, handle: int, batch: list[Job], claim: Claim) -> Any:
        """Write and claim in one go on both; the model does one after the other.

        A write that is refused has to leave everything as it is.
        """
        before = self.everything(handle)
        answer = self.both(handle, "job_write_and_claim", batch, claim)
        if isinstance(answer, Refusal):
            assert self.everything(handle) == before
        elif answer and claim.global_max_workers is not None:
            assert len(self.executing(claim.queue)) <= claim.global_max_workers
        return answer

    def jobs(self, *states: JobState) -> list[Job]:
        """Return the model's jobs in some states, or in all."""
        return self.model.job_list(JobFilter(states=frozenset(states or JobState)))

    def executing(self, queue: str) -> list[Job]:
        """Return the jobs of a queue that the driver says are executing."""
        filter = JobFilter(queue=queue, states=frozenset({JobState.EXECUTING}))
        return self.handles[0].job_list(filter)

    def new(self, spec: New, queues: list[str]) -> Job:
        """Make a job; the order of ids is not the order of making."""
        self._made += 1
        now, storage_now = self.clock.now(), self._storage_clock.now()
        due = None if spec.due is None else now + timedelta(seconds=spec.due)
        keyed = spec.unique is not None and self.handles[0].unique
        timed = keyed and spec.period is not None
        return new_job(
            queues[spec.queue % len(queues)],
            {"made": self._made},
            id=uuid5(NAMESPACE_OID, str(self._made)),
            now=now - timedelta(seconds=spec.age),
            chain=spec.chain,
            priority=spec.priority,
            scheduled_at=due,
            max_attempts=spec.attempts,
            unique=spec.unique if keyed else None,
            unique_until=storage_now + timedelta(seconds=spec.period or 0) if timed else None,
        )

    def check(self) -> None:
        """Assert that both handles see what the model sees, and no chain runs twice."""
        expected = typed(self.model.job_list(JobFilter()))
        for handle in (0, 1):
            assert self.everything(handle) == expected
            assert self.handles[handle].queue_list() == self.model.queue_list()
        executing = [job for job in self.handles[0].job_list(JobFilter()) if _runs(job)]
        chains = [(job.queue, job.chain) for job in executing if job.chain is not None]
        assert len(chains) == len(set(chains)), f"a chain runs twice: {chains}"


def _runs(job: Job) -> bool:
    return job.state is JobState.EXECUTING
