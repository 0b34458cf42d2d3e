"""Stand-ins for tests: a clock that stands still, a driver that fails when told to, a hammer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

from gaffer.driver import (
    Ahead,
    Claim,
    Cutoffs,
    Driver,
    DriverHealth,
    DriverUnavailable,
    Finding,
    Job,
    JobFilter,
    JobState,
    Node,
    StateStats,
)

__all__ = ["FaultyDriver", "Hold", "ManualClock", "Service", "start_stop_stress"]

_T = TypeVar("_T")
_S = TypeVar("_S", bound="Service")

PATIENCE = 30.0
"""Seconds after which a test that waits for another thread gives up."""


class ManualClock:
    """A `gaffer.clock.Clock` that goes on only by `advance`. Any thread may use it."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        if start.utcoffset() is None:
            raise ValueError(f"start={start!r}: must be an aware datetime")
        self._lock = threading.Lock()
        self._start = start.astimezone(UTC)
        self._elapsed = timedelta()

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        with self._lock:
            return self._start + self._elapsed

    def monotonic(self) -> float:
        """Return the seconds that have passed since the clock was made."""
        with self._lock:
            return self._elapsed.total_seconds()

    def advance(self, seconds: float | timedelta) -> None:
        """Go on by *seconds*, at least 0."""
        step = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
        if step < timedelta():
            raise ValueError(f"seconds={seconds!r}: this clock never goes back")
        with self._lock:
            self._elapsed += step


@dataclass(frozen=True, slots=True)
class Hold:
    """A verb held midway: wait for `entered`, look around, then set `release`."""

    entered: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def meet(self) -> None:
        """Let a call arrive and wait for its release."""
        self.entered.set()
        if not self.release.wait(PATIENCE):
            raise TimeoutError(f"a held call was not released within {PATIENCE:g} s")


@dataclass(slots=True)
class _Fault:
    error: BaseException
    times: int | None
    after: bool


class FaultyDriver(Driver):
    """A driver that hands every call on to *inner*, except where it was told to fail or to wait.

    `calls` are the names of the verbs called, in order, failed ones included. A verb that is told
    to fail several ways fails in the order in which it was told.
    """

    def __init__(self, inner: Driver) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self._lock = threading.Lock()
        self._faults: dict[str, list[_Fault]] = {}
        self._holds: dict[str, Hold] = {}

    def fail(
        self,
        verb: str,
        *,
        times: int | None = 1,
        error: BaseException | None = None,
        after: bool = False,
    ) -> None:
        """Make the next *times* calls of *verb* raise *error*; `None`: all, until `heal`.

        With *after* the inner driver does its work first, and only the answer is lost.
        """
        self._known(verb)
        fault = _Fault(error or DriverUnavailable(f"{verb}: told to fail"), times, after)
        with self._lock:
            self._faults.setdefault(verb, []).append(fault)

    def heal(self, verb: str | None = None) -> None:
        """Forget what *verb*, or every verb, was told to fail."""
        with self._lock:
            for name in list(self._faults) if verb is None else [verb]:
                self._faults.pop(name, None)

    @contextmanager
    def block(self, verb: str) -> Iterator[Hold]:
        """Hold every call of *verb*, before its work, until released or the block is left."""
        self._known(verb)
        hold = Hold()
        with self._lock:
            self._holds[verb] = hold
        try:
            yield hold
        finally:
            with self._lock:
                self._holds.pop(verb, None)
            hold.release.set()

    def _known(self, verb: str) -> None:
        if verb.startswith("_") or not callable(getattr(Driver, verb, None)):
            raise ValueError(f"verb={verb!r}: a driver has no such method")

    def _call(self, verb: str, work: Callable[[], _T]) -> _T:
        with self._lock:
            self.calls.append(verb)
            hold = self._holds.get(verb)
            fault = self._next_fault(verb)
        if hold is not None:
            hold.meet()
        if fault is not None and not fault.after:
            raise fault.error
        answer = work()
        if fault is not None:
            raise fault.error
        return answer

    def _next_fault(self, verb: str) -> _Fault | None:
        faults = self._faults.get(verb)
        if not faults:
            return None
        fault = faults[0]
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                faults.pop(0)
        return fault

    @property
    def unique(self) -> bool:  # type: ignore[override]
        """Whether the inner driver sees to keys."""
        return self.inner.unique

    def start(self) -> None:
        """See `Driver.start`, as for all that follow."""
        self._call("start", self.inner.start)

    def stop(self) -> None:  # noqa: D102
        self._call("stop", self.inner.stop)

    def after_fork(self) -> None:  # noqa: D102
        self._lock = threading.Lock()  # the parent's may have been held
        self._call("after_fork", self.inner.after_fork)

    @property
    def storage(self) -> Hashable:  # noqa: D102
        return self.inner.storage

    @property
    def listening(self) -> bool | None:  # noqa: D102
        return self.inner.listening

    def health(self, timeout: float) -> DriverHealth:  # noqa: D102
        return self._call("health", lambda: self.inner.health(timeout))

    def diagnose(self, timeout: float) -> list[Finding]:  # noqa: D102
        return self._call("diagnose", lambda: self.inner.diagnose(timeout))

    def now(self) -> datetime:  # noqa: D102
        return self._call("now", self.inner.now)

    def queue_insert(self, name: str) -> None:  # noqa: D102
        self._call("queue_insert", lambda: self.inner.queue_insert(name))

    def queue_exists(self, name: str) -> bool:  # noqa: D102
        return self._call("queue_exists", lambda: self.inner.queue_exists(name))

    def queue_list(self) -> list[str]:  # noqa: D102
        return self._call("queue_list", self.inner.queue_list)

    def queue_delete(self, name: str, *, jobs: bool = False) -> None:  # noqa: D102
        self._call("queue_delete", lambda: self.inner.queue_delete(name, jobs=jobs))

    def queue_pause(self, name: str, paused: bool) -> bool:  # noqa: D102
        return self._call("queue_pause", lambda: self.inner.queue_pause(name, paused))

    def queue_paused(self, name: str) -> bool:  # noqa: D102
        return self._call("queue_paused", lambda: self.inner.queue_paused(name))

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:  # noqa: D102
        return self._call("job_write", lambda: self.inner.job_write(jobs, connection))

    def job_get(self, id: UUID) -> Job | None:  # noqa: D102
        return self._call("job_get", lambda: self.inner.job_get(id))

    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:  # noqa: D102
        return self._call("job_ended", lambda: self.inner.job_ended(ids))

    def job_list(self, filter: JobFilter) -> list[Job]:  # noqa: D102
        return self._call("job_list", lambda: self.inner.job_list(filter))

    def job_delete(self, id: UUID) -> bool:  # noqa: D102
        return self._call("job_delete", lambda: self.inner.job_delete(id))

    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:  # noqa: D102
        return self._call("job_stats", lambda: self.inner.job_stats(queue))

    def job_claim(self, claim: Claim) -> list[Job]:  # noqa: D102
        return self._call("job_claim", lambda: self.inner.job_claim(claim))

    def job_write_and_claim(self, jobs: Sequence[Job], claim: Claim) -> list[Job]:
        """Do the two verbs, either of which may fail; as one if this very verb has to fail."""
        verb = "job_write_and_claim"
        if not self._faults.get(verb) and verb not in self._holds:
            return super().job_write_and_claim(jobs, claim)
        return self._call(verb, lambda: self.inner.job_write_and_claim(jobs, claim))

    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:  # noqa: D102
        return self._call("job_prune", lambda: self.inner.job_prune(queue, cutoffs, limit))

    def node_beat(self, node: str) -> None:  # noqa: D102
        self._call("node_beat", lambda: self.inner.node_beat(node))

    def node_leave(self, node: str) -> None:  # noqa: D102
        self._call("node_leave", lambda: self.inner.node_leave(node))

    def schedule_last(self, queue: str, name: str) -> datetime | None:  # noqa: D102
        return self._call("schedule_last", lambda: self.inner.schedule_last(queue, name))

    def schedule_advance(  # noqa: D102
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        advance = self.inner.schedule_advance
        return self._call("schedule_advance", lambda: advance(queue, name, expected, slot, jobs))

    def node_tell(self, node: str, about: str) -> None:  # noqa: D102
        self._call("node_tell", lambda: self.inner.node_tell(node, about))

    def node_list(self) -> list[Node] | None:  # noqa: D102
        return self._call("node_list", self.inner.node_list)

    def job_ahead(self, job: Job) -> Ahead:  # noqa: D102
        return self._call("job_ahead", lambda: self.inner.job_ahead(job))

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:  # noqa: D102
        return self._call("job_orphans", lambda: self.inner.job_orphans(queue, lease))

    def subscribe(  # noqa: D102
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        return self._call("subscribe", lambda: self.inner.subscribe(queue, interval, wake))


class Service(Protocol):
    """Something that can be started and stopped."""

    def start(self) -> object:
        """Begin; again does nothing."""
        ...

    def stop(self) -> object:
        """End, and return when ended; again, or without a start, does nothing."""
        ...


def start_stop_stress(make: Callable[[], _S], *, threads: int = 10, rounds: int = 50) -> _S:
    """Start and stop one service from many threads at once; return it, stopped.

    Raise what any of the calls raised, or `TimeoutError` if one did not come back.
    """
    service = make()
    errors: list[BaseException] = []
    ready = threading.Barrier(threads)

    def hammer() -> None:
        try:
            ready.wait(PATIENCE)
            for _ in range(rounds):
                service.start()
                service.stop()
        except BaseException as error:
            errors.append(error)

    hammers = [threading.Thread(target=hammer, daemon=True) for _ in range(threads)]
    for thread in hammers:
        thread.start()
    for thread in hammers:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in hammers):
        raise TimeoutError(f"start or stop did not return within {PATIENCE:g} s")
    service.stop()
    return service
