"""A queue's configuration and a job's options: defaults, and the checks at the door.

What passes here is trusted by every other module. Durations come in as seconds or `timedelta` and
go on as `float` seconds; `None` means no limit, or never.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict
from uuid import UUID

from gaffer import checks
from gaffer.checks import DEFAULT_AGE, Check, listed
from gaffer.codec import shown
from gaffer.errors import InvalidJob, InvalidQueueConf
from gaffer.job import JSON, Backoff, Exponential, JobState, Worker
from gaffer.schedules import Recurring

if TYPE_CHECKING:
    from gaffer.driver import Driver
    from gaffer.events import Hook

__all__ = [
    "DEFAULT_AGE",
    "Duration",
    "JobOptions",
    "NewJob",
    "OnConflict",
    "PruneConf",
    "PruneOptions",
    "QueueConf",
    "QueueOptions",
    "changed",
    "check_id",
    "check_job",
    "check_name",
    "check_on_conflict",
    "check_option",
    "check_worker",
    "configured",
]

Duration: TypeAlias = float | timedelta

OnConflict: TypeAlias = Literal["return", "raise", "replace"]
"""What an insert does if another job holds the key."""


class PruneOptions(TypedDict, total=False):
    """The keys of the option `prune`; see `PruneConf`."""

    interval: Duration | None
    max_age: Mapping[Any, Duration | None]


class QueueOptions(TypedDict, total=False):
    """The options of a queue; see `QueueConf` for what they mean and their defaults."""

    max_workers: int | None
    global_max_workers: int | None
    poll_interval: Duration | None
    max_attempts: int
    timeout: Duration
    backoff: Duration | Sequence[Duration] | Exponential
    priority: int
    shutdown_timeout: Duration
    forward: Mapping[Any, str]
    hooks: Sequence[Hook]
    prune: PruneOptions
    max_abandoned: int | None
    interrupt: bool
    schedules: Sequence[Recurring]


class JobOptions(TypedDict, total=False):
    """The options of a job. Those left out, or `None`, are the queue's at the time of insert."""

    id: UUID | None
    kind: str | None
    chain: str | None
    priority: int | None
    max_attempts: int | None
    timeout: Duration | None
    backoff: Duration | Sequence[Duration] | Exponential | None
    shutdown_timeout: Duration | None
    scheduled_at: datetime | None
    delay: Duration | None
    unique: str | None
    unique_for: Duration | None


@dataclass(frozen=True, slots=True)
class NewJob:
    """A payload with options of its own, for `insert_many`."""

    payload: JSON
    _: dataclasses.KW_ONLY
    id: UUID | None = None
    kind: str | None = None
    chain: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    timeout: Duration | None = None
    backoff: Duration | Sequence[Duration] | Exponential | None = None
    shutdown_timeout: Duration | None = None
    scheduled_at: datetime | None = None
    delay: Duration | None = None
    unique: str | None = None
    unique_for: Duration | None = None

    def options(self) -> dict[str, Any]:
        """Return the options that are set."""
        given = {name: getattr(self, name) for name in _JOB_CHECKS}
        return {name: value for name, value in given.items() if value is not None}


_TERMINAL_AGES: dict[str, float | None] = {
    JobState.COMPLETED: 0.0,
    JobState.FAILED: 0.0,
    JobState.CANCELLED: 0.0,
}


@dataclass(frozen=True, slots=True)
class PruneConf:
    """When finished jobs go.

    Every *interval* seconds (`None`: only by `prune()`) the jobs that have been in a state longer
    than its *max_age* in seconds are deleted: 0 deletes them all, `None` none. The key ``"*"``
    stands for all states that have no key; without it they are never pruned.
    """

    interval: float | None = 1.0
    max_age: Mapping[str, float | None] = field(
        default_factory=lambda: MappingProxyType(dict(_TERMINAL_AGES))
    )

    def age(self, state: JobState) -> float | None:
        """Return the greatest age of jobs in *state*, or `None` for never."""
        return self.max_age.get(state, self.max_age.get(DEFAULT_AGE))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConf:
    """What a queue does in this process. Durations in seconds; `None` is no limit, or never.

    - *worker*: works the jobs; without one the process only inserts;
    - *driver*: keeps the jobs;
    - *max_workers*, *global_max_workers*: jobs that run at once, in this process and over all;
    - *poll_interval*: between looks for jobs; `None`: only when asked, or when a job has ended;
    - *max_attempts*, *timeout*, *backoff*, *priority*, *shutdown_timeout*: for jobs inserted
      without a value of their own. A higher priority is claimed first;
    - *forward*: the queue that gets a new job when one ends completed, failed or
      cancelled;
    - *hooks*: called with every event of the queue, in order, after the global ones;
    - *prune*: see `PruneConf`;
    - *max_abandoned*: more threads than this that outlive their job's timeout, and the queue stops
      claiming; `None`: as many as *max_workers*;
    - *interrupt*: raise `JobTimeout` in the thread of a job whose time is up;
    - *schedules*: `gaffer.Cron` and `gaffer.Every`, by which the queue gets jobs by itself, from
      the processes that work it.
    """

    name: str
    worker: Worker | None
    driver: Driver
    max_workers: int | None = 1
    global_max_workers: int | None = None
    poll_interval: float | None = 0.1
    max_attempts: int = 3
    timeout: float = 30.0
    backoff: Backoff = (1.0,)
    priority: int = 0
    shutdown_timeout: float = 5.0
    forward: Mapping[JobState, str] = field(default_factory=lambda: MappingProxyType({}))
    hooks: tuple[Hook, ...] = ()
    prune: PruneConf = field(default_factory=PruneConf)
    max_abandoned: int | None = None
    interrupt: bool = False
    schedules: tuple[Recurring, ...] = ()


def configured(
    name: str, worker: Worker | None, driver: Driver, options: Mapping[str, Any]
) -> QueueConf:
    """Return the configuration of queue *name*; raise `InvalidQueueConf`."""
    checked = _checked(options, _QUEUE_CHECKS, InvalidQueueConf)
    prune = _pruned(PruneConf(), checked.pop("prune", {}), replace=True)
    return QueueConf(
        name=check_name(name, "queue", InvalidQueueConf),
        worker=check_worker(worker),
        driver=driver,
        prune=prune,
        **checked,
    )


def changed(conf: QueueConf, changes: Mapping[str, Any]) -> QueueConf:
    """Return *conf* with *changes* merged in; raise `InvalidQueueConf`.

    `prune` and `forward` are merged key by key, everything else is replaced.
    """
    if not changes:
        raise InvalidQueueConf("nothing to change: give at least one option")
    if fixed := changes.keys() & {"name", "driver"}:
        raise InvalidQueueConf(
            f"{listed(fixed)} cannot be changed; delete the queue and create it anew", keys=fixed
        )
    options = dict(changes)
    worker = check_worker(options.pop("worker")) if "worker" in options else conf.worker
    checked = _checked(options, _QUEUE_CHECKS, InvalidQueueConf)
    if "prune" in checked:
        checked["prune"] = _pruned(conf.prune, checked["prune"], replace=False)
    if "forward" in checked:
        checked["forward"] = MappingProxyType({**conf.forward, **checked["forward"]})
    return dataclasses.replace(conf, worker=worker, **checked)


def check_job(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's *options* checked, without those that are `None`; raise `InvalidJob`."""
    given = {
        name: value
        for name, value in options.items()
        if value is not None or name not in _JOB_CHECKS
    }
    if given.keys() >= {"scheduled_at", "delay"}:
        raise InvalidJob(
            "scheduled_at and delay: give one of the two", keys=["scheduled_at", "delay"]
        )
    return _checked(given, _JOB_CHECKS, InvalidJob)


def check_id(value: Any) -> UUID:
    """Return *value* if it is a UUID, or raise `InvalidJob`."""
    checked: UUID = _checked({"id": value}, {"id": checks.uuid}, InvalidJob)["id"]
    return checked


def check_on_conflict(value: Any) -> OnConflict:
    """Return *value* if it is one of `OnConflict`, or raise `InvalidJob`."""
    if value not in ("return", "raise", "replace"):
        raise InvalidJob(
            f"on_conflict={shown(value)}: must be 'return', 'raise' or 'replace'",
            keys=["on_conflict"],
        )
    checked: OnConflict = value
    return checked


def check_option(name: str, value: Any, check: Check) -> Any:
    """Return *value* checked, `None` as it is; raise `InvalidQueueConf` naming the option."""
    return None if value is None else _checked({name: value}, {name: check}, InvalidQueueConf)[name]


def check_name(
    value: Any, what: str, error: type[InvalidQueueConf] | type[InvalidJob] = InvalidQueueConf
) -> str:
    """Return *value* if it can be a name: text of 1 to 200 characters that every store keeps."""
    try:
        return checks.name(value)
    except ValueError as reason:
        raise error(f"{what}={shown(value)}: {reason}", keys=[what]) from None


def check_worker(worker: Any) -> Worker | None:
    """Return *worker* if it can work jobs, or raise `InvalidQueueConf`."""
    try:
        return None if worker is None else checks.worker(worker)
    except ValueError as reason:
        raise InvalidQueueConf(f"worker={shown(worker)}: {reason}", keys=["worker"]) from None


def _checked(
    options: Mapping[str, Any],
    known: Mapping[str, Check],
    error: type[InvalidQueueConf] | type[InvalidJob],
) -> dict[str, Any]:
    if unknown := options.keys() - known.keys():
        raise error(f"unknown: {listed(unknown)}; known are {listed(known)}", keys=unknown)
    checked = {}
    for name, value in options.items():
        try:
            checked[name] = known[name](value)
        except ValueError as reason:
            raise error(f"{name}={shown(value)}: {reason}", keys=[name]) from None
    return checked


def _pruned(before: PruneConf, given: Mapping[str, Any], *, replace: bool) -> PruneConf:
    ages = given.get("max_age", {})
    # A new queue that names "*" decides about all states; otherwise the defaults shine through.
    base = {} if replace and DEFAULT_AGE in ages else before.max_age
    return PruneConf(
        interval=given.get("interval", before.interval), max_age=MappingProxyType({**base, **ages})
    )


def _schedules(value: Any) -> tuple[Recurring, ...]:
    """Check for a list of schedules that can be told apart, with options that a job has."""
    if not isinstance(value, list | tuple) or not all(isinstance(s, Recurring) for s in value):
        raise ValueError("must be a list or tuple of Cron and Every")
    if twice := {one.key for one in value if sum(one.key == s.key for s in value) > 1}:
        raise ValueError(f"twice: {listed(twice)}; give them names: name='...'")
    for schedule in value:
        try:
            check_job(schedule.options)
        except InvalidJob as error:
            raise ValueError(f"{schedule!r}: {error}") from None
    return tuple(value)


_QUEUE_CHECKS: dict[str, Check] = {
    "max_workers": checks.or_none(checks.integer(1)),
    "global_max_workers": checks.or_none(checks.integer(1)),
    "poll_interval": checks.or_none(checks.duration(0.001, checks.DAY)),
    "max_attempts": checks.integer(1),
    "timeout": checks.duration(0.001, checks.DAY),
    "backoff": checks.backoff,
    "priority": checks.integer(-checks.INT32 - 1),
    "shutdown_timeout": checks.duration(0.0, checks.DAY),
    "forward": checks.forward,
    "hooks": checks.hooks,
    "prune": checks.prune,
    "max_abandoned": checks.or_none(checks.integer(0)),
    "interrupt": checks.flag,
    "schedules": _schedules,
}

_JOB_CHECKS: dict[str, Check] = {
    "id": checks.uuid,
    "kind": checks.name,
    "chain": checks.name,
    "priority": _QUEUE_CHECKS["priority"],
    "max_attempts": _QUEUE_CHECKS["max_attempts"],
    "timeout": _QUEUE_CHECKS["timeout"],
    "backoff": _QUEUE_CHECKS["backoff"],
    "shutdown_timeout": _QUEUE_CHECKS["shutdown_timeout"],
    "scheduled_at": checks.instant,
    "delay": checks.duration(0.0, checks.CENTURY),
    "unique": checks.name,
    "unique_for": checks.duration(0.001, checks.CENTURY),
}
