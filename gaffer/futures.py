"""The future of a job's result, of `concurrent.futures`: `wait` and `as_completed` take it.

It is resolved by the thread of `gaffer.results`, and knows how a wait for it ends: at its time, by
a timeout of the job that waits, or at once if it would wait for itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar
from uuid import UUID

from gaffer import codec
from gaffer.clock import monotonic
from gaffer.conf import QueueConf
from gaffer.errors import (
    DriverError,
    GafferError,
    ResultCancelled,
    ResultError,
    ResultFailed,
    ResultTimeout,
)
from gaffer.execution import breathe, running, shielded
from gaffer.failures import in_a_line
from gaffer.forms import Misfit
from gaffer.job import JSON, Job, JobState
from gaffer.ledger import Ledger

if TYPE_CHECKING:
    from gaffer.results import Results

__all__ = ["Read", "ResultFuture", "Source"]

_log = logging.getLogger("gaffer.results")

T = TypeVar("T")

_GLANCE = 0.25
"""Seconds after which a job that waits looks whether its own time is up."""
_MOMENT = 5.0
"""Seconds of one wait, should it not be woken."""


Read: TypeAlias = Callable[[JSON], Any]
"""Decodes a result."""


class Source(Protocol):
    """The queue of a job that is waited for; a supervisor."""

    ledger: Ledger

    @property
    def conf(self) -> QueueConf:
        """The queue's configuration."""
        ...

    @property
    def inside(self) -> bool:
        """Whether the caller is the thread that settles the queue's jobs here."""
        ...

    def insert(self, payload: JSON, options: Mapping[str, Any], connection: Any) -> Job:
        """Insert a job."""
        ...

    def unsettled(self) -> list[UUID]:
        """Return the jobs that run here, or have ended and are not written."""
        ...


class ResultFuture(Future[T]):
    """The result of one job, once it has ended: a `concurrent.futures.Future`.

    Made by `submit` and `future`. It resolves to what the job completed with, and raises
    `ResultFailed` if the job failed for good, `ResultCancelled` if it was cancelled, `ResultGone`
    if it was deleted or pruned before anybody here could look, and `Stopped` if the Gaffer was
    stopped, or in the child of a fork. Retries are waited through. `id` and `queue` are the job's.

    Callbacks run in the one thread that resolves all futures of a Gaffer: a slow one delays the
    others. It is never `running`: whether a job executes is not asked for.
    """

    def __init__(
        self,
        results: Results,
        source: Source,
        id: UUID,
        *,
        read: Read | None = None,
    ) -> None:
        super().__init__()
        self.id = id
        self.queue = source.conf.name
        self.source = source
        self.chain: str | None = None
        self._read = read
        self._results = results
        self._cancelling = threading.Lock()
        self.withdrawn = False  # a cancel of its own has been sent to storage, or is
        # What the thread that looks needs to know; inf: not stored yet, so not to be missed.
        self.since = self.due = inf
        self.missed = False

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.done() else "waiting"
        return f"<result of job {self.id} in {self.queue!r}: {state}>"

    # -- for whoever waits -------------------------------------------------------------------------

    @shielded
    def result(self, timeout: float | None = None) -> T:
        """Return the result, as soon as the job has ended.

        Raise `ResultTimeout`, a `TimeoutError`, after *timeout* seconds (`None`: wait for ever), or
        at once when a job, a hook or a callback would wait for itself. The job goes on.
        """
        self._await(timeout)
        return super().result(0)

    @shielded
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what `result` would raise, or `None`; raise `ResultTimeout` as it does."""
        self._await(timeout)
        return super().exception(0)

    @shielded
    def cancel(self) -> bool:
        """Cancel the job if it is available, scheduled or between two attempts, and the wait.

        Return whether the job is cancelled by this future: false if it is executing or has ended,
        or if storage does not answer; then the wait goes on.
        """
        with self._cancelling:
            if self.done():
                return self.cancelled()
            self.withdrawn = True
            try:
                self.source.ledger.cancel(self.id)
            except GafferError as error:
                self.withdrawn = False
                _log.info("job %s was not cancelled: %s", self.id, error)
                return self.cancelled()
        if self._results.drop(self):
            self.withdraw()
        else:  # the thread was told of it, and does that just now
            self._wait(_MOMENT)
        return self.cancelled()

    def _await(self, timeout: float | None) -> None:
        if self.done():
            return
        if self._results.inside or self.source.inside or self._of_itself():
            raise ResultTimeout(self.queue, self.id, timeout, itself=True)
        deadline = inf if timeout is None else monotonic() + timeout
        step = _MOMENT if running() is None else _GLANCE
        while True:
            if self._wait(max(0.0, min(deadline - monotonic(), step))):
                return
            if monotonic() >= deadline:
                raise ResultTimeout(self.queue, self.id, timeout)
            breathe()

    def _wait(self, seconds: float) -> bool:
        """Wait for the end, however it ends; return whether it came."""
        try:
            super().exception(seconds)
        except CancelledError:
            return True
        except TimeoutError:
            return False
        return True

    def _of_itself(self) -> bool:
        """Whether a job waits here for what can only begin when that job has ended."""
        execution = running()
        if execution is None or execution.job.queue != self.queue:
            return False
        own = execution.job
        if own.id not in self.source.unsettled():  # of another Gaffer, or abandoned
            return False
        if own.id == self.id:
            return True
        chained = self.chain is not None and self.chain == own.chain
        if not chained and self.source.conf.global_max_workers != 1:
            return False
        try:
            return self.id not in self.source.ledger.driver.job_ended([self.id])
        except DriverError:
            return False

    # -- for the thread that resolves it -----------------------------------------------------------

    def settle(self, job: Job) -> None:
        """Resolve to what *job* ended with; raise `InvalidStateError` if that is done."""
        if job.state is JobState.COMPLETED:
            try:
                value = self._value(job)
            except Exception as error:
                self.set_exception(error)
            else:
                self.set_result(value)
        elif job.state is JobState.FAILED:
            self.set_exception(ResultFailed(job, _last_words(job)))
        else:
            self.set_exception(ResultCancelled(job, codec.shown(_decoded(job))))

    def _value(self, job: Job) -> Any:
        value = _decoded(job)
        if self._read is None:
            return value
        try:
            return self._read(value)
        except Misfit as misfit:
            reason = f"job {job.id} of queue {job.queue!r}: {misfit.at('its result')}"
            raise ResultError(reason, queue=job.queue, id=job.id, job=job) from misfit.__cause__

    def withdraw(self) -> None:
        """Cancel the wait, and tell `wait` and `as_completed`; once."""
        super().cancel()
        self.set_running_or_notify_cancel()

    def strand(self, error: GafferError) -> None:
        """In a forked child: fail with *error*; whoever waited is not in this process."""
        # Made anew: a thread of the parent may have held the lock, and callbacks are for there.
        super().__init__()
        self._cancelling = threading.Lock()
        self.set_exception(error)


def _decoded(job: Job) -> JSON:
    # Not `job.result`, which belongs to that object; and hooks may have that.
    return None if job.result_json is None else codec.decode(job.result_json)


def _last_words(job: Job) -> str:
    """Return in one line what the last attempt failed of."""
    return in_a_line(job.errors[0].error if job.errors else None)
