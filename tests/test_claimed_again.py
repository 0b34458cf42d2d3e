"""A job that runs here, and is taken and claimed again here meanwhile: nothing is lost of it."""

from __future__ import annotations

import threading
from uuid import uuid4

import gaffer
from gaffer import Gaffer, Job, JobState, machine
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.values import new_job

from .conftest import MakeGaffer, Recorder, quiet
from .rig.waiting import until

PATIENCE = 30.0


class Twice:
    """A worker whose first attempt goes on until it is let go; what each saw at its end."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.stopping: list[bool] = []
        self.first = threading.Event()

    def __call__(self, job: Job) -> str:
        number = len(self.begun)
        self.begun.append(number)
        if number == 0:
            assert self.first.wait(PATIENCE)
            self.stopping.append(gaffer.current().stopping)
        return f"run {number}"


def again(g: Gaffer, driver: Driver, job: Job) -> None:
    """Put a job that executes back, as another process does that takes us for dead."""
    held = driver.job_get(job.id)
    assert held is not None
    assert held.state is JobState.EXECUTING
    driver.job_write([machine.release(held)])


def test_the_older_attempt_is_told_and_its_result_is_late(
    gaffer_: Gaffer, driver: Driver, recorder: Recorder
) -> None:
    """F2."""
    worker = Twice()
    queue = gaffer_.ensure_queue(
        "q", worker=worker, **quiet(max_workers=2, poll_interval=0.05, hooks=[recorder])
    )
    job = queue.insert(None, timeout=3600)
    until(lambda: worker.begun)

    again(gaffer_, driver, job)
    recorder.wait_for(gaffer.JobCompleted)
    worker.first.set()
    [late] = recorder.wait_for(gaffer.JobLate)

    assert worker.stopping == [True]
    assert (late.job.id, late.job.revision) == (job.id, 1)
    assert (queue.get(job.id).result, queue.info().workers.late) == ("run 1", 1)
    assert queue.info().workers.active == 0


def test_an_older_attempt_that_times_out_costs_the_queue_no_slot(
    gaffer_: Gaffer, driver: Driver, recorder: Recorder
) -> None:
    """F2, F43."""
    worker = Twice()
    queue = gaffer_.ensure_queue(
        "q",
        worker=worker,
        **quiet(max_workers=2, max_abandoned=9, poll_interval=0.05, hooks=[recorder]),
    )
    job = queue.insert(None, timeout=0.5)
    until(lambda: worker.begun)

    again(gaffer_, driver, job)
    recorder.wait_for(gaffer.JobCompleted)
    until(lambda: queue.info().workers.abandoned == 1)
    worker.first.set()
    until(lambda: queue.info().workers.abandoned == 0)

    gate = threading.Barrier(3)
    gaffer_.update_queue("q", worker=lambda job: gate.wait(PATIENCE) and None)
    queue.insert_many([None] * 2, timeout=3600)
    gate.wait(PATIENCE)  # both slots work at once
    recorder.wait_for(gaffer.JobCompleted, 3)
    assert recorder.of(gaffer.JobFailed) == []


def test_a_job_of_an_own_id_that_was_deleted_while_it_ran_can_be_inserted_again(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """F55."""
    worker = Twice()
    queue = gaffer_.ensure_queue(
        "q", worker=worker, **quiet(max_workers=2, poll_interval=0.05, hooks=[recorder])
    )
    id = uuid4()
    queue.insert("old", id=id, timeout=3600)
    until(lambda: worker.begun)
    queue.delete(id)

    queue.insert("new", id=id, timeout=3600)
    recorder.wait_for(gaffer.JobCompleted)
    worker.first.set()
    recorder.wait_for(gaffer.JobLate)

    assert (queue.get(id).payload, queue.get(id).result) == ("new", "run 1")
    assert worker.stopping == [True]


def test_both_outcomes_of_a_job_that_was_claimed_again_are_written_in_turn(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, driver: Driver, recorder: Recorder
) -> None:
    """F2, F11: the first waits for storage while another process puts the job back."""
    ran: list[int] = []

    def work(job: Job) -> int:
        ran.append(job.revision)
        return job.revision

    g = make_gaffer(faulty)
    queue = g.ensure_queue(
        "q", worker=work, **quiet(max_workers=2, poll_interval=0.05, hooks=[recorder])
    )
    faulty.fail("job_write", times=None)
    job = driver_insert(driver)
    until(lambda: len(ran) == 1)
    recorder.wait_for(gaffer.RunnerFailed)

    again(g, driver, job)
    until(lambda: len(ran) == 2)
    until(lambda: len(g._queues["q"].runner.outbox) == 2)
    faulty.heal()
    recorder.wait_for(gaffer.JobCompleted)
    [late] = recorder.wait_for(gaffer.JobLate)

    assert ran == [1, 3]
    assert late.job.revision == 1
    assert (queue.get(job.id).state, queue.get(job.id).result) == (JobState.COMPLETED, 3)


def driver_insert(driver: Driver) -> Job:
    """Insert a job as another process does."""
    [job] = driver.job_write([new_job("q")])
    return job


def test_a_drain_waits_for_the_older_attempt_too(
    gaffer_: Gaffer, driver: Driver, recorder: Recorder
) -> None:
    worker = Twice()
    queue = gaffer_.ensure_queue(
        "q", worker=worker, **quiet(max_workers=2, poll_interval=0.05, hooks=[recorder])
    )
    job = queue.insert(None, timeout=3600)
    until(lambda: worker.begun)
    again(gaffer_, driver, job)
    recorder.wait_for(gaffer.JobCompleted)

    try:
        queue.drain(0.2)
        left = []
    except gaffer.DrainTimeout as error:
        left = list(error.ids)
    worker.first.set()
    queue.drain(PATIENCE)

    assert left == [job.id]
