"""What `list` was asked for, as the filter that a driver understands."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from gaffer.codec import shown
from gaffer.driver import Driver
from gaffer.errors import InvalidJob, UnknownJob
from gaffer.job import INCOMPLETE, Job, JobFilter, JobState

__all__ = ["job_filter"]


def job_filter(
    driver: Driver,
    queue: str | None,
    state: str | Iterable[str] | None,
    limit: int | None,
    after: Job | UUID | None,
) -> JobFilter:
    """Return the filter; raise `InvalidJob`, or `UnknownJob` if *after* is an id that is gone."""
    if limit is not None and (type(limit) is not int or limit < 0):
        raise InvalidJob(f"limit={shown(limit)}: must be a natural number", keys=["limit"])
    if isinstance(after, UUID):
        job = driver.job_get(after)
        if job is None:
            raise UnknownJob(queue or "*", after)
        after = job
    elif after is not None and not isinstance(after, Job):
        raise InvalidJob(f"after={shown(after)}: must be a Job or its id", keys=["after"])
    return JobFilter(
        queue=queue,
        states=_states(state),
        limit=limit,
        after=None if after is None else (after.created_at, after.id),
    )


def _states(state: str | Iterable[str] | None) -> frozenset[JobState] | None:
    if state is None:
        return None
    if state == "incomplete":
        return INCOMPLETE
    try:
        return frozenset(map(JobState, [state] if isinstance(state, str) else state))
    except (TypeError, ValueError):
        known = ", ".join(JobState)
        raise InvalidJob(
            f"state={shown(state)}: must be among {known}, or 'incomplete'", keys=["state"]
        ) from None
