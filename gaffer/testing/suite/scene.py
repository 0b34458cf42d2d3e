"""Short words for what the tests of the suite set up, do and look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from gaffer import machine
from gaffer.driver import Claim, Driver, Job, JobFilter, JobState
from gaffer.job import JSON, Cancel, Complete, Fail, Outcome
from gaffer.testing.values import NOW, new_job

__all__ = [
    "after",
    "both",
    "ended",
    "finish",
    "ids",
    "listed",
    "put",
    "put_each_state",
    "take",
    "take_one",
]


def after(seconds: float) -> datetime:
    """Return the instant *seconds* after `NOW`."""
    return NOW + timedelta(seconds=seconds)


def put(driver: Driver, queue: str = "q", payload: JSON = None, **options: Any) -> Job:
    """Insert a job, and its queue if need be."""
    driver.queue_insert(queue)
    return driver.job_write([new_job(queue, payload, **options)])[0]


def take(
    driver: Driver,
    queue: str = "q",
    *,
    limit: int | None = None,
    most: int | None = None,
    node: str = "n",
    now: datetime = NOW,
    even_paused: bool = False,
) -> list[Job]:
    """Claim jobs."""
    claim = Claim(
        queue=queue,
        limit=limit,
        global_max_workers=most,
        node=node,
        now=now,
        even_paused=even_paused,
    )
    return driver.job_claim(claim)


def take_one(driver: Driver, queue: str = "q", *, node: str = "n", now: datetime = NOW) -> Job:
    """Claim the one job that must be there."""
    (job,) = take(driver, queue, limit=1, node=node, now=now)
    return job


def finish(driver: Driver, job: Job, outcome: Outcome | None = None, now: datetime = NOW) -> Job:
    """Settle an executing job; completed, unless told otherwise."""
    return driver.job_write([machine.settle(job, outcome or Complete(), now=now)])[0]


def ended(job: Job, outcome: Outcome | None = None, at: float = 0) -> Job:
    """Return executing *job* as it ends *at* seconds after `NOW`; completed by default."""
    return machine.settle(job, outcome or Complete(), now=after(at))


def both(driver: Driver, jobs: Sequence[Job], queue: str = "q", **options: Any) -> list[Job]:
    """Write *jobs* and claim, in one go; *options* are fields of a `Claim`."""
    wanted = {"limit": None, "global_max_workers": None, "node": "n", "now": NOW, **options}
    return driver.job_write_and_claim(jobs, Claim(queue=queue, **wanted))


def put_each_state(driver: Driver, queue: str = "q") -> dict[JobState, Job]:
    """Insert five jobs and leave one in each state, entered at `NOW`."""
    outcomes: dict[JobState, Outcome] = {
        JobState.COMPLETED: Complete({"done": True}),
        JobState.FAILED: Fail("broken"),
        JobState.CANCELLED: Cancel("not wanted"),
    }
    jobs = {}
    for state, outcome in outcomes.items():
        put(driver, queue, max_attempts=1)
        jobs[state] = finish(driver, take_one(driver, queue), outcome)
    put(driver, queue)
    jobs[JobState.EXECUTING] = take_one(driver, queue)
    jobs[JobState.AVAILABLE] = put(driver, queue)
    return jobs


def listed(driver: Driver, **conditions: Any) -> list[Job]:
    """Return the jobs that meet all *conditions*, the fields of a `JobFilter`."""
    return driver.job_list(JobFilter(**conditions))


def ids(jobs: Iterable[Job]) -> list[UUID]:
    """Return the ids of *jobs*, in order."""
    return [job.id for job in jobs]
