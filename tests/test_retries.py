"""Failures: how often, how soon, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest

from gaffer import Exponential, Fail, Gaffer, Job, JobCompleted, JobFailed, JobState
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import MakeGaffer, Recorder, fail, failing, quiet


def waits(gaffer_: Gaffer, harness: DriverHarness, **options: Any) -> list[float]:
    """Fail one job to its end; return the seconds between each failure and the next attempt."""
    queue = gaffer_.create_queue("q", worker=fail, **quiet(**options))
    job = queue.insert(1)
    queue.poll()
    seconds: list[float] = []
    while (stored := queue.get(job.id)).state is JobState.AVAILABLE:
        assert stored.scheduled_at is not None
        wait = (stored.scheduled_at - stored.errors[0].at).total_seconds()
        seconds.append(wait)
        if wait > 1:
            harness.advance(wait - 1)
            assert queue.poll() == 0, "an attempt came too early"
            harness.advance(1)
        assert queue.poll() == 1, "an attempt did not come"
    assert stored.state is JobState.FAILED
    return seconds


def test_a_failure_with_attempts_left_makes_the_job_available(
    manual: Gaffer, recorder: Recorder, driver: Driver
) -> None:
    """B81 [T], B83 [T], B153 [T]."""
    queue = manual.create_queue("q", worker=fail, **quiet(hooks=[recorder]))
    job = queue.insert(1)

    queue.poll()

    [failed] = recorder.of(JobFailed)
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt, stored.failed_at) == (JobState.AVAILABLE, 1, None)
    assert [(error.attempt, error.error) for error in stored.errors] == [(1, "no")]
    assert job.created_at <= stored.errors[0].at <= driver.now()
    assert failed.job == stored


def test_the_last_failure_makes_the_job_failed(
    manual: Gaffer, harness: DriverHarness, recorder: Recorder
) -> None:
    """B82 [T], B90 [T]."""
    queue = manual.create_queue("q", worker=fail, **quiet(backoff=0, hooks=[recorder]))
    job = queue.insert(1, max_attempts=2)
    queue.poll()

    queue.poll()

    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == (JobState.FAILED, 2)
    assert stored.failed_at == stored.errors[0].at
    assert [event.job.state for event in recorder.of(JobFailed)] == ["available", "failed"]
    assert queue.poll() == 0


def test_errors_are_kept_newest_first(manual: Gaffer) -> None:
    """B83 [T]."""
    queue = manual.create_queue("q", worker=failing("a", "b", "c"), **quiet(backoff=0))
    job = queue.insert(1)

    while queue.poll():
        pass

    errors = queue.get(job.id).errors
    assert [(error.attempt, error.error) for error in errors] == [(3, "c"), (2, "b"), (1, "a")]
    assert errors[0].at >= errors[1].at >= errors[2].at


def test_a_list_of_delays_is_used_in_order_and_the_last_repeats(
    manual: Gaffer, harness: DriverHarness
) -> None:
    """B84 [T], B86 [T]."""
    assert waits(manual, harness, backoff=[10, 20, 30], max_attempts=5) == [10, 20, 30, 30]


def test_one_delay_is_used_every_time(manual: Gaffer, harness: DriverHarness) -> None:
    """B85 [T], B86 [T]."""
    assert waits(manual, harness, backoff=7, max_attempts=4) == [7, 7, 7]


def test_an_exponential_backoff_grows_up_to_its_maximum(
    manual: Gaffer, harness: DriverHarness
) -> None:
    """B84 [T]."""
    backoff = Exponential(base=2, factor=3, maximum=30, jitter=0)

    assert waits(manual, harness, backoff=backoff, max_attempts=5) == [2, 6, 18, 30]


def test_without_a_backoff_the_job_runs_again_at_once(gaffer_: Gaffer, recorder: Recorder) -> None:
    """B90 [T]."""
    queue = gaffer_.create_queue("q", worker=failing("a", "b"), **quiet(hooks=[recorder]))
    queue.insert(1, backoff=0)

    queue.poll()

    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job.attempt == 3


def test_the_backoff_is_that_of_the_job(manual: Gaffer, harness: DriverHarness) -> None:
    """B84 [T], B36 [T]."""
    queue = manual.create_queue("q", worker=fail, **quiet(backoff=100))
    queue.insert(1, backoff=5)
    queue.poll()

    harness.advance(5)

    assert queue.poll() == 1


class Odd:
    def __repr__(self) -> str:
        return "odd"


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (None, None),
        (1.5, 1.5),
        ("no", "no"),
        (["a", Odd()], ["a", "odd"]),
        ({1: Odd(), "b": (1, 2)}, {"1": "odd", "b": [1, 2]}),
        (Odd(), "odd"),
        (float("inf"), "inf"),
        (("badrpc", "nodedown"), ["badrpc", "nodedown"]),
    ],
)
def test_a_reason_is_made_storable(reason: Any, kept: Any, manual: Gaffer) -> None:
    """B87 [T]."""
    queue = manual.create_queue("q", worker=lambda job: Fail(reason), **quiet())
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).errors[0].error == kept


def test_an_exception_whose_text_raises_is_a_failure_like_any(manual: Gaffer) -> None:
    """B88, B69 [T]."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def work(job: Job) -> None:
        raise Hostile

    queue = manual.create_queue("q", worker=work, **quiet())
    job = queue.insert(1)

    queue.poll()

    stored = queue.get(job.id)
    assert stored.state is JobState.AVAILABLE
    assert stored.errors[0].error["type"].endswith("Hostile")


def test_other_jobs_run_while_one_waits_for_its_retry(make_gaffer: MakeGaffer) -> None:
    """B86 [T]."""
    queue = make_gaffer(work=False).create_queue("q", worker=failing("no"), **quiet())
    first, second = queue.insert_many([1, 2])
    queue.poll()

    queue.poll()

    assert [queue.get(job.id).attempt for job in (first, second)] == [1, 1]


def test_jobs_that_fail_together_come_back_spread(manual: Gaffer) -> None:
    """F29: over a fifth of the delay, by the jitter that an exponential backoff has."""
    backoff = Exponential(base=1000, factor=2, maximum=10_000)
    options = quiet(backoff=backoff, max_workers=50)
    queue = manual.create_queue("q", worker=fail, **options)
    queue.insert_many([None] * 200)
    while queue.poll():
        pass

    delays = [
        (job.scheduled_at - job.errors[0].at).total_seconds()
        for job in queue.list()
        if job.scheduled_at is not None
    ]

    assert len(delays) == 200
    assert 900 <= min(delays) < 920
    assert 1080 < max(delays) <= 1100
