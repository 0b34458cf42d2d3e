"""Jobs that run longer than they may."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any

from gaffer import (
    Gaffer,
    Job,
    JobCompleted,
    JobFailed,
    JobLate,
    JobState,
    JobTimeout,
    QueueStuck,
    current,
)
from gaffer.testing.harness import DriverHarness
from tests.conftest import PATIENCE, Gate, Recorder, quiet


def test_at_its_timeout_an_attempt_has_failed(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B109 [T], B112 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(timeout=0.05, hooks=[recorder]))
    job = queue.insert(1, max_attempts=1)

    queue.poll()

    [failed] = recorder.of(JobFailed)
    stored = queue.get(job.id)
    [error] = stored.errors
    assert (stored.state, stored.attempt, error.attempt) == (JobState.FAILED, 1, 1)
    assert (failed.actor, failed.job) == ("runner", stored)
    assert error.error["type"] == "timeout"
    assert "timeout" in error.error["message"]


def test_the_error_of_a_timeout_says_where_the_job_was(gaffer_: Gaffer, gate: Gate) -> None:
    """B112 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(timeout=0.2))
    job = queue.insert(1)

    queue.poll()

    trace = queue.get(job.id).errors[0].error["traceback"]
    assert "conftest.py" in trace
    assert "wait_for" in trace


def test_the_thread_of_a_timeout_is_told_counted_and_its_result_dropped(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B109 [T]."""
    told: list[bool] = []

    def work(job: Job) -> str:
        gate(job)
        told.append(current().stopping)
        return "too late"

    queue = gaffer_.create_queue("q", worker=work, **quiet(timeout=0.05, hooks=[recorder]))
    job = queue.insert(1, max_attempts=1)
    queue.poll()
    before = queue.get(job.id)
    workers = queue.info().workers

    gate.let()

    [late] = recorder.wait_for(JobLate)
    assert (workers.active, workers.abandoned) == (0, 1)
    assert (late.actor, late.job.id, told) == ("worker", job.id, [True])
    assert queue.get(job.id) == before
    assert queue.info().workers.abandoned == 0
    assert queue.info().workers.late == 1


def test_the_timeout_is_that_of_the_job(gaffer_: Gaffer, gate: Gate) -> None:
    """B110."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(timeout=3600))
    job = queue.insert(1, timeout=0.05)

    queue.poll()

    assert queue.get(job.id).errors[0].error["type"] == "timeout"


def test_a_job_that_timed_out_is_retried_after_its_backoff(
    manual: Gaffer, gate: Gate, harness: DriverHarness
) -> None:
    """B111."""

    def work(job: Job) -> Any:
        return gate(job) if job.attempt == 0 else "done"

    queue = manual.create_queue("q", worker=work, **quiet(timeout=0.05, backoff=10))
    job = queue.insert(1)
    queue.poll()
    stored = queue.get(job.id)
    early = queue.poll()

    harness.advance(10)
    queue.poll()

    assert (stored.state, stored.attempt, early) == (JobState.AVAILABLE, 1, 0)
    assert queue.get(job.id).result == "done"


def test_a_paused_queue_times_its_jobs_out(gaffer_: Gaffer, gate: Gate, recorder: Recorder) -> None:
    """B113."""
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(poll_interval=0.01, timeout=0.3, hooks=[recorder])
    )
    queue.insert(1)
    gate.wait_for(1)

    queue.pause()

    [failed] = recorder.wait_for(JobFailed)
    assert failed.actor == "runner"


def test_a_job_that_ends_in_time_is_not_touched_when_its_time_is_up(
    gaffer_: Gaffer, make_gate: Callable[..., Gate], recorder: Recorder
) -> None:
    """B114."""
    slow = make_gate()

    def work(job: Job) -> Any:
        return slow(job) if job.payload == "slow" else "done"

    queue = gaffer_.create_queue("q", worker=work, **quiet(max_workers=2, hooks=[recorder]))
    fast = queue.insert("fast", timeout=0.1)
    queue.insert("slow", timeout=0.2)

    queue.poll()

    [failed] = recorder.of(JobFailed)
    assert failed.job.payload == "slow"
    assert queue.get(fast.id).result == "done"
    assert len(recorder.of(JobCompleted)) == 1


def test_a_slot_freed_by_a_timeout_is_filled_at_once(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B115, B61 [T]."""

    def work(job: Job) -> Any:
        return gate(job) if job.payload == "slow" else "done"

    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[recorder]))
    queue.insert("slow", timeout=0.05, max_attempts=1)
    queue.insert("next")

    queue.poll()

    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job.payload == "next"


def test_a_queue_with_too_many_abandoned_threads_stops_claiming_and_says_so(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B109 [T]."""
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(timeout=0.05, max_abandoned=0, hooks=[recorder])
    )
    queue.insert(1, max_attempts=1)
    waiting = queue.insert(2)

    queue.poll()
    queue.drain()  # the runner has had a turn to claim when this returns
    queue.resume()

    [stuck] = recorder.of(QueueStuck)
    assert (stuck.actor, stuck.queue, stuck.abandoned) == ("runner", "q", 1)
    assert queue.info().status == "stuck"
    assert queue.info().workers.abandoned == 1
    assert queue.get(waiting.id).state is JobState.AVAILABLE


def test_a_stuck_queue_goes_on_when_its_threads_come_home(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B109 [T]."""

    def work(job: Job) -> Any:
        return gate(job) if job.payload == "slow" else "done"

    queue = gaffer_.create_queue(
        "q", worker=work, **quiet(timeout=0.05, max_abandoned=0, hooks=[recorder])
    )
    queue.insert("slow", max_attempts=1)
    queue.insert("next", timeout=30)
    queue.poll()

    gate.let()

    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job.payload == "next"
    assert queue.info().status == "active"


def test_interrupt_raises_in_the_thread_of_a_job_whose_time_is_up(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B109 [T], B112 [D]."""
    interrupted, never = Event(), Event()

    def work(job: Job) -> None:
        try:
            for _ in range(round(PATIENCE / 0.01)):
                never.wait(0.01)
        except JobTimeout:
            interrupted.set()
            raise

    queue = gaffer_.create_queue(
        "q", worker=work, **quiet(timeout=0.05, interrupt=True, hooks=[recorder])
    )
    job = queue.insert(1, max_attempts=1)

    queue.poll()

    assert interrupted.wait(PATIENCE)
    stored = queue.get(job.id)
    assert (stored.state, stored.errors[0].error["type"]) == (JobState.FAILED, "timeout")
    assert [event.actor for event in recorder.of(JobFailed)] == ["runner"]


def test_an_uninterruptible_block_is_not_torn_apart(gaffer_: Gaffer) -> None:
    """B109 [T]."""
    steps: list[str] = []
    ended = Event()

    def work(job: Job) -> None:
        try:
            with current().uninterruptible():
                while not current().stopping or current().remaining() > 0:
                    ended.wait(0.005)
                steps.append("whole")
            steps.append("beyond")
        finally:
            ended.set()

    queue = gaffer_.create_queue("q", worker=work, **quiet(timeout=0.05, interrupt=True))
    queue.insert(1, max_attempts=1)

    queue.poll()

    assert ended.wait(PATIENCE)
    assert steps in (["whole"], ["whole", "beyond"])
