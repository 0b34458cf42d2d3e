"""Jobs that lost the processes they ran in: they come back apart, and at last one at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import gaffer
from gaffer import Complete, Gaffer, Job, JobError, JobState, machine
from gaffer.driver import Driver, evolve
from gaffer.failures import lost
from gaffer.suspects import Suspects
from gaffer.testing.doubles import ManualClock
from gaffer.testing.harness import DriverHarness
from gaffer.testing.values import new_job

from .conftest import Gate, Recorder, quiet
from .rig.waiting import until

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LEASE = 20.0
OTHER = {"type": "ValueError", "message": "no", "traceback": ""}


def errors(*kinds: Any) -> tuple[JobError, ...]:
    """Return a history of failures, the last one first."""
    return tuple(JobError(len(kinds) - n, kind, NOON) for n, kind in enumerate(kinds))


def running(**changes: Any) -> Job:
    job = evolve(new_job("q", 1), max_attempts=9, backoff=(3.0,), created_at=NOON)
    return evolve(machine.claim(job, now=NOON), **changes)


def rescued(job: Job, roll: float) -> Job:
    return machine.rescued(job, lost(LEASE), LEASE, now=NOON, roll=roll)


@pytest.mark.parametrize(("roll", "seconds"), [(0.0, 3.0), (0.5, 5.5), (0.999, 3.0 + 4.995)])
def test_a_lost_job_is_tried_again_within_a_quarter_of_the_lease_after_its_backoff(
    roll: float, seconds: float
) -> None:
    """F8."""
    assert rescued(running(), roll).scheduled_at == NOON + timedelta(seconds=seconds)


def test_a_loss_is_a_failed_attempt_and_the_last_one_fails_the_job() -> None:
    """F1, F8."""
    again = rescued(running(), 0.5)
    over = rescued(running(max_attempts=1), 0.5)

    assert (again.state, again.attempt, again.revision) == (JobState.AVAILABLE, 1, 2)
    assert (over.state, over.attempt, over.failed_at) == (JobState.FAILED, 1, NOON)
    assert [e.error for e in over.errors] == [lost(LEASE)]


def test_a_job_is_suspect_when_it_was_lost_twice_in_a_row() -> None:
    """F8."""
    loss = lost(LEASE)
    histories = [(), (loss,), (loss, OTHER), (OTHER, loss, loss), ("lost", "lost")]

    assert not any(machine.suspect(running(errors=errors(*history))) for history in histories)
    assert machine.suspect(running(errors=errors(loss, loss)))
    assert machine.suspect(running(errors=errors(loss, loss, OTHER)))


def stored(driver: Driver, number: int, *history: Any, queue: str = "q") -> list[Job]:
    """Store *number* available jobs with these failures."""
    fresh = [evolve(new_job(queue, 1), id=uuid4(), max_attempts=9) for _ in range(number)]
    driver.job_write(fresh)
    past = [evolve(job, revision=1, errors=errors(*history), attempt=len(history)) for job in fresh]
    return driver.job_write(past)


def test_of_jobs_that_were_lost_twice_one_runs_at_a_time(
    gaffer_: Gaffer, driver: Driver, harness: DriverHarness, gate: Gate, recorder: Recorder
) -> None:
    """F8."""
    queue = gaffer_.ensure_queue("q", worker=gate, **quiet(max_workers=8, hooks=[recorder]))
    suspects = stored(driver, 3, lost(LEASE), lost(LEASE))
    others = stored(driver, 3, lost(LEASE))

    gaffer_.update_queue("q", poll_interval=0.05)
    recorder.wait_for(gaffer.JobScheduled, 2)
    begun = {job.id for job in gate.wait_for(4)}
    gate.let()

    def completed() -> bool:
        harness.advance(2.0)  # those that wait are due, and one of them may run
        return len(recorder.of(gaffer.JobCompleted)) == 6

    until(completed)

    assert {job.id for job in others} <= begun
    assert len(begun) == 4
    ended = [queue.get(job.id) for job in suspects]
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert {job.attempt for job in ended} == {3}, "to wait costs no attempt"


def test_of_suspects_in_several_queues_one_runs_at_a_time(
    gaffer_: Gaffer, driver: Driver, harness: DriverHarness, gate: Gate, recorder: Recorder
) -> None:
    """F8."""
    names = ["q", "r", "s"]
    for name in names:
        gaffer_.ensure_queue(name, worker=gate, **quiet(max_workers=2, hooks=[recorder]))
        stored(driver, 1, lost(LEASE), lost(LEASE), queue=name)
    for name in names:
        gaffer_.update_queue(name, poll_interval=0.05)

    recorder.wait_for(gaffer.JobScheduled, 2)
    begun = len(gate.wait_for(1))
    gate.let()

    def completed() -> bool:
        harness.advance(2.0)
        return len(recorder.of(gaffer.JobCompleted)) == 3

    until(completed)
    assert begun == 1


def test_the_more_suspects_wait_the_longer_they_do() -> None:
    suspects = Suspects(ManualClock())
    pauses = [suspects.pause() for _ in range(100)]

    assert pauses[:3] == [1.0, 2.0, 3.0]
    assert max(pauses) == 60.0


def test_a_suspect_that_completes_is_none_any_more() -> None:
    loss = lost(LEASE)
    job = running(errors=errors(loss, loss))

    done = machine.settle(job, Complete(), now=NOON)
    failed = machine.settle(job, gaffer.Fail(OTHER), now=NOON)

    assert done.state is JobState.COMPLETED
    assert not machine.suspect(failed)
