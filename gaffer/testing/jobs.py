"""`Jobs`: what the fixture `gaffer_jobs` gives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self

from gaffer import Gaffer
from gaffer.driver import Job, JobFilter, JobState
from gaffer.rehearsal import alone, rehearsed, rescue, watched
from gaffer.testing.doubles import ManualClock
from gaffer.testing.expected import differences, expectation, report
from gaffer.testing.stage import Stage

__all__ = ["Crash", "Jobs"]

Crash = Literal["before_work", "before_settle"]


class Jobs:
    """The jobs of a test, kept on *stage*: run when the test says so, in the order it says.

    As a collection, the jobs inserted so far, each as it was inserted, those that were forwarded
    among them.
    """

    def __init__(self, clock: ManualClock, stage: Stage) -> None:
        self._clock = clock
        self._stage = stage
        self._gaffers: list[Gaffer] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._gaffers.clear()
        try:
            self._stack.close()
        finally:
            self._stage.close()

    def take(self, gaffer: Gaffer) -> None:
        """Let *gaffer* and all its queues, declared or to come, be here until the test ends.

        Raise `InvalidDriver` if one of its queues has a driver that the stage is no stand-in for.
        """
        stage = self._stage
        life = rehearsed(gaffer, stage, clock=self._clock, accepts=stage.stands_in_for)
        self._stack.enter_context(life)
        self._gaffers.append(gaffer)

    # -- what was inserted -------------------------------------------------------------------------

    @property
    def inserted(self) -> list[Job]:
        """The jobs that were inserted, in order, as they were then."""
        return self._stage.inserted

    def __iter__(self) -> Iterator[Job]:
        return iter(self.inserted)

    def __len__(self) -> int:
        return len(self._stage.inserted)

    def of(self, queue: str | None = None, *, kind: str | None = None) -> list[Job]:
        """Return the inserted jobs of a queue, of a kind, or both."""
        return [
            job for job in self if queue in (None, job.queue) and (kind is None or job.kind == kind)
        ]

    def assert_inserted(
        self, queue: str, payload: Any = ..., *, count: int | None = None, **facts: Any
    ) -> list[Job]:
        """Fail unless jobs like this were inserted: *count*, or at least one; return them.

        *facts* are fields of `Job`, or ``delay`` in seconds. What is left out does not matter.
        """
        __tracebackhide__ = True
        wanted = expectation(queue, {"payload": payload, **facts})
        found = [job for job in self if not differences(job, wanted)]
        if len(found) == count or (count is None and found):
            return found
        number = "one" if count is None else f"{count}"
        raise AssertionError(
            report(f"{len(found)} such jobs were inserted, not {number}", self.inserted, wanted)
        )

    def assert_not_inserted(self, queue: str, payload: Any = ..., **facts: Any) -> None:
        """Fail if a job like this was inserted; see `assert_inserted`."""
        __tracebackhide__ = True
        self.assert_inserted(queue, payload, count=0, **facts)

    # -- running -----------------------------------------------------------------------------------

    def run(
        self, job: Job | None = None, *, crash: Crash | None = None, reraise: bool = False
    ) -> Job:
        """Run *job*, or the next that is due, by its queue's worker; return it as it is then.

        An exception is recorded as ever; with *reraise* it is raised, too. *crash* has the process
        die at that moment: the job stays executing until `rescue`. Raise `LookupError` if nothing
        is due, or *job* is not.
        """
        ran = self._run_next(crash, reraise) if job is None else self._run(job, crash, reraise)
        if ran is not None:
            return ran
        if job is not None:
            raise LookupError(f"job {job.id} was not claimed: is its queue drained or stuck here?")
        raise LookupError("no job is due: insert one, or advance the clock")

    def drain(self, limit: int = 1000) -> list[Job]:
        """Run until nothing is due; return the jobs in the order they ran, as they were then.

        Raise `RuntimeError` after *limit* attempts.
        """
        ran: list[Job] = []
        while job := self._run_next(None, False):
            ran.append(job)
            if len(ran) >= limit and self._due():
                raise RuntimeError(f"{limit} jobs ran, and more are due: they insert each other?")
        return ran

    def rescue(self) -> list[Job]:
        """Let a lease go by, so that what a crash left executing is lost; return those jobs."""
        before = self._storage_jobs(JobState.EXECUTING)
        rescue(self._gaffers, self._clock.advance)
        return [self._now(job) for job in before if self._now(job).state != JobState.EXECUTING]

    def _storage_jobs(self, state: JobState, queue: str | None = None) -> list[Job]:
        return self._stage.job_list(JobFilter(queue=queue, states=frozenset({state})))

    def _now(self, job: Job) -> Job:
        now = self._stage.job_get(job.id)
        if now is None:
            raise LookupError(f"job {job.id} is not here, or deleted")
        return now

    def _due(self) -> list[Job]:
        now = self._clock.now()
        return [
            job
            for _, queue in self._worked()
            for job in self._storage_jobs(JobState.AVAILABLE, queue)
            if job.scheduled_at is None or job.scheduled_at <= now
        ]

    def _ahead(self, job: Job) -> list[Job]:
        """Return the jobs of the same chain that come first."""
        waiting = self._storage_jobs(JobState.AVAILABLE, job.queue)
        ahead = [other for other in waiting if _rank(other) < _rank(job)]
        ahead += self._storage_jobs(JobState.EXECUTING, job.queue)
        return [other for other in ahead if job.chain is not None and other.chain == job.chain]

    def _worked(self) -> list[tuple[Gaffer, str]]:
        return [
            (gaffer, name)
            for gaffer in self._gaffers
            for name, conf in gaffer.list_queues().items()
            if conf.worker is not None and not self._stage.queue_paused(name)
        ]

    def _run_next(self, crash: Crash | None, reraise: bool) -> Job | None:
        for gaffer, queue in self._worked():
            if job := self._step(gaffer, queue, None, crash, reraise):
                return job
        return None

    def _run(self, job: Job, crash: Crash | None, reraise: bool) -> Job | None:
        known = self._now(job)
        if known.state is not JobState.AVAILABLE:
            raise LookupError(f"job {job.id} is {known.state}, not available")
        if known.scheduled_at is not None and known.scheduled_at > self._clock.now():
            left = known.scheduled_at - self._clock.now()
            raise LookupError(f"job {job.id} is due in {left / timedelta(seconds=1):g} s")
        if ahead := self._ahead(known):
            raise LookupError(f"job {job.id} waits for {ahead[0].id}, before it in its chain")
        for gaffer, queue in self._worked():
            if queue == known.queue:
                self._check_limit(gaffer, queue)
                return self._step(gaffer, queue, known, crash, reraise)
        raise LookupError(f"queue {known.queue!r} has no worker here, or is paused")

    def _check_limit(self, gaffer: Gaffer, queue: str) -> None:
        # The claim of a certain job does not count, as that of the next one does.
        limit = gaffer.get_queue(queue).global_max_workers
        if limit is not None and len(self._storage_jobs(JobState.EXECUTING, queue)) >= limit:
            raise LookupError(f"queue {queue!r} has {limit} executing, its global_max_workers")

    def _step(
        self, gaffer: Gaffer, queue: str, job: Job | None, crash: Crash | None, reraise: bool
    ) -> Job | None:
        if crash is not None:
            return self._crash(gaffer, queue, job, crash)
        watching = watched(gaffer, queue) if reraise else nullcontext[list[BaseException]]([])
        with self._stage.one(queue, None if job is None else job.id) as given, watching as raised:
            gaffer.poll(queue)
        if raised:
            raise raised[0]
        return self._now(given[0]) if given else None

    def _crash(self, gaffer: Gaffer, queue: str, job: Job | None, crash: Crash) -> Job | None:
        """Run a job in a process of its own, whose last words never arrive."""
        worker = gaffer.get_queue(queue).worker if crash == "before_settle" else _idle
        dying = self._stage.dying()
        with alone(dying, self._clock) as doomed:
            doomed.ensure_queue(queue, worker=worker)
            with dying.one(queue, None if job is None else job.id) as given:
                doomed.poll(queue)
        self._stage.note(dying.inserted)
        return self._now(given[0]) if given else None


def _rank(job: Job) -> tuple[int, datetime, int]:
    return (-job.priority, job.created_at, job.id.int)


def _idle(job: Job) -> None:
    """Work nothing: the process dies before."""
