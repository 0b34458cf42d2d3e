"""What tests do to jobs by a driver's own verbs: a worker's part, without a worker."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from gaffer import Complete, Fail, Job, Schedule, machine
from gaffer.driver import Claim, Driver, JobFilter, evolve
from gaffer.job import INCOMPLETE

__all__ = [
    "cancelled",
    "claim",
    "completed",
    "failed",
    "incomplete",
    "moved",
    "released",
    "seeded",
    "settle_and_claim",
]


def claim(
    driver: Driver, limit: int | None = 1, most: int | None = None, **other: Any
) -> list[Job]:
    """Claim jobs of the queue ``q``, unless told otherwise."""
    return driver.job_claim(_wanted(driver, limit, most, **other))


def settle_and_claim(
    driver: Driver,
    settled: Sequence[Job],
    limit: int | None = 1,
    most: int | None = None,
    **other: Any,
) -> list[Job]:
    """Write *settled* jobs and claim as `claim` does, in one go."""
    return driver.job_write_and_claim(settled, _wanted(driver, limit, most, **other))


def _wanted(driver: Driver, limit: int | None, most: int | None, **other: Any) -> Claim:
    wanted = {"queue": "q", "node": f"node {id(driver)}", "now": driver.now(), **other}
    return Claim(limit=limit, global_max_workers=most, **wanted)


def completed(driver: Driver, job: Job, result: Any = None) -> Job:
    """Return executing *job* as completed now."""
    return machine.settle(job, Complete(result), now=driver.now())


def failed(driver: Driver, job: Job) -> Job:
    """Return executing *job* after a failed attempt."""
    return machine.settle(job, Fail("no"), now=driver.now())


def released(driver: Driver, job: Job, delay: float = 0.0) -> Job:
    """Return executing *job* as available again, after *delay* seconds."""
    return machine.settle(job, Schedule(delay=delay), now=driver.now())


def cancelled(driver: Driver, job: Job) -> Job:
    """Return available *job* as cancelled."""
    return machine.cancel(job, now=driver.now())


def moved(driver: Driver, job: Job, priority: int, delay: float) -> Job:
    """Return available *job* elsewhere in the line."""
    at = driver.now() + timedelta(seconds=delay)
    return evolve(job, priority=priority, scheduled_at=at, revision=job.revision + 1)


def incomplete(driver: Driver) -> Sequence[Job]:
    """Return the jobs that have not ended."""
    return driver.job_list(JobFilter(queue="q", states=INCOMPLETE))


def seeded(request: pytest.FixtureRequest) -> random.Random:
    """Return random numbers, and say in the report of a failure where they began."""
    seed = random.randrange(2**32)
    request.node.add_report_section("setup", "seed", str(seed))
    return random.Random(seed)
