"""The job as a value, and what a worker may answer. No behaviour, no time, no storage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from typing import Any, Protocol, TypeAlias
from uuid import UUID

__all__ = [
    "INCOMPLETE",
    "JSON",
    "Backoff",
    "Cancel",
    "Complete",
    "Exponential",
    "Fail",
    "Job",
    "JobError",
    "JobFilter",
    "JobState",
    "Outcome",
    "Performer",
    "Schedule",
    "StateStats",
    "Worker",
    "evolve",
    "restored",
]

JSON: TypeAlias = Any
"""`None`, `bool`, `int`, `float`, `str`, or `list` and `dict[str, ...]` of these."""


class JobState(StrEnum):
    """Where a job stands. Scheduled and retrying jobs are `AVAILABLE`."""

    AVAILABLE = "available"
    EXECUTING = "executing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state never changes again."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
INCOMPLETE = frozenset(JobState) - _TERMINAL
"""The states of jobs that have something before them: available and executing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """A backoff that grows: *base* · *factor* ** (failures - 1) seconds, at most *maximum*.

    *jitter* is the share by which each delay is spread at random, to both sides: with 0.1 a delay
    of 10 s becomes one of 9 to 11 s, so that jobs which failed together do not retry together.
    """

    base: float = 1.0
    factor: float = 2.0
    maximum: float = 3600.0
    jitter: float = 0.1


Backoff: TypeAlias = tuple[float, ...] | Exponential
"""Seconds before each retry, the last repeating; or an `Exponential`."""


@dataclass(frozen=True, slots=True)
class JobError:
    """One failed attempt: its number (from 1), what went wrong, and when it ended.

    *error* is what the worker gave to `Fail`, or a mapping with ``type``, ``message`` and
    ``traceback`` for an exception, a timeout (type ``"timeout"``, the thread's stack as the
    traceback) and the loss of the node that ran it (type ``"lost"``).
    """

    attempt: int
    error: JSON
    at: datetime


_UNREAD: Any = ...  # no JSON decodes to it, and copies of it are the same object


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as it was at one revision.

    Instants are aware and in UTC, durations seconds. The payload and the result are kept as JSON
    text, `payload_json` and `result_json`; `payload` and `result` decode them when first asked
    for. A decoded value belongs to this object alone: changing it changes nothing else.
    """

    id: UUID
    queue: str
    kind: str | None = None
    chain: str | None = None
    payload_json: str = field(repr=False)
    state: JobState = JobState.AVAILABLE
    revision: int = 0
    """0 as inserted, one more at every write: the fence against outdated writes."""
    attempt: int = 0
    """Attempts that have ended in completion or failure; 0 while the first one runs."""
    max_attempts: int
    priority: int = 0
    timeout: float
    backoff: Backoff
    shutdown_timeout: float
    hops: int = 0
    """How many times the job was forwarded on its way here."""
    created_at: datetime
    scheduled_at: datetime | None = None
    attempted_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None
    result_json: str | None = field(default=None, repr=False)
    errors: tuple[JobError, ...] = ()
    """Newest first; of more than ten, the first and the last nine."""
    unique: str | None = None
    """Its key: no other job of the queue with it is inserted while this one holds it."""
    unique_until: datetime | None = None
    """When it stops to hold its key, if it has ended by then; `None`: as soon as it has ended."""
    _payload: JSON = field(default=_UNREAD, init=False, repr=False, compare=False)
    _result: JSON = field(default=_UNREAD, init=False, repr=False, compare=False)

    @property
    def payload(self) -> JSON:
        """What was inserted, decoded."""
        if self._payload is _UNREAD:
            object.__setattr__(self, "_payload", json.loads(self.payload_json))
        return self._payload

    @property
    def result(self) -> JSON:
        """What the job completed with, or the reason it was cancelled for; else `None`."""
        if self.result_json is None:
            return None
        if self._result is _UNREAD:
            object.__setattr__(self, "_result", json.loads(self.result_json))
        return self._result

    @property
    def entered_at(self) -> datetime:
        """When the present state was entered; the age that pruning looks at."""
        return _ENTERED[self.state](self) or self.created_at

    def __str__(self) -> str:
        kind = f" {self.kind}" if self.kind else ""
        return f"<job {self.id}{kind} in {self.queue!r}: {self.state}>"


_ENTERED: dict[JobState, Callable[[Job], datetime | None]] = {
    JobState.AVAILABLE: attrgetter("created_at"),
    JobState.EXECUTING: attrgetter("attempted_at"),
    JobState.COMPLETED: attrgetter("completed_at"),
    JobState.FAILED: attrgetter("failed_at"),
    JobState.CANCELLED: attrgetter("cancelled_at"),
}


class _Draft:
    """A job that can still be written: the same slots, so that it can become one."""

    __slots__ = Job.__slots__


def restored(*values: Any) -> Job:
    """Return the job of *values*, which are those of all fields in their order: for drivers.

    The same as ``Job(...)``, in a sixth of its time: the setters of a frozen dataclass are slow.
    """
    new: Any = _Draft()
    (
        new.id, new.queue, new.kind, new.chain, new.payload_json, new.state, new.revision,
        new.attempt, new.max_attempts, new.priority, new.timeout, new.backoff,
        new.shutdown_timeout, new.hops, new.created_at, new.scheduled_at, new.attempted_at,
        new.completed_at, new.failed_at, new.cancelled_at, new.result_json, new.errors,
        new.unique, new.unique_until,
    ) = values  # fmt: skip
    new._payload = new._result = _UNREAD
    new.__class__ = Job
    return new  # type: ignore[no-any-return]


def _copied(job: Job) -> Any:
    """Return a draft like *job*, without the decoded values."""
    new: Any = _Draft()
    new.id = job.id
    new.queue = job.queue
    new.kind = job.kind
    new.chain = job.chain
    new.payload_json = job.payload_json
    new.state = job.state
    new.revision = job.revision
    new.attempt = job.attempt
    new.max_attempts = job.max_attempts
    new.priority = job.priority
    new.timeout = job.timeout
    new.backoff = job.backoff
    new.shutdown_timeout = job.shutdown_timeout
    new.hops = job.hops
    new.created_at = job.created_at
    new.scheduled_at = job.scheduled_at
    new.attempted_at = job.attempted_at
    new.completed_at = job.completed_at
    new.failed_at = job.failed_at
    new.cancelled_at = job.cancelled_at
    new.result_json = job.result_json
    new.errors = job.errors
    new.unique = job.unique
    new.unique_until = job.unique_until
    new._payload = new._result = _UNREAD
    return new


def evolve(job: Job, **changes: Any) -> Job:
    """Return a copy of *job* with *changes*; decoded values are not carried over.

    The same as `dataclasses.replace`, in a quarter of its time: it runs at every step of a job.
    """
    new = _copied(job)
    for name, value in changes.items():
        setattr(new, name, value)
    new.__class__ = Job
    return new  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a driver lists: those that meet every condition, by (created_at, id).

    *queue* `None` is all queues, *states* `None` all states, *limit* `None` no limit. *after* is
    the (created_at, id) to begin behind. *node* keeps to the executing jobs that this node claimed.
    """

    queue: str | None = None
    states: frozenset[JobState] | None = None
    limit: int | None = None
    after: tuple[datetime, UUID] | None = None
    node: str | None = None


@dataclass(frozen=True, slots=True)
class StateStats:
    """How many jobs of a queue are in one state, and when the first and last of them entered it.

    *oldest* and *newest* are `None` when there is none. Of available jobs *waiting_since* is since
    when the one waits that has been due for longest: a driver may tell an earlier instant, but none
    from before that job was inserted. It is `None` if none is due, and for the other states. It
    does not count for equality.
    """

    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    waiting_since: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Complete:
    """The job is done. *result* is kept with it."""

    result: JSON = None


@dataclass(frozen=True, slots=True)
class Fail:
    """The attempt failed: retry after the backoff, or end as failed after the last attempt."""

    reason: JSON = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Never run the job again. *reason* is kept as its result."""

    reason: JSON = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Run the job again *at* an aware instant, or after a *delay*; costs no attempt.

    Exactly one of the two; *delay* is in seconds or a `timedelta`.
    """

    at: datetime | None = None
    delay: float | timedelta | None = None


Outcome: TypeAlias = Complete | Fail | Cancel | Schedule


class Performer(Protocol):
    """An object (or a module) whose `perform` works a job."""

    def perform(self, job: Job, /) -> Any:
        """Work *job*; return as a worker function does."""
        ...


Worker: TypeAlias = "Callable[[Job], Any] | Performer | type[Performer] | Mapping[str, Worker]"
"""A callable that takes the job, an object with `perform`, or one of these for each kind."""
