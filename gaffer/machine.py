"""The state machine: pure functions from a job, what happened and an instant to the next job.

No clock, no chance, no storage: what these need is handed in. Every function returns a job whose
revision is one more, except `create`, whose job is at revision 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from uuid import NAMESPACE_OID, UUID, uuid5

from gaffer import codec
from gaffer.conf import PruneConf, QueueConf
from gaffer.errors import InvalidPayload, InvalidTransition
from gaffer.job import (
    JSON,
    Backoff,
    Cancel,
    Complete,
    Exponential,
    Fail,
    Job,
    JobError,
    JobState,
    Outcome,
    evolve,
)

__all__ = [
    "ALLOWED",
    "MAX_ERRORS",
    "MAX_HOPS",
    "Ahead",
    "Cutoffs",
    "ahead",
    "cancel",
    "claim",
    "create",
    "cutoffs",
    "forwarded",
    "forwarded_id",
    "forwarded_json",
    "noted",
    "release",
    "replaced",
    "rescued",
    "retry",
    "settle",
    "suspect",
    "template",
]

ALLOWED: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.AVAILABLE: frozenset({JobState.EXECUTING, JobState.CANCELLED}),
        JobState.EXECUTING: frozenset(
            {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.AVAILABLE}
        ),
        JobState.COMPLETED: frozenset(),
        JobState.FAILED: frozenset(),
        JobState.CANCELLED: frozenset(),
    }
)
"""From each state to the states that may follow it, by what happens to the job. Only `retry`, which
a user asks for, leads out of a terminal state: no outcome does, however late it comes."""

_RETRIED = frozenset({JobState.FAILED, JobState.CANCELLED})

MAX_ERRORS = 10
MAX_HOPS = 16
"""How often a job may be forwarded; a cycle of queues ends here."""

Cutoffs: TypeAlias = Mapping[JobState, datetime | Literal["all"]]
"""For each state to prune: the instant before which its jobs were entered, or ``"all"``."""

_ZERO_ID = UUID(int=0)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Ahead:
    """What stands before an available job.

    *count*: the available jobs of its queue that are due and come first in the claim's order.
    *chain*: the job of its chain that has to end first, or `None`.
    """

    count: int
    chain: Job | None


def template(conf: QueueConf) -> Job:
    """Return what all new jobs of a queue are made from: its defaults, without a payload."""
    return Job(
        id=_ZERO_ID,
        queue=conf.name,
        payload_json="null",
        max_attempts=conf.max_attempts,
        priority=conf.priority,
        timeout=conf.timeout,
        backoff=conf.backoff,
        shutdown_timeout=conf.shutdown_timeout,
        created_at=_EPOCH,
    )


def create(template: Job, payload_json: str, *, id: UUID, now: datetime, **options: Any) -> Job:
    """Return a new job: *template* with checked *options*.

    ``delay`` and ``unique_for`` count from *now*.
    """
    if options:
        for duration, instant in (("delay", "scheduled_at"), ("unique_for", "unique_until")):
            seconds = options.pop(duration, None)
            if seconds is not None:
                options[instant] = _after(now, seconds)
    return evolve(template, id=id, payload_json=payload_json, created_at=now, **options)


def claim(job: Job, *, now: datetime) -> Job:
    """Return *job* as executing since *now*; what `Driver.job_claim` means."""
    _require(job, JobState.EXECUTING)
    return evolve(job, state=JobState.EXECUTING, revision=job.revision + 1, attempted_at=now)


def settle(job: Job, outcome: Outcome, *, now: datetime, roll: float = 0.5) -> Job:
    """Return executing *job* as *outcome* leaves it. *roll*, in [0, 1), is the backoff's chance."""
    if isinstance(outcome, Complete):  # first, and by itself: nearly all
        return _complete(job, outcome, now)
    match outcome:
        case Fail(reason):
            return _fail(job, reason, now, roll)
        case Cancel(reason):
            if job.state is not JobState.EXECUTING:  # an available job is cancelled by `cancel`
                raise InvalidTransition(job.id, job.state, JobState.CANCELLED)
            return _enter(
                job,
                JobState.CANCELLED,
                cancelled_at=now,
                result_json=codec.encode_result(codec.storable(reason)),
            )
    at = outcome.at if outcome.at is not None else _after(now, outcome.delay or 0.0)
    return _enter(job, JobState.AVAILABLE, scheduled_at=at)


def _complete(job: Job, outcome: Complete, now: datetime) -> Job:
    _require(job, JobState.COMPLETED)
    return evolve(
        job,
        state=JobState.COMPLETED,
        revision=job.revision + 1,
        attempt=job.attempt + 1,
        completed_at=now,
        result_json=codec.encode_result(outcome.result),
    )


def _fail(job: Job, reason: JSON, now: datetime, roll: float) -> Job:
    attempt = job.attempt + 1
    errors = _with_error(job, JobError(attempt, codec.storable(reason), now))
    if attempt >= job.max_attempts:
        return _enter(job, JobState.FAILED, attempt=attempt, errors=errors, failed_at=now)
    again = _after(now, _delay(job.backoff, attempt, roll))
    return _enter(job, JobState.AVAILABLE, attempt=attempt, errors=errors, scheduled_at=again)


def _with_error(job: Job, error: JobError) -> tuple[JobError, ...]:
    errors = (error, *job.errors)
    if len(errors) > MAX_ERRORS:
        # The first failure often tells the most: keep it, and the last nine.
        errors = (*errors[: MAX_ERRORS - 1], errors[-1])
    return errors


def _delay(backoff: Backoff, failures: int, roll: float) -> float:
    if not isinstance(backoff, Exponential):
        return backoff[min(failures, len(backoff)) - 1]
    try:
        delay = backoff.base * backoff.factor ** (failures - 1)
    except OverflowError:
        delay = backoff.maximum if backoff.base else 0.0
    return min(delay, backoff.maximum) * (1 + backoff.jitter * (2 * roll - 1))


def _after(now: datetime, delay: float | timedelta) -> datetime:
    return now + (delay if isinstance(delay, timedelta) else timedelta(seconds=delay))


def rescued(job: Job, error: JSON, lease: float, *, now: datetime, roll: float) -> Job:
    """Return executing *job* as it is after its node fell silent for *lease* seconds.

    A failed attempt, with *error*. It may be one that kills its process: that those which ran
    beside it do not all meet it again, each is tried again up to a quarter of a lease later than
    its backoff says.
    """
    after = settle(job, Fail(error), now=now, roll=roll)
    if after.scheduled_at is None or after.state is not JobState.AVAILABLE:
        return after
    return evolve(after, scheduled_at=_after(after.scheduled_at, lease / 4 * roll))


def suspect(job: Job) -> bool:
    """Return whether *job* was lost with its node twice in a row: it may be what kills them."""
    if len(job.errors) < 2:  # nearly all: each claimed job is asked
        return False
    last = [error.error for error in job.errors[:2]]
    return all(isinstance(error, dict) and error.get("type") == "lost" for error in last)


def release(job: Job) -> Job:
    """Return executing *job* as available again; the attempt does not count."""
    return _enter(job, JobState.AVAILABLE)


def cancel(job: Job, *, now: datetime, reason: JSON = None) -> Job:
    """Return *job* as cancelled by a user; `InvalidTransition` unless it is available."""
    if job.state is not JobState.AVAILABLE:
        raise InvalidTransition(job.id, job.state, JobState.CANCELLED)
    result = None if reason is None else codec.encode_result(reason)
    return _enter(job, JobState.CANCELLED, cancelled_at=now, result_json=result)


def retry(job: Job, *, now: datetime) -> Job:
    """Return failed or cancelled *job* as available since *now*, or raise `InvalidTransition`.

    Its history stays, and it has one attempt more if it has none left.
    """
    if job.state not in _RETRIED:
        raise InvalidTransition(job.id, job.state, JobState.AVAILABLE)
    return evolve(
        job,
        state=JobState.AVAILABLE,
        revision=job.revision + 1,
        max_attempts=max(job.max_attempts, job.attempt + 1),
        scheduled_at=now,
        failed_at=None,
        cancelled_at=None,
        result_json=None,  # the reason of its worker's `Cancel`
    )


def replaced(holder: Job, new: Job) -> Job:
    """Return available *holder* of a key with all that is *new*, as if it had not been tried yet.

    It stays the same job: its id, its age, its place among those of its priority, and its period.
    """
    return evolve(
        new,
        id=holder.id,
        revision=holder.revision + 1,
        created_at=holder.created_at,
        unique_until=holder.unique_until,
    )


def _enter(job: Job, state: JobState, **changes: Any) -> Job:
    _require(job, state)
    return evolve(job, state=state, revision=job.revision + 1, **changes)


def _require(job: Job, to: JobState) -> None:
    if to not in ALLOWED[job.state]:
        raise InvalidTransition(job.id, job.state, to)


def noted(job: Job, note: str, *, now: datetime) -> Job:
    """Return *job* at the same revision with one more error: what went wrong beside the attempt."""
    return evolve(job, errors=_with_error(job, JobError(job.attempt, note, now)))


def forwarded(job: Job) -> JSON:
    """Return what the job in a forward's target carries: the ended *job* in plain values."""
    return {
        "id": str(job.id),
        "queue": job.queue,
        "kind": job.kind,
        "payload": codec.decode(job.payload_json),
        "state": job.state.value,
        "attempt": job.attempt,
        "result": None if job.result_json is None else codec.decode(job.result_json),
        "errors": [
            {"attempt": e.attempt, "error": e.error, "at": e.at.isoformat()} for e in job.errors
        ],
        "at": job.entered_at.isoformat(),
        "options": {
            "chain": job.chain,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "timeout": job.timeout,
            "backoff": codec.decode(codec.dump_backoff(job.backoff)),
            "shutdown_timeout": job.shutdown_timeout,
        },
    }


def forwarded_json(job: Job, *, limit: int = codec.MAX_BYTES) -> str:
    """Return `forwarded` as JSON text of at most *limit* bytes, or as near to it as fits.

    A payload that would make it too large or too deep is replaced by a mapping that says so, with
    the id to find the original by; then the errors too.
    """
    value = forwarded(job)
    for key in ("payload", "result", "errors"):
        try:
            return codec.encode(value, limit=limit)
        except InvalidPayload as error:
            value[key] = {"gaffer:error": "omitted", "reason": codec.text(error, 500)}
    return codec.encode(value, limit=max(limit, codec.MAX_BYTES))


def forwarded_id(job: Job, target: str) -> UUID:
    """Return the id of the job that ended *job* becomes in *target*: the same at every try."""
    return uuid5(NAMESPACE_OID, f"gaffer:{job.id}:{job.revision}:{target}")


def ahead(job: Job, others: Iterable[Job], *, now: datetime) -> Ahead:
    """Return what stands before available *job*, of the available and executing jobs of its queue.

    In its chain that is the job that executes, or else the first of those that wait, if that is
    not *job*: those that wait for their time included.
    """
    mine, count = _turn(job), 0
    chain: tuple[Any, Job] | None = None
    for other in others:
        if other.id == job.id or other.queue != job.queue:
            continue
        executing, turn = other.state is JobState.EXECUTING, _turn(other)
        due = other.scheduled_at is None or other.scheduled_at <= now
        count += not executing and due and turn < mine
        if job.chain is not None and other.chain == job.chain and (executing or turn < mine):
            first = (not executing, turn)
            if chain is None or first < chain[0]:
                chain = (first, other)
    return Ahead(count, None if chain is None else chain[1])


def _turn(job: Job) -> tuple[int, datetime, UUID]:
    return (-job.priority, job.created_at, job.id)


def cutoffs(prune: PruneConf, *, now: datetime) -> Cutoffs:
    """Return what is old enough to be pruned at *now*; states never pruned are left out."""
    ages = {state: prune.age(state) for state in JobState}
    return {
        state: "all" if age == 0 else now - timedelta(seconds=age)
        for state, age in ages.items()
        if age is not None
    }
