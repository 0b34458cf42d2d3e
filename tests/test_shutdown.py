"""Stopping: what runs may end, what does not goes back, and nothing takes longer than it may."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from gaffer import Gaffer, Job, JobScheduled, JobState, Queue, Stopped, current
from gaffer.driver import Driver, DriverUnavailable, JobFilter
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import PATIENCE, Calling, Gate, MakeGaffer, Recorder, quiet
from tests.rig.waiting import until


def until_told(job: Job) -> str:
    """Work until told to stop."""
    pause = threading.Event()
    began = monotonic()
    while not current().stopping:
        assert monotonic() - began < PATIENCE, "nobody said stop"
        pause.wait(0.005)
    return "told"


def poll_on(queue: Queue) -> None:
    began = monotonic()
    while monotonic() - began < PATIENCE:
        queue.poll()


def test_the_shutdown_timeout_is_an_option_of_queue_and_job(manual: Gaffer) -> None:
    """B116 [T], [D]."""
    queue = manual.create_queue("q", shutdown_timeout=7)

    inherited, own = queue.insert(1), queue.insert(2, shutdown_timeout=0.5)

    assert queue.get(inherited.id).shutdown_timeout == 7.0
    assert queue.get(own.id).shutdown_timeout == 0.5


def test_a_second_stop_with_a_timeout_hastens_the_first(
    gaffer_: Gaffer, driver: Driver, gate: Gate
) -> None:
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(poll_interval=0.01, shutdown_timeout=10 * PATIENCE)
    )
    job = queue.insert(1)
    gate.wait_for(1)
    first = Calling(gaffer_.stop)
    until(lambda: not gaffer_.health(timeout=None).ready)  # the first has begun

    began = monotonic()
    gaffer_.stop(timeout=0)
    first.result()

    assert monotonic() - began < PATIENCE
    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 0)


def test_a_running_job_may_end_within_its_shutdown_timeout(
    gaffer_: Gaffer, driver: Driver, gate: Gate
) -> None:
    """B117 [D], B118."""
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(poll_interval=0.01, shutdown_timeout=PATIENCE)
    )
    job = queue.insert(1)
    gate.wait_for(1)
    stopping = Calling(gaffer_.stop)

    gate.let()
    stopping.result()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt) == (JobState.COMPLETED, 1)


def test_a_running_job_is_told_of_the_shutdown(gaffer_: Gaffer, driver: Driver) -> None:
    """B118."""
    started = threading.Event()

    def work(job: Job) -> str:
        started.set()
        return until_told(job)

    queue = gaffer_.create_queue(
        "q", worker=work, **quiet(poll_interval=0.01, shutdown_timeout=PATIENCE)
    )
    job = queue.insert(1)
    assert started.wait(PATIENCE)

    gaffer_.stop()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert stored.result == "told"


def test_what_has_not_ended_goes_back_at_no_cost(
    gaffer_: Gaffer, driver: Driver, gate: Gate, recorder: Recorder
) -> None:
    """B117 [D], B118."""
    queue = gaffer_.create_queue("q", worker=gate, shutdown_timeout=0.05, hooks=[recorder])
    job = queue.insert(1)
    gate.wait_for(1)

    gaffer_.stop()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt, stored.errors) == (JobState.AVAILABLE, 0, ())
    assert stored.scheduled_at is None
    assert [(event.actor, event.job) for event in recorder.of(JobScheduled)] == [("runner", stored)]


def test_what_went_back_runs_again_elsewhere(
    gaffer_: Gaffer, make_gaffer: MakeGaffer, gate: Gate
) -> None:
    """B118."""
    queue = gaffer_.create_queue("q", worker=gate, shutdown_timeout=0)
    job = queue.insert(1)
    gate.wait_for(1)
    gaffer_.stop()

    after = make_gaffer(work=False).create_queue("q", worker=lambda job: "done", **quiet())

    assert after.poll() == 1
    assert after.get(job.id).result == "done"
    assert after.get(job.id).attempt == 1


def test_a_late_result_of_what_went_back_changes_nothing(
    gaffer_: Gaffer, driver: Driver, make_gate: Callable[..., Gate]
) -> None:
    """B118."""
    gate, finished = make_gate("late"), threading.Event()

    def work(job: Job) -> Any:
        answer = gate(job)
        finished.set()
        return answer

    queue = gaffer_.create_queue("q", worker=work, shutdown_timeout=0)
    job = queue.insert(1)
    gate.wait_for(1)
    gaffer_.stop()
    before = driver.job_get(job.id)

    gate.let()

    assert finished.wait(PATIENCE)
    assert before is not None
    assert driver.job_get(job.id) == before


def test_stop_returns_within_the_time_that_it_is_given(
    gaffer_: Gaffer, driver: Driver, gate: Gate
) -> None:
    """B118."""
    queue = gaffer_.create_queue("q", worker=gate, shutdown_timeout=3600, timeout=3600)
    job = queue.insert(1)
    gate.wait_for(1)
    began = monotonic()

    gaffer_.stop(0.05)

    stored = driver.job_get(job.id)
    assert stored is not None
    assert stored.state is JobState.AVAILABLE
    assert monotonic() - began < 10


def test_stop_returns_in_time_although_storage_does_not_answer(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, gate: Gate
) -> None:
    """B118."""
    gaffer_ = make_gaffer(faulty)
    queue = gaffer_.create_queue("q", worker=gate, shutdown_timeout=0.05)
    queue.insert(1)
    gate.wait_for(1)
    faulty.fail("job_write", times=None, error=DriverUnavailable("down"))
    faulty.fail("node_leave", times=None)
    began = monotonic()

    gaffer_.stop()

    assert monotonic() - began < 10.05


def test_nothing_is_claimed_once_stopping_has_begun(
    gaffer_: Gaffer, driver: Driver, gate: Gate
) -> None:
    """B118."""
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(poll_interval=0.01, shutdown_timeout=PATIENCE)
    )
    first, second = queue.insert_many([1, 2])
    gate.wait_for(1)
    stopping = Calling(gaffer_.stop)

    with pytest.raises(Stopped):  # as soon as the runner has been told
        poll_on(queue)
    gate.let()
    stopping.result()

    states = [job.state for job in driver.job_list(JobFilter()) if job.id in (first.id, second.id)]
    assert states == [JobState.COMPLETED, JobState.AVAILABLE]


def test_a_stopped_gaffer_refuses_everything_until_it_is_started(gaffer_: Gaffer) -> None:
    """B209 [T]."""
    queue = gaffer_.create_queue("q")
    gaffer_.stop()

    with pytest.raises(Stopped):
        queue.insert(1)
    with pytest.raises(Stopped):
        gaffer_.create_queue("p")

    assert gaffer_.list_queues() == {}


def test_stop_may_be_called_again_and_from_many_threads(gaffer_: Gaffer, gate: Gate) -> None:
    """B118."""
    queue = gaffer_.create_queue("q", worker=gate, shutdown_timeout=0.05)
    queue.insert(1)
    gate.wait_for(1)

    calls = [Calling(gaffer_.stop) for _ in range(4)]

    assert [call.result() for call in calls] == [None] * 4
    gaffer_.stop()
    assert gaffer_.list_queues() == {}


def test_a_job_can_stop_its_own_gaffer(gaffer_: Gaffer, driver: Driver) -> None:
    """B118."""

    def work(job: Job) -> str:
        gaffer_.stop()
        return "stopping"

    queue = gaffer_.create_queue("q", worker=work, **quiet())
    job = queue.insert(1)
    queue.poll()

    gaffer_.stop()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert stored.result == "stopping"


def test_leaving_the_block_of_a_gaffer_stops_it(driver: Driver) -> None:
    """B118, B186 [D]."""
    with Gaffer(driver) as own:
        own.create_queue("q")

    assert own.list_queues() == {}
    assert driver.queue_exists("q")  # a driver that was given stays open
