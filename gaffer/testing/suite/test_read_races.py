"""Races of looks with changes: whoever looks meanwhile is never refused."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from gaffer.driver import Driver, JobState
from gaffer.testing.suite.crowd import rounds, together, until
from gaffer.testing.suite.scene import finish, put, take
from gaffer.testing.values import new_job

JOBS = 60

Look = Callable[[Driver, str], int]


def executing_by_stats(driver: Driver, queue: str) -> int:
    return driver.job_stats(queue)[JobState.EXECUTING].count


def executing_by_orphans(driver: Driver, queue: str) -> int:
    return len(driver.job_orphans(queue, 3600.0))


def looks_while_jobs_are_worked(driver: Driver, other: Driver, look: Look) -> list[int]:
    """Look at a queue again and again while all its jobs are claimed and finished one by one."""
    queue = str(uuid4())
    driver.queue_insert(queue)
    driver.job_write([new_job(queue, n) for n in range(JOBS)])
    [_, seen] = together(work_or_look, [driver, other], queue, driver, look)
    return seen


def work_or_look(handle: Driver, queue: str, worker: Driver, look: Look) -> list[int]:
    if handle is not worker:
        return [look(handle, queue) for _ in until(lambda: done(handle, queue) == JOBS)]
    while jobs := take(handle, queue):
        for job in jobs:
            finish(handle, job)
    return []


def done(handle: Driver, queue: str) -> int:
    return handle.job_stats(queue)[JobState.COMPLETED].count


def test_stats_can_be_taken_while_jobs_are_worked(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        seen = looks_while_jobs_are_worked(driver, other, executing_by_stats)

        assert max(seen, default=0) <= JOBS


def test_orphans_can_be_sought_while_jobs_are_worked(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        seen = looks_while_jobs_are_worked(driver, other, executing_by_orphans)

        assert max(seen, default=0) <= JOBS


def test_subscriptions_may_come_and_go_while_jobs_are_inserted(
    driver: Driver, other: Driver
) -> None:
    for _ in rounds():
        queue = str(uuid4())
        driver.queue_insert(queue)

        together(insert_or_subscribe, [driver, other, other], queue, driver)

        assert driver.job_stats(queue)[JobState.AVAILABLE].count == JOBS


def insert_or_subscribe(handle: Driver, queue: str, inserter: Driver) -> None:
    for number in range(JOBS):
        if handle is inserter:
            put(handle, queue, number)
        elif end := handle.subscribe(f"{queue}-{number}", 0.05, lambda: None):
            end()
