"""Jobs claimed by hand: a block of code instead of a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

from gaffer.errors import Conflict, GafferError, InvalidJob
from gaffer.execution import outcome_of, shielded
from gaffer.failures import failure
from gaffer.job import JSON, Cancel, Complete, Fail, Job, Outcome, Schedule
from gaffer.ledger import Ledger
from gaffer.step import Step

__all__ = ["ClaimedJob", "Claiming"]


class ClaimedJob:
    """A job that the caller has claimed and settles, once.

    Has all attributes of its `job`. A job that was taken away in the meantime (deleted, or rescued
    because this process was silent) raises `Conflict` when it is settled. After a
    `DriverUnavailable` it may be settled again, inside the block: the first outcome stands.
    """

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self.job = job
        self.settled = False
        self._ledger = ledger
        self._step: Step | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "job" or name.startswith("_"):  # a copy asks before there is any
            raise AttributeError(name)
        return getattr(self.job, name)

    @shielded
    def complete(self, result: JSON = None) -> Job:
        """Complete the job; return it as stored."""
        return self._settle(Complete(result))

    @shielded
    def fail(self, reason: JSON = None) -> Job:
        """Fail the attempt: the job is retried, or failed after the last attempt."""
        return self._settle(Fail(reason))

    @shielded
    def cancel(self, reason: JSON = None) -> Job:
        """Cancel the job for good."""
        return self._settle(Cancel(reason))

    @shielded
    def schedule(
        self, at: datetime | None = None, *, delay: float | timedelta | None = None
    ) -> Job:
        """Put the job back, to be claimed at an aware instant or after a delay in seconds."""
        return self._settle(Schedule(at=at, delay=delay))

    def _settle(self, outcome: Outcome) -> Job:
        if self.settled:
            raise GafferError(f"job {self.job.id} is settled already")
        # Made once: an earlier try may have arrived although its answer did not.
        step = self._step = self._step or self._made(outcome)
        writing = self._ledger.write([step])
        writing.raise_if_stuck()
        self.settled = True
        if writing.late:
            self._ledger.too_late(self.job, "worker")
            raise Conflict([self.job.id])
        return step.after

    def _made(self, outcome: Outcome) -> Step:
        try:
            checked = outcome_of(outcome)
        except ValueError as error:
            raise InvalidJob(str(error)) from None
        return self._ledger.settling(self.job, checked, "worker")


class Claiming:
    """A ``with`` block around one claimed job, or `None` if there was none to claim.

    At the end of the block the job completes, or fails with the exception that ended the block,
    unless it was settled inside. If storage does not take that, the block raises what is wrong, and
    the next claim, or the stop, puts the job back: unless its outcome had arrived.
    """

    def __init__(
        self,
        claim: Callable[[], Job | None],
        ledger: Ledger,
        out_of_hand: Callable[[Job, bool], None],
    ) -> None:
        self._claim = claim
        self._ledger = ledger
        self._out_of_hand = out_of_hand
        self._claimed: ClaimedJob | None = None

    @shielded
    def __enter__(self) -> ClaimedJob | None:
        job = self._claim()
        self._claimed = None if job is None else ClaimedJob(job, self._ledger)
        return self._claimed

    @shielded
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        claimed = self._claimed
        if claimed is None:
            return
        try:
            if not claimed.settled:
                if error is None:
                    claimed.complete()
                else:
                    claimed.fail(failure(error))
        finally:
            self._out_of_hand(claimed.job, claimed.settled)
