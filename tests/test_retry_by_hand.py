"""What `retry` does with a job that has ended."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gaffer import (
    AlreadyForwarded,
    Cancel,
    Fail,
    Gaffer,
    InvalidTransition,
    JobLate,
    JobScheduled,
    JobState,
    UnknownJob,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import MakeGaffer, Recorder, fail, failing, quiet
from tests.rig.waiting import until

KEEP: Any = {"interval": None}


def test_a_failed_job_is_available_again_with_its_history_and_one_attempt_more(
    manual: Gaffer,
) -> None:
    queue = manual.create_queue("q", worker=failing("first", "second"), **quiet(max_attempts=2))
    job = queue.insert({"a": 1}, kind="k", priority=3, backoff=0)
    while queue.poll():
        pass
    failed = queue.get(job.id)

    retried = queue.retry(job.id)

    assert queue.get(job.id) == retried
    assert (retried.state, retried.revision) == (JobState.AVAILABLE, failed.revision + 1)
    assert (retried.attempt, retried.max_attempts, retried.errors) == (2, 3, failed.errors)
    assert failed.failed_at is not None
    assert retried.scheduled_at is not None
    assert (retried.failed_at, retried.scheduled_at >= failed.failed_at) == (None, True)
    assert (retried.payload, retried.kind, retried.priority) == ({"a": 1}, "k", 3)
    assert queue.poll() == 1
    done = queue.get(job.id)
    assert (done.state, done.result, done.attempt) == (JobState.COMPLETED, "done", 3)


def test_a_cancelled_job_is_available_again_without_the_reason(manual: Gaffer) -> None:
    queue = manual.create_queue("q", worker=lambda job: Cancel("not today"), **quiet())
    job = queue.insert(1)
    queue.poll()
    assert queue.get(job.id).result == "not today"

    retried = queue.retry(job.id)

    assert (retried.state, retried.result) == (JobState.AVAILABLE, None)
    assert (retried.cancelled_at, retried.attempt, retried.max_attempts) == (None, 0, 3)
    assert queue.poll() == 1


def test_a_job_that_waited_for_its_time_when_it_was_cancelled_is_due_at_once(
    manual: Gaffer,
) -> None:
    queue = manual.create_queue("q", worker=lambda job: None, **quiet())
    job = queue.insert(1, delay=3600)
    queue.cancel(job.id)

    queue.retry(job.id)

    assert queue.poll() == 1


def test_jobs_that_wait_run_or_are_done_are_refused(manual: Gaffer) -> None:
    queue = manual.create_queue("q", worker=lambda job: None, **quiet())
    done, waiting = queue.insert(1), queue.insert(2, delay=60)
    queue.poll()

    for job, state in ((done, "completed"), (waiting, "available")):
        with pytest.raises(InvalidTransition) as caught:
            queue.retry(job.id)
        error = caught.value
        assert (error.id, error.from_, error.to) == (job.id, state, "available")
    executing = queue.insert(3)
    with queue.claim(), pytest.raises(InvalidTransition, match="is executing"):
        queue.retry(executing.id)


def test_a_job_that_was_pruned_is_unknown(manual: Gaffer) -> None:
    queue = manual.create_queue("q", worker=fail, **quiet(max_attempts=1))
    job = queue.insert(1)
    queue.poll()
    queue.prune()

    with pytest.raises(UnknownJob):
        queue.retry(job.id)


def test_a_retry_wakes_the_runner_and_tells_the_hooks(
    make_gaffer: MakeGaffer, recorder: Recorder
) -> None:
    app = make_gaffer(hooks=[recorder])
    queue = app.create_queue("q", worker=failing("once"), max_attempts=1, prune=KEEP)
    job = queue.insert(1)
    queue.flush(10)

    queue.retry(job.id)
    queue.flush(10)

    assert queue.get(job.id).state is JobState.COMPLETED
    [scheduled] = recorder.of(JobScheduled)
    assert (scheduled.actor, scheduled.job.id) == ("user", job.id)


def test_the_late_result_of_the_attempt_before_does_not_touch_the_job(
    make_gaffer: MakeGaffer, recorder: Recorder
) -> None:
    """F32: it was settled for the thread that went on, and then retried."""
    app = make_gaffer(hooks=[recorder])
    home, runs = threading.Event(), []

    def work(job: Any) -> str:
        runs.append(job.attempt)
        if job.attempt == 0:
            home.wait(20)
            return "late"
        return "second"

    queue = app.create_queue(
        "q", worker=work, timeout=0.1, max_attempts=1, max_workers=2, prune=KEEP
    )
    job = queue.insert(1)
    queue.flush(10)

    queue.retry(job.id)
    queue.flush(10)
    home.set()

    recorder.wait_for(JobLate)
    assert runs == [0, 1]
    assert queue.get(job.id).result == "second"


def test_a_job_that_was_forwarded_is_refused_while_what_it_became_is_there(
    manual: Gaffer, driver: Driver
) -> None:
    letters = manual.ensure_queue("dlq", **quiet())
    queue = manual.ensure_queue(
        "q", worker=fail, **quiet(max_attempts=1, forward={"failed": "dlq"})
    )
    job = queue.insert(1)
    queue.poll()
    [letter] = letters.list()

    with pytest.raises(AlreadyForwarded, match=r"redrive\('dlq'\)") as caught:
        queue.retry(job.id)

    assert (caught.value.id, caught.value.target, caught.value.copy) == (job.id, "dlq", letter.id)
    assert queue.get(job.id).state is JobState.FAILED
    letters.delete(letter.id)
    assert queue.retry(job.id).state is JobState.AVAILABLE


def test_a_process_that_does_not_know_of_the_forward_refuses_it_too(
    make_gaffer: MakeGaffer,
) -> None:
    """As the command line without the program."""
    app = make_gaffer(work=False)
    app.ensure_queue("dlq", **quiet())
    queue = app.ensure_queue("q", worker=fail, **quiet(max_attempts=1, forward={"failed": "dlq"}))
    job = queue.insert(1)
    queue.poll()
    stranger = make_gaffer(work=False).ensure_queue("q", **quiet())

    with pytest.raises(AlreadyForwarded, match="queue 'dlq'"):
        stranger.retry(job.id)


def test_of_retries_at_once_one_is_made(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> None:
    queue = make_gaffer(work=False).create_queue(
        "q", driver=faulty, worker=lambda job: Fail("no"), **quiet(max_attempts=1)
    )
    job = queue.insert(1)
    queue.poll()
    results: list[Any] = []
    before = faulty.calls.count("job_write")

    def retry() -> None:
        try:
            results.append(queue.retry(job.id).revision)
        except InvalidTransition:
            results.append("refused")

    with faulty.block("job_write") as hold:
        threads = [threading.Thread(target=retry) for _ in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: faulty.calls.count("job_write") == before + 4)
        hold.release.set()
        for thread in threads:
            thread.join(20)

    # Of one and the same instant they are one and the same write.
    assert {*results} <= {3, "refused"}
    assert 3 in results
    assert queue.get(job.id).revision == 3
