"""What goes wrong around a queue does not end it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gaffer import (
    DriverUnavailable,
    Gaffer,
    Job,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobsClaimed,
    JobState,
    RunnerFailed,
)
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import Gate, MakeGaffer, Polled, Recorder, quiet

ERRORS = [DriverUnavailable("down"), RuntimeError("broken driver")]


def work(job: Job) -> Any:
    """Do what the payload says."""
    if job.payload == "exit":
        raise SystemExit(1)
    return "done"


def threads(prefix: str) -> set[str]:
    """Return the names of the threads that begin with *prefix*."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(prefix)}


def test_each_queue_has_a_runner_and_a_pruner_until_the_gaffer_stops(gaffer_: Gaffer) -> None:
    """B206, B25."""
    gaffer_.create_queue("one", worker=work)
    gaffer_.create_queue("two", worker=work)
    during = threads("gaffer:one:") | threads("gaffer:two:")

    gaffer_.stop()

    assert during >= {f"gaffer:{q}:{part}" for q in ("one", "two") for part in ("runner", "pruner")}
    assert threads("gaffer:one:") | threads("gaffer:two:") == set()


def test_a_gaffer_that_only_inserts_has_no_thread(make_gaffer: MakeGaffer) -> None:
    """B206."""
    make_gaffer(work=False).create_queue("idle", worker=work).insert(1)

    assert threads("gaffer:idle:") == set()


def test_a_worker_that_dies_does_not_take_its_queue_along(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """F10, B207 [T], B70 [T]."""
    queue = gaffer_.create_queue("q", worker=work, **quiet(poll_interval=0.01, hooks=[recorder]))
    queue.insert("exit", max_attempts=1)

    queue.insert("next")

    [failed], [completed] = recorder.wait_for(JobFailed), recorder.wait_for(JobCompleted)
    assert (failed.job.payload, completed.job.payload) == ("exit", "next")
    assert recorder.of(RunnerFailed) == []


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_result_that_storage_refuses_is_written_later_and_once(
    after: bool,
    error: Exception,
    make_gaffer: MakeGaffer,
    faulty: FaultyDriver,
    recorder: Recorder,
) -> None:
    """B208 [T], B193 [T]."""
    queue = make_gaffer(faulty).create_queue("q", worker=work, **quiet(hooks=[recorder]))
    job = queue.insert(1)
    faulty.fail("job_write", times=2, error=error, after=after)

    queue.poll()

    [completed] = recorder.of(JobCompleted)
    assert {event.error for event in recorder.of(RunnerFailed)} == {error}
    assert completed.job == queue.get(job.id)
    assert (completed.job.state, completed.job.attempt) == (JobState.COMPLETED, 1)


@pytest.mark.parametrize("error", ERRORS)
def test_a_queue_claims_again_when_storage_is_back(
    error: Exception, make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B208 [T]."""
    gaffer_ = make_gaffer(faulty, hooks=[recorder])
    faulty.fail("job_claim", times=3, error=error)
    queue = gaffer_.create_queue("q", worker=work, **quiet(poll_interval=0.01))

    queue.insert(1)

    recorder.wait_for(JobCompleted)
    assert [event.error for event in recorder.of(RunnerFailed)] == [error] * 3


def test_a_claim_whose_answer_is_lost_strands_no_job(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B208 [T]."""
    gaffer_ = make_gaffer(faulty, hooks=[recorder])
    make_gaffer(work=False).create_queue("q").insert(1)
    faulty.fail("job_claim", times=1, after=True)

    queue = gaffer_.create_queue("q", worker=work, **quiet(poll_interval=0.01))

    [completed] = recorder.wait_for(JobCompleted)
    assert (completed.job.attempt, completed.job.errors) == (1, ())
    assert queue.get(completed.job.id) == completed.job
    assert len(recorder.of(JobsClaimed)) == 1


def test_running_jobs_go_on_while_storage_is_away(
    make_gaffer: MakeGaffer, polled: Polled, gate: Gate, recorder: Recorder
) -> None:
    """B208 [T]."""
    gate.answer = "done"
    queue = make_gaffer(polled).create_queue(
        "q", worker=gate, **quiet(poll_interval=0.01, hooks=[recorder])
    )
    job = queue.insert(1)
    gate.wait_for(1)
    for verb in ("job_write", "job_claim", "node_beat"):
        polled.fail(verb, times=None)

    gate.let()
    recorder.wait_for(RunnerFailed, 2)
    during = queue.get(job.id).state
    polled.heal()

    [completed] = recorder.wait_for(JobCompleted)
    assert during is JobState.EXECUTING
    assert completed.job.result == "done"
    assert len(gate.entered) == 1


def test_a_pruner_that_meets_an_error_goes_on(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B206."""
    queue = make_gaffer(faulty).create_queue(
        "q", worker=work, poll_interval=0.01, prune={"interval": 0.01}, hooks=[recorder]
    )
    faulty.fail("job_prune", times=1, error=RuntimeError("broken driver"))

    job = queue.insert(1)

    [deleted] = recorder.wait_for(JobDeleted)
    assert deleted.job_id == job.id
