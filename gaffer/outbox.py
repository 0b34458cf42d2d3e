"""What has ended in a queue and is not written yet. Nothing leaves it but by being written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from gaffer.errors import DriverUnavailable, UnknownQueue
from gaffer.execution import Execution
from gaffer.failures import timed_out
from gaffer.job import Fail, Job, Schedule
from gaffer.ledger import Ledger
from gaffer.portion import Portion
from gaffer.step import Mark, Step, mark
from gaffer.writing import Claiming

__all__ = ["Outbox"]

_log = logging.getLogger("gaffer.outbox")

_MOST = 1_000
"""Jobs per write."""


class Outbox:
    """Steps of one queue on their way to storage. Only the runner uses it, in its turn.

    *settled* is called with the ids of jobs whose step was written, or came too late.
    """

    def __init__(self, ledger: Ledger, settled: Callable[[Sequence[UUID]], None]) -> None:
        self._ledger = ledger
        self._settled = settled
        # Of one job there may be several: taken from us, and claimed by us again meanwhile.
        self._steps: dict[Mark, Step] = {}
        self._portion = Portion(_MOST)
        self._in_hand: dict[Mark, Step] = {}  # being written, or their hooks being called

    def __len__(self) -> int:
        return len(self._steps) + len(self._in_hand)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._steps)

    def ids(self) -> list[UUID]:
        """Return the ids of the jobs whose step is not written, or not told to the hooks."""
        return [step.before.id for step in (*self._steps.values(), *self._in_hand.values())]

    def held(self) -> list[Mark]:
        """Return these jobs at the revision that their attempt began with."""
        return [*self._steps, *self._in_hand]

    def ended(self, execution: Execution, now: datetime) -> None:
        """Take in an execution that has ended, as of *now*; again does nothing."""
        key = mark(execution.job)
        if key not in self._steps and key not in self._in_hand:
            self._steps[key] = self._step(execution, now)

    def released(self, jobs: Iterable[Job]) -> None:
        """Take in jobs that go back to available at no cost."""
        self._steps.update((mark(job), self._ledger.releasing(job)) for job in jobs)

    def postponed(self, jobs: Iterable[Job], pause: Callable[[], float]) -> None:
        """Take in jobs that are to be claimed again, each after a *pause*, at no cost."""
        for job in jobs:
            again = Schedule(delay=pause())
            self._steps[mark(job)] = self._ledger.settling(job, again, "runner")

    def _step(self, execution: Execution, now: datetime) -> Step:
        job = execution.job
        if execution.why == "shutdown":
            _log.warning("job %s did not end in time for the shutdown; it is released", job.id)
            return self._ledger.releasing(job)
        if execution.why == "timeout":
            _log.warning("job %s timed out after %g s", job.id, job.timeout)
            stack = execution.stack.format() if execution.stack is not None else []
            return self._ledger.settling(job, Fail(timed_out(job.timeout, stack)), "runner", now)
        assert execution.outcome is not None
        return self._ledger.settling(job, execution.outcome, "worker", now)

    def write(self, claiming: Claiming | None = None) -> Exception | None:
        """Write what there is, and claim beside it; return why something has to be tried again.

        If the batch as a whole is refused by an error of the driver, each step is tried alone, so
        that one that cannot be stored does not hold up the others.
        """
        steps = self._emptied()
        error = self._write(steps, claiming)
        if isinstance(error, DriverUnavailable):
            self._portion.failed(len(steps))
        elif error is None:
            self._portion.succeeded()
        passing = isinstance(error, DriverUnavailable | UnknownQueue)
        if error is None or passing or len(steps) == 1:
            return error
        errors = [self._write([step], None) for step in self._emptied()]
        return next((error for error in errors if error is not None), None)

    def _emptied(self) -> list[Step]:
        # In hand while they are written, and not in the box: a hook may come back here.
        taken: dict[int, Mark] = {}
        for key in self._steps:
            taken.setdefault(key[0], key)  # a job's next one comes with the next write
            if len(taken) == self._portion.size:
                break
        steps = {key: self._steps.pop(key) for key in taken.values()}
        self._in_hand.update(steps)
        return list(steps.values())

    def _write(self, steps: Sequence[Step], claiming: Claiming | None) -> Exception | None:
        left = {mark(step.before): step for step in steps}
        try:
            writing = self._ledger.write(steps, claiming)
            for step in writing.late:
                if step.actor == "worker":  # a timeout that comes too late is no result
                    self._ledger.too_late(step.before, step.actor)
            left = {mark(step.before): step for step, _ in writing.stuck}
            self._settled([step.before.id for step in (*writing.written, *writing.late)])
            return writing.stuck[0][1] if writing.stuck else None
        except Exception as error:
            return error
        finally:
            self._steps.update(left)
            for step in steps:
                self._in_hand.pop(mark(step.before), None)
