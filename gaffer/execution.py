"""One attempt of one job on a thread, and what the job's code may ask about it.

How an attempt ended is decided once, by whoever takes its verdict first: the thread, when the
worker returns, or the watchdog, when the time is up. The runner is told by *report*, and alone
acts on it.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, ContextVar
from dataclasses import dataclass
from functools import wraps
from itertools import takewhile
from threading import get_ident
from types import CoroutineType, FrameType, GeneratorType
from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar

from gaffer import checks, codec
from gaffer.clock import Clock
from gaffer.errors import GafferError, JobTimeout
from gaffer.failures import failure
from gaffer.interrupt import Interrupt
from gaffer.job import Cancel, Complete, Fail, Job, Outcome, Schedule, Worker
from gaffer.token import Verdict

__all__ = [
    "Attempt",
    "Execution",
    "Late",
    "Report",
    "Why",
    "breathe",
    "current",
    "outcome_of",
    "running",
    "shielded",
    "work",
]

Why: TypeAlias = Literal["timeout", "shutdown"]

_NEAR = 1.0
"""A job is told to stop this many seconds before its end, or a tenth of its timeout."""


class Execution:
    """One attempt: made by the runner, run by a thread of its crew or ended by the watchdog."""

    __slots__ = (
        "__weakref__", "_clock", "_interrupt", "_report", "_thread", "_verdict", "_worker",
        "deadline", "job", "outcome", "stack", "told", "why",
    )  # fmt: skip

    def __init__(
        self,
        job: Job,
        worker: Worker,
        report: Callable[[Report], None],
        clock: Clock,
        *,
        interrupt: bool = False,
    ) -> None:
        self.job = job
        self.outcome: Outcome | None = None
        self.why: Why | None = None  # set when the watchdog ended it
        self.stack: traceback.StackSummary | None = None
        self.told = False
        self.deadline = clock.monotonic() + job.timeout
        self._worker = worker
        self._report = report
        self._clock = clock
        self._interrupt = Interrupt() if interrupt else None
        self._thread: int | None = None
        self._verdict = Verdict()

    @property
    def ended(self) -> bool:
        """Whether it is decided how the attempt ended."""
        return self._verdict.decided is not None

    @property
    def abandoned(self) -> bool:
        """Whether the watchdog ended the attempt, so that its thread is on its own."""
        return self.why is not None

    def run(self) -> bool:
        """Work the job and report; the crew's thread calls this once. Raises nothing.

        Return whether the attempt ended here; if not, the watchdog has ended it.
        """
        outcome = None if self.ended else self._run()
        if self._verdict.decide("itself"):
            self.outcome = outcome
            self._report(self)
            return True
        self._report(Late(self, dropped=outcome is not None))
        return False

    def _run(self) -> Outcome | None:
        self._thread = get_ident()
        try:
            if self._interrupt is None:
                return Context().run(self._perform)
            return self._interrupt.run(lambda: Context().run(self._perform), lambda: None)
        finally:
            self._thread = None

    def _perform(self) -> Outcome | None:
        """Work the job; return `None` if it was interrupted."""
        _running.set(self)
        try:
            return outcome_of(work(self._worker, self.job))
        except BaseException as error:  # a job's SystemExit is that job's failure
            shot = type(error) is JobTimeout and self._interrupt and self._interrupt.landed()
            return None if shot else Fail(failure(error))

    def expire(self, why: Why) -> None:
        """End the attempt from outside, unless it has ended; the watchdog calls this.

        Done again it makes the same report, so that a call that an exception ended can be repeated.
        """
        if not self._verdict.decide(why):
            return
        self.told = True
        if why == "timeout":
            self.stack = self._sample()
        if self._interrupt is not None:
            self._interrupt.shoot()
        self.why = why
        self._report(self)

    def hurry(self, deadline: float) -> None:
        """Tell the job of a shutdown that ends at *deadline*."""
        self.deadline = min(self.deadline, deadline)
        self.told = True

    def _sample(self) -> traceback.StackSummary | None:
        """Return where the job's own code is, outermost call first."""
        frame = None if self._thread is None else _frames().get(self._thread)
        if frame is None:
            return None
        own = takewhile(lambda at: at[0].f_code is not work.__code__, traceback.walk_stack(frame))
        # Not by `extract`, which looks at the source's files: not for the watchdog, whom jobs that
        # compute would let wait at each look.
        calls = [
            traceback.FrameSummary(
                at.f_code.co_filename, line, at.f_code.co_name, lookup_line=False
            )
            for at, line in own
        ]
        return traceback.StackSummary.from_list(calls[::-1])

    def remaining(self) -> float:
        """Return the seconds that are left; negative when the time is up."""
        return self.deadline - self._clock.monotonic()

    def breathe(self) -> None:
        """Let a `JobTimeout` that is due be raised here; see `Interrupt.breathe`."""
        if self._interrupt is not None:
            self._interrupt.breathe()

    def uninterruptible(self) -> AbstractContextManager[None]:
        """Return a block in which no `JobTimeout` is raised."""
        return nullcontext() if self._interrupt is None else self._interrupt.uninterruptible()


def _frames() -> dict[int, FrameType]:
    """Return where each thread is."""
    # Python 3.11 may collect garbage in there, under a lock that every thread needs to begin and to
    # end. If what is collected lets another thread run, the process freezes for good.
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True, slots=True, eq=False)
class Late:
    """The report of a thread whose attempt had been ended; *dropped*: its result is lost."""

    execution: Execution
    dropped: bool


Report: TypeAlias = Execution | Late
"""An execution that has ended, by itself or by the watchdog; or a thread that came home late."""

_running: ContextVar[Execution | None] = ContextVar("gaffer_running", default=None)
running: Callable[[], Execution | None] = _running.get
"""Return the execution that the caller's code is part of, or `None`."""


class Attempt:
    """What a job's code may ask about its own attempt; `gaffer.current()` returns it."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    @property
    def job(self) -> Job:
        """The job, as it was claimed."""
        return self._execution.job

    def remaining(self) -> float:
        """Return the seconds until the timeout, or the end of a shutdown; negative behind it."""
        return self._execution.remaining()

    @property
    def stopping(self) -> bool:
        """Whether it is time to end: a shutdown has begun, or the timeout is near or over.

        Near is the last second, or the last tenth of a timeout under ten seconds.
        """
        if self._execution.told:
            return True
        return self.remaining() <= min(_NEAR, self.job.timeout / 10)

    def uninterruptible(self) -> AbstractContextManager[None]:
        """Return a context manager in which no `JobTimeout` is raised; it is raised at the end.

        For code that must not be torn apart: a connection pool, a lock. Calls of gaffer are
        protected by themselves.
        """
        return self._execution.uninterruptible()


def current() -> Attempt:
    """Return the attempt that the calling code is part of; `GafferError` outside of a job."""
    execution = running()
    if execution is None:
        raise GafferError("current(): no job is running in this thread")
    return Attempt(execution)


def breathe() -> None:
    """Let a timeout of the job that waits here be raised, between two steps of the waiting."""
    execution = running()
    if execution is not None:
        execution.breathe()


P = ParamSpec("P")
R = TypeVar("R")


def shielded(call: Callable[P, R]) -> Callable[P, R]:
    """Make *call* uninterruptible when a job makes it: what it holds must not be torn apart."""

    @wraps(call)
    def shield(*args: P.args, **kwargs: P.kwargs) -> R:
        execution = running()
        if execution is None:
            return call(*args, **kwargs)
        with execution.uninterruptible():
            return call(*args, **kwargs)

    return shield


def work(worker: Worker, job: Job) -> Any:
    """Work *job*; a mapping's worker for its kind does, or `LookupError` is raised."""
    if isinstance(worker, Mapping):
        known = worker.get(job.kind) if job.kind is not None else None
        if known is None:
            raise LookupError(f"no worker for kind {job.kind!r}; known: {checks.listed(worker)}")
        return work(known, job)
    perform: Any = getattr(worker, "perform", worker)
    return perform(job)


def outcome_of(value: Any) -> Outcome:
    """Return what a worker's return value means; raise `ValueError` for a bad `Schedule`."""
    if value is None:
        return _DONE
    kind = type(value)  # not isinstance: it asks the object, which may raise
    if issubclass(kind, Complete):
        return Complete(_plain(value.result))
    if issubclass(kind, Fail):
        return Fail(codec.storable(value.reason))
    if issubclass(kind, Cancel):
        return Cancel(codec.storable(value.reason))
    if issubclass(kind, Schedule):
        return _schedule(value)
    if issubclass(kind, _UNDONE):
        value.close()
        raise TypeError(f"the worker returned a {codec.type_name(value)}, whose code never ran")
    if any(value is outcome for outcome in _OUTCOMES):
        raise TypeError(
            f"the worker returned the class {value.__name__}; return {value.__name__}()"
        )
    return Complete(_plain(value))


_DONE = Complete()
_UNDONE = (CoroutineType, GeneratorType)
_OUTCOMES = (Complete, Fail, Cancel, Schedule)


def _plain(result: Any) -> Any:
    """Return a private copy, so that nothing can change between here and the write."""
    if result is None or type(result) in (bool, int, str):
        return result
    return codec.decode(codec.encode_result(result))


def _schedule(given: Schedule) -> Schedule:
    if (given.at is None) == (given.delay is None):
        raise ValueError(f"{given}: give either at or delay")
    if given.at is not None:
        return Schedule(at=checks.instant(given.at))
    return Schedule(delay=checks.seconds(given.delay))
