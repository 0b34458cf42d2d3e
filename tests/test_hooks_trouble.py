"""The events of trouble: a result too late, a queue that is stuck, a runner that meets an error."""

from __future__ import annotations

from typing import Any

from gaffer import (
    DriverUnavailable,
    Gaffer,
    Job,
    JobCompleted,
    JobFailed,
    JobLate,
    Queue,
    QueueStuck,
    RunnerFailed,
)
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import Gate, MakeGaffer, Recorder, fail, quiet


def heard(gaffer_: Gaffer, recorder: Recorder, worker: Any, **options: Any) -> Queue:
    """Declare a queue whose events are recorded."""
    return gaffer_.ensure_queue("q", worker=worker, **quiet(hooks=[recorder], **options))


def test_a_result_that_comes_too_late_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B103, B142 [D]."""

    def work(job: Job) -> None:
        manual.delete("q", job.id)

    queue = heard(manual, recorder, work)
    queue.insert(1)

    queue.poll()

    [event] = recorder.of(JobLate)
    assert (event.path, event.actor) == (("gaffer", "job", "late"), "worker")
    assert (event.job.state, event.job.revision) == ("executing", 1)
    assert recorder.of(JobCompleted) == []


def test_a_stuck_queue_is_told(manual: Gaffer, recorder: Recorder, gate: Gate) -> None:
    """B109 [T], B143 [D]."""
    queue = heard(manual, recorder, gate, timeout=0.05, max_abandoned=0)
    queue.insert(1)

    queue.poll()

    [event] = recorder.of(QueueStuck)
    assert (event.path, event.actor) == (("gaffer", "queue", "stuck"), "runner")
    assert (event.queue, event.abandoned) == ("q", 1)


def test_a_runner_that_meets_an_error_tells_it(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B208 [T]."""
    queue = heard(make_gaffer(faulty, work=False), recorder, fail)
    queue.insert(1)
    error = DriverUnavailable("down")
    faulty.fail("job_write", times=1, error=error)

    queue.poll()

    [event] = recorder.of(RunnerFailed)
    assert (event.path, event.actor) == (("gaffer", "runner", "fail"), "runner")
    assert (event.queue, event.error) == ("q", error)
    assert len(recorder.of(JobFailed)) == 1
