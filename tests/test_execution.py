"""What a worker gets, and what becomes of what it returns or raises."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from gaffer import (
    Cancel,
    Complete,
    Fail,
    Gaffer,
    GafferError,
    InvalidTransition,
    Job,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobState,
    Schedule,
    current,
)
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, Recorder, failing, quiet


def one(gaffer_: Gaffer, worker: Any, **options: Any) -> Job:
    """Run one job through *worker*; return it as stored."""
    queue = gaffer_.ensure_queue("q", worker=worker, **quiet(**options))
    job = queue.insert({"n": 1})
    assert queue.poll() == 1
    stored: Job = queue.get(job.id)
    return stored


def raising(error: BaseException) -> Any:
    def work(job: Job) -> None:
        raise error

    return work


@pytest.mark.parametrize("answer", [None, Complete()])
def test_a_worker_that_returns_nothing_completes_its_job(
    answer: Any, manual: Gaffer, driver: Driver
) -> None:
    """B66 [T], B75."""
    job = one(manual, lambda job: answer)

    assert (job.state, job.attempt) == (JobState.COMPLETED, 1)
    assert (job.result_json, job.result) == ("null", None)
    assert job.completed_at is not None
    assert job.created_at <= job.completed_at <= driver.now()


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (Complete({"a": [1]}), {"a": [1]}),
        ({"a": [1]}, {"a": [1]}),
        (0, 0),
        ("", ""),
        (False, False),
    ],
)
def test_a_result_is_in_the_event_and_in_storage(
    answer: Any, result: Any, manual: Gaffer, recorder: Recorder
) -> None:
    """B67 [T], B73, B153 [T]."""
    job = one(manual, lambda job: answer, hooks=[recorder])

    [completed] = recorder.of(JobCompleted)
    assert (job.state, job.result, type(job.result)) == (JobState.COMPLETED, result, type(result))
    assert completed.job == job


def test_a_result_that_cannot_be_kept_completes_the_job_and_says_so(manual: Gaffer) -> None:
    """B73."""
    job = one(manual, lambda job: {"at": object()})

    assert job.state is JobState.COMPLETED
    assert job.result["gaffer:error"] == "unserialisable"
    assert "result.at" in job.result["reason"]


def test_fail_is_a_failed_attempt(manual: Gaffer, recorder: Recorder) -> None:
    """B68 [T], B75."""
    job = one(manual, lambda job: Fail("no"), max_attempts=1, hooks=[recorder])

    [failed] = recorder.of(JobFailed)
    assert (job.state, job.attempt) == (JobState.FAILED, 1)
    assert [error.error for error in job.errors] == ["no"]
    assert (failed.actor, failed.job) == ("worker", job)


def test_an_exception_is_a_failed_attempt_with_its_traceback(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B69 [T], B88, B207 [T]."""
    job = one(manual, raising(ValueError("broken")), max_attempts=1, hooks=[recorder])

    [error] = job.errors
    assert job.state is JobState.FAILED
    assert (error.attempt, error.error["type"], error.error["message"]) == (
        1,
        "ValueError",
        "broken",
    )
    assert "raise error" in error.error["traceback"]
    assert [event.actor for event in recorder.of(JobFailed)] == ["worker"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_a_worker_that_tries_to_end_its_thread_fails_its_attempt(
    error: BaseException, gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B70 [T], B207 [T]."""
    queue = gaffer_.create_queue("q", worker=raising(error), **quiet(hooks=[recorder]))
    job = queue.insert(1, max_attempts=1)

    queue.poll()

    [failed] = recorder.of(JobFailed)
    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == (JobState.FAILED, 1)
    assert stored.errors[0].error["type"] == type(error).__name__
    assert failed.actor == "worker"


def test_cancel_ends_the_job_without_an_attempt_and_keeps_the_reason(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B71 [T], B75."""
    job = one(manual, lambda job: Cancel("not needed"), hooks=[recorder])

    [cancelled] = recorder.of(JobCancelled)
    assert (job.state, job.attempt, job.errors) == (JobState.CANCELLED, 0, ())
    assert job.result == "not needed"
    assert job.cancelled_at is not None
    assert (cancelled.actor, cancelled.job) == ("worker", job)


def test_a_worker_gets_the_job_as_claimed(manual: Gaffer) -> None:
    """B74."""
    seen: list[Job] = []

    one(manual, seen.append)

    [job] = seen
    assert (job.state, job.attempt, job.payload) == (JobState.EXECUTING, 0, {"n": 1})
    assert job.attempted_at is not None


def test_only_ends_count_as_attempts(manual: Gaffer, harness: DriverHarness) -> None:
    """B75, B92."""
    answers: list[Any] = [Schedule(delay=0), Fail("no"), Complete()]
    attempts: list[int] = []

    def work(job: Job) -> Any:
        attempts.append(job.attempt)
        return answers.pop(0)

    queue = manual.create_queue("q", worker=work, **quiet(backoff=0))
    job = queue.insert(1)

    while queue.poll():
        pass

    assert attempts == [0, 0, 1]
    assert queue.get(job.id).attempt == 2


def test_a_completed_job_keeps_the_errors_of_earlier_attempts(manual: Gaffer) -> None:
    """B76."""
    queue = manual.create_queue("q", worker=failing("a", "b"), **quiet(backoff=0))
    job = queue.insert(1)

    while queue.poll():
        pass

    stored = queue.get(job.id)
    assert stored.state is JobState.COMPLETED
    assert [(error.attempt, error.error) for error in stored.errors] == [(2, "b"), (1, "a")]


@pytest.mark.parametrize(
    ("answer", "state"),
    [(None, "completed"), (Fail("no"), "failed"), (Cancel("no"), "cancelled")],
)
def test_no_transition_leaves_a_terminal_state(answer: Any, state: str, manual: Gaffer) -> None:
    """B77 [D]."""
    job = one(manual, lambda job: answer, max_attempts=1)

    with pytest.raises(InvalidTransition):
        manual.cancel("q", job.id)

    assert job.state == state
    assert manual.poll("q") == 0
    assert manual.get("q", job.id) == job


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Complete(), "completed"),
        (Cancel(), "cancelled"),
        (Fail(), "available"),
        (Schedule(delay=60), "available"),
    ],
)
def test_a_worker_leads_its_executing_job_to_every_state_that_may_follow(
    answer: Any, state: str, manual: Gaffer
) -> None:
    """B77 [D]."""
    assert one(manual, lambda job: answer).state == state


def test_jobs_of_a_queue_run_at_once_each_on_its_own_thread(gaffer_: Gaffer) -> None:
    """B78 [T]."""
    together = threading.Barrier(3, timeout=30)
    threads: list[int] = []

    def work(job: Job) -> None:
        together.wait()
        threads.append(threading.get_ident())

    queue = gaffer_.create_queue("q", worker=work, **quiet(max_workers=3))
    queue.insert_many([1, 2, 3])

    assert queue.poll() == 3
    assert len(set(threads)) == 3


def test_a_job_that_runs_is_executing_in_storage(gaffer_: Gaffer, gate: Gate) -> None:
    """B79 [T]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    job = queue.insert(1)

    gate.wait_for(1)

    stored = queue.get(job.id)
    assert (stored.state, stored.attempt) == (JobState.EXECUTING, 0)
    assert stored == gate.entered[0]


def test_every_field_of_a_job_is_stored(manual: Gaffer) -> None:
    """B80 [D]."""
    queue = manual.create_queue("q", worker=failing("no"), **quiet(backoff=0))
    given = queue.insert(
        {"a": 1}, kind="k", chain="c", priority=2, max_attempts=4, timeout=5, shutdown_timeout=6
    )
    while queue.poll():
        pass

    job = queue.get(given.id)

    assert (job.id, job.queue, job.kind, job.chain) == (given.id, "q", "k", "c")
    assert (job.payload, job.state, job.attempt) == ({"a": 1}, JobState.COMPLETED, 2)
    assert (job.max_attempts, job.priority, job.backoff) == (4, 2, (0.0,))
    assert (job.timeout, job.shutdown_timeout, job.result) == (5.0, 6.0, "done")
    assert [error.error for error in job.errors] == ["no"]
    assert job.created_at == given.created_at
    assert job.attempted_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.attempted_at <= job.completed_at
    assert job.scheduled_at is not None
    assert (job.failed_at, job.cancelled_at) == (None, None)


def test_what_a_worker_does_to_its_payload_stays_with_it(manual: Gaffer) -> None:
    """B46."""

    def work(job: Job) -> Fail:
        job.payload["n"] = 2
        return Fail("no")

    assert one(manual, work).payload == {"n": 1}


def test_a_worker_may_ask_about_its_attempt(manual: Gaffer) -> None:
    """B110."""

    def work(job: Job) -> list[Any]:
        attempt = current()
        assert attempt.job is job
        return [20 < attempt.remaining() <= 25, attempt.stopping]

    assert one(manual, work, timeout=timedelta(seconds=25)).result == [True, False]


def test_outside_of_a_job_there_is_no_current_attempt() -> None:
    """B110."""
    with pytest.raises(GafferError, match="no job is running"):
        current()
