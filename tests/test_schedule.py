"""Jobs that put themselves off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gaffer import Fail, Gaffer, Job, JobScheduled, JobState, Schedule
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Recorder, quiet


def putting_off(*answers: Any) -> Any:
    """Return a worker that gives each of *answers* in turn."""
    left = list(answers)

    def work(job: Job) -> Any:
        return left.pop(0)

    return work


def test_a_job_can_put_itself_off(
    manual: Gaffer, driver: Driver, harness: DriverHarness, recorder: Recorder
) -> None:
    """B91 [T], B72, B145 [D]."""
    at = driver.now() + timedelta(seconds=60)
    worker = putting_off(Schedule(at=at), "done")
    queue = manual.create_queue("q", worker=worker, **quiet(hooks=[recorder]))
    job = queue.insert(1)
    queue.poll()

    early = queue.poll()
    harness.advance(60)

    [scheduled] = recorder.of(JobScheduled)
    stored = queue.get(job.id)
    assert (stored.state, stored.scheduled_at, early) == (JobState.AVAILABLE, at, 0)
    assert (scheduled.actor, scheduled.job) == ("worker", stored)
    assert queue.poll() == 1
    assert queue.get(job.id).result == "done"


def test_putting_off_costs_nothing_however_often(manual: Gaffer) -> None:
    """B92, B75."""
    worker = putting_off(Fail("no"), *[Schedule(delay=0)] * 5, "done")
    queue = manual.create_queue("q", worker=worker, **quiet(max_attempts=2, backoff=0))
    job = queue.insert(1)

    while queue.poll():
        pass

    stored = queue.get(job.id)
    assert (stored.state, stored.attempt, len(stored.errors)) == (JobState.COMPLETED, 2, 1)


@pytest.mark.parametrize("delay", [30, timedelta(seconds=30)])
def test_a_delay_counts_from_the_end_of_the_attempt(
    delay: Any, manual: Gaffer, driver: Driver
) -> None:
    """B93."""
    queue = manual.create_queue("q", worker=putting_off(Schedule(delay=delay)), **quiet())
    job = queue.insert(1)
    before = driver.now()

    queue.poll()

    wait = timedelta(seconds=30)
    due = queue.get(job.id).scheduled_at
    assert due is not None
    assert before + wait <= due <= driver.now() + wait


@pytest.mark.parametrize(
    "bad",
    [
        Schedule(),
        Schedule(at=datetime(2099, 1, 1)),  # noqa: DTZ001
        Schedule(at="tomorrow"),  # type: ignore[arg-type]
        Schedule(delay=-1),
        Schedule(delay=float("nan")),
    ],
)
def test_a_bad_time_is_a_failed_attempt(bad: Schedule, manual: Gaffer) -> None:
    """B93."""
    queue = manual.create_queue("q", worker=putting_off(bad), **quiet())
    job = queue.insert(1)

    queue.poll()

    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 1)
    assert stored.errors[0].error["type"] == "ValueError"


def test_a_time_in_the_past_makes_the_job_claimable_at_once(manual: Gaffer, driver: Driver) -> None:
    """B94."""
    past = driver.now() - timedelta(days=1)
    queue = manual.create_queue("q", worker=putting_off(Schedule(at=past), "done"), **quiet())
    job = queue.insert(1)
    queue.poll()

    queue.poll()

    assert queue.get(job.id).state is JobState.COMPLETED
