"""From rows to jobs, and from jobs to the texts that PostgreSQL reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gaffer.driver import (
    Claim,
    Job,
    JobState,
    StateStats,
    dump_backoff,
    dump_errors,
    load_backoff,
    load_errors,
    restored,
)
from gaffer_driver_postgres.bounds import Start

__all__ = [
    "STATES",
    "array",
    "claim_values",
    "claimed_jobs",
    "dumped_backoff",
    "instants",
    "job_of",
    "plain",
    "record",
    "records",
    "stats_of",
    "stored_state",
    "text_array",
    "untouched",
]

STATES = {
    JobState.AVAILABLE: ("available", "scheduled", "chained"),
    JobState.EXECUTING: ("executing",),
    JobState.COMPLETED: ("completed",),
    JobState.FAILED: ("failed",),
    JobState.CANCELLED: ("cancelled",),
}
"""The states of storage that are one state of the API."""
_STATE_OF = {stored: state for state, names in STATES.items() for stored in names}

_backoff = lru_cache(maxsize=1024)(load_backoff)
dumped_backoff = lru_cache(maxsize=1024)(dump_backoff)


def _aware(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.replace(tzinfo=UTC)


def job_of(row: Sequence[Any]) -> Job:
    """Return the job of a row of `statements.COLUMNS`, which are in the order of a job's fields."""
    (
        id, queue, kind, chain, payload, state, revision, attempt, max_attempts, priority, timeout,
        backoff, shutdown_timeout, hops, created, scheduled, attempted, completed, failed,
        cancelled, result, errors, unique, until,
    ) = row  # fmt: skip
    return restored(
        id, queue, kind, chain, payload, _STATE_OF[state], revision, attempt, max_attempts,
        priority, timeout, _backoff(backoff), shutdown_timeout, hops, created.replace(tzinfo=UTC),
        _aware(scheduled), _aware(attempted), _aware(completed), _aware(failed), _aware(cancelled),
        result, () if errors is None else load_errors(errors), unique, _aware(until),
    )  # fmt: skip


def claim_values(claim: Claim, start: Start) -> list[Any]:
    """Return the parameters of the function ``claim_1``."""
    return [
        claim.queue,
        claim.limit,
        claim.global_max_workers,
        claim.node,
        claim.now.isoformat(),
        claim.even_paused,
        array(start.priorities),
        instants(start.since),
    ]


def claimed_jobs(rows: Sequence[Sequence[Any]], claim: Claim) -> tuple[list[Job], float | None]:
    """Return the jobs that *claim* has brought by ``claim_1``, in order.

    And the seconds that its look at the whole queue took, if they were many.
    """
    took: float | None = None
    if rows and rows[-1][0] is None:
        *rows, note = rows
        took = note[8]
    now = claim.now.astimezone(UTC)
    jobs = [_claimed_job(row, claim.queue, now) for row in rows]
    jobs.sort(key=lambda job: (-job.priority, job.created_at, job.id.int))
    return jobs, took


def _claimed_job(row: Sequence[Any], queue: str, now: datetime) -> Job:
    (
        id, kind, chain, payload, revision, attempt, max_attempts, priority, timeout, backoff,
        shutdown_timeout, hops, created, scheduled, result, errors, unique, until,
    ) = row  # fmt: skip
    return restored(
        id, queue, kind, chain, payload, JobState.EXECUTING, revision, attempt, max_attempts,
        priority, timeout, _backoff(backoff), shutdown_timeout, hops, created.replace(tzinfo=UTC),
        _aware(scheduled), now, None, None, None,
        result, () if errors is None else load_errors(errors), unique, _aware(until),
    )  # fmt: skip


def stats_of(rows: Iterable[Sequence[Any]]) -> dict[JobState, StateStats]:
    """Return what rows of (stored state, count, oldest, newest, waiting) say of each state."""
    found: dict[JobState, list[Sequence[Any]]] = {state: [] for state in JobState}
    for row in rows:
        if row[1]:
            found[_STATE_OF[row[0]]].append(row)
    return {
        state: StateStats(
            sum(row[1] for row in some),
            _aware(min((row[2] for row in some), default=None)),
            _aware(max((row[3] for row in some), default=None)),
            _aware(min((row[4] for row in some if row[4] is not None), default=None)),
        )
        for state, some in found.items()
    }


# -- texts -----------------------------------------------------------------------------------------


def stored_state(job: Job, now: Callable[[], datetime]) -> str:
    """Return the state that storage keeps an unchained *job* in."""
    if job.state is not JobState.AVAILABLE:
        return job.state.value
    waits = job.scheduled_at is not None and job.scheduled_at > now()
    return "scheduled" if waits else "available"


def plain(job: Job) -> bool:
    """Return whether *job* is as new as `statements.insert` takes it, and has no key."""
    return job.unique is None and untouched(job)


def untouched(job: Job) -> bool:
    """Return whether *job* is as new as can be."""
    return (
        job.revision == 0
        and job.state is JobState.AVAILABLE
        and job.attempt == 0
        and job.result_json is None
        and not job.errors
        and job.attempted_at is None
        and job.completed_at is None
        and job.failed_at is None
        and job.cancelled_at is None
    )


def record(job: Job, now: Callable[[], datetime]) -> dict[str, Any]:
    """Return all of *job*, for the function ``write_1``."""
    chained = job.chain is not None and job.state is JobState.AVAILABLE
    kept = {
        "id": job.id.hex,
        "queue": job.queue,
        "kind": job.kind,
        "chain": job.chain,
        "payload": job.payload_json,
        "state": "chained" if chained else stored_state(job, now),
        "revision": job.revision,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "priority": job.priority,
        "timeout": job.timeout,
        "backoff": dumped_backoff(job.backoff),
        "shutdown_timeout": job.shutdown_timeout,
        "hops": job.hops,
        "created_at": _iso(job.created_at),
        "scheduled_at": _iso(job.scheduled_at),
        "attempted_at": _iso(job.attempted_at),
        "completed_at": _iso(job.completed_at),
        "failed_at": _iso(job.failed_at),
        "cancelled_at": _iso(job.cancelled_at),
        "result": job.result_json,
        "errors": dump_errors(job.errors) if job.errors else None,
    }
    if job.unique is not None:
        kept["unique_key"], kept["unique_until"] = job.unique, _iso(job.unique_until)
    return kept


def records(jobs: Iterable[Job], now: Callable[[], datetime]) -> str:
    """Return `record` of each as one JSON text, by key and id: so that no two batches cross."""
    ordered = sorted(jobs, key=lambda job: (job.queue, job.unique or "", job.id.int))
    return json.dumps([record(job, now) for job in ordered], ensure_ascii=False)


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def array(values: Iterable[Any]) -> str:
    """Return an array literal of numbers and ids, which need no quotes; `None` is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def instants(values: Iterable[datetime | None]) -> str:
    """Return an array literal of instants."""
    texts: list[str] = []
    last, text = None, "NULL"
    for at in values:
        if at is not last:  # those of one batch are often one
            last, text = at, "NULL" if at is None else at.isoformat()
        texts.append(text)
    return "{" + ",".join(texts) + "}"


def text_array(values: Iterable[str | None]) -> str:
    r"""Return an array literal of texts.

    >>> text_array(['a "b"', None, "c\\d"])
    '{"a \\"b\\"",NULL,"c\\\\d"}'
    """
    return "{" + ",".join(["NULL" if text is None else _quoted(text) for text in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
