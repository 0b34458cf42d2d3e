"""What users do with jobs that are stored."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from gaffer import (
    Cancel,
    Fail,
    Gaffer,
    InvalidJob,
    InvalidTransition,
    JobCompleted,
    JobLate,
    JobState,
    UnknownJob,
    current,
)
from gaffer.driver import Driver
from tests.conftest import Gate, Recorder, quiet


def test_an_available_job_is_cancelled(manual: Gaffer, driver: Driver) -> None:
    """B95 [T]."""
    queue = manual.create_queue("q", worker=print, **quiet())
    job = queue.insert(1)

    cancelled = queue.cancel(job.id)

    assert cancelled.state is JobState.CANCELLED
    assert cancelled.cancelled_at is not None
    assert job.created_at <= cancelled.cancelled_at <= driver.now()
    assert queue.get(job.id) == cancelled
    assert queue.poll() == 0


def test_a_scheduled_job_is_cancelled(manual: Gaffer) -> None:
    """B96 [T]."""
    queue = manual.create_queue("q")
    job = queue.insert(1, delay=60)

    assert queue.cancel(job.id).state is JobState.CANCELLED


@pytest.mark.parametrize("verb", ["cancel", "delete", "get"])
def test_an_unknown_job_is_named(verb: str, manual: Gaffer) -> None:
    """B97 [T], B102 [T], B104 [T]."""
    queue = manual.create_queue("q")
    id = uuid4()

    with pytest.raises(UnknownJob) as caught:
        getattr(queue, verb)(id)

    assert (caught.value.queue, caught.value.id) == ("q", id)


@pytest.mark.parametrize("verb", ["cancel", "delete", "get"])
def test_a_job_of_another_queue_is_unknown(verb: str, manual: Gaffer) -> None:
    """B108."""
    queue, other = manual.create_queue("q"), manual.create_queue("p")
    job = other.insert(1)

    with pytest.raises(UnknownJob):
        getattr(queue, verb)(job.id)

    assert other.get(job.id) == job


@pytest.mark.parametrize(
    ("answer", "state"),
    [(None, "completed"), (Fail("no"), "failed"), (Cancel("no"), "cancelled")],
)
def test_a_job_that_has_ended_cannot_be_cancelled(answer: Any, state: str, manual: Gaffer) -> None:
    """B98 [T], B99 [T]."""
    queue = manual.create_queue("q", worker=lambda job: answer, **quiet(max_attempts=1))
    job = queue.insert(1)
    queue.poll()
    before = queue.get(job.id)

    with pytest.raises(InvalidTransition) as caught:
        queue.cancel(job.id)

    assert (caught.value.from_, caught.value.to) == (state, "cancelled")
    assert queue.get(job.id) == before


def test_an_executing_job_cannot_be_cancelled(gaffer_: Gaffer, gate: Gate) -> None:
    """B100 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    job = queue.insert(1)
    gate.wait_for(1)

    with pytest.raises(InvalidTransition) as caught:
        queue.cancel(job.id)

    assert (caught.value.from_, caught.value.to) == ("executing", "cancelled")
    gate.let()
    queue.flush(10)
    assert queue.get(job.id).state is JobState.COMPLETED


def test_a_deleted_job_is_gone(manual: Gaffer) -> None:
    """B101 [T]."""
    queue = manual.create_queue("q")
    job = queue.insert(1)

    queue.delete(job.id)

    assert queue.list() == []
    with pytest.raises(UnknownJob):
        queue.get(job.id)


@pytest.mark.parametrize("answer", [None, Fail("no"), Cancel("no")])
def test_a_job_that_has_ended_can_be_deleted(answer: Any, manual: Gaffer) -> None:
    """B103."""
    queue = manual.create_queue("q", worker=lambda job: answer, **quiet(max_attempts=1))
    job = queue.insert(1)
    queue.poll()

    queue.delete(job.id)

    assert queue.get(job.id, None) is None


def test_a_job_deleted_while_it_runs_does_not_come_back(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B103."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01, hooks=[recorder]))
    job = queue.insert(1)
    gate.wait_for(1)

    queue.delete(job.id)
    gate.let()

    [late] = recorder.wait_for(JobLate)
    assert late.job.id == job.id
    assert queue.get(job.id, None) is None
    assert recorder.of(JobCompleted) == []
    assert queue.info().workers.late == 1


def test_a_job_deleted_while_it_runs_is_told_to_stop(gaffer_: Gaffer, gate: Gate) -> None:
    """B103."""
    told: list[bool] = []

    def work(job: object) -> None:
        gate(job)  # type: ignore[arg-type]
        told.append(current().stopping)

    queue = gaffer_.create_queue("q", worker=work, **quiet(poll_interval=0.01))
    job = queue.insert(1)
    gate.wait_for(1)

    queue.delete(job.id)
    queue.poll()  # the runner has taken the message when this returns
    gate.let()
    queue.drain()

    assert told == [True]


def test_get_gives_a_default_instead_of_raising(manual: Gaffer) -> None:
    """B104 [T]."""
    queue = manual.create_queue("q")

    assert queue.get(uuid4(), None) is None


def test_list_gives_the_jobs_of_one_queue_by_age(manual: Gaffer) -> None:
    """B105 [T], B107 [D]."""
    queue, other = manual.create_queue("q"), manual.create_queue("p")
    other.insert(0)
    jobs = [queue.insert(1, priority=1), queue.insert(2, priority=9), queue.insert(3)]

    assert queue.list() == jobs
    assert manual.create_queue("empty").list() == []


def test_list_without_a_queue_gives_the_jobs_of_all(manual: Gaffer) -> None:
    """B105 [T]."""
    first = manual.create_queue("q").insert(1)
    second = manual.create_queue("p").insert(2)

    assert manual.list() == [first, second]


def test_list_keeps_to_the_states_asked_for(manual: Gaffer) -> None:
    """B106 [T]."""
    answers: list[Any] = ["done", Fail("no"), Cancel("no"), Fail("later")]
    queue = manual.create_queue("q", worker=lambda job: answers.pop(0), **quiet())
    completed, failed, cancelled, retrying = (
        queue.insert(n, max_attempts=1 if n == 2 else 3) for n in range(1, 5)
    )
    for _ in range(4):
        queue.poll()
    scheduled, fresh = queue.insert(5, delay=60), queue.insert(6)

    def ids(state: Any) -> set[Any]:
        return {job.id for job in queue.list(state=state)}

    assert ids("completed") == {completed.id}
    assert ids("available") == {retrying.id, scheduled.id, fresh.id}
    assert ids(["failed", JobState.CANCELLED]) == {failed.id, cancelled.id}


def test_incomplete_jobs_are_those_available_and_executing(gaffer_: Gaffer, gate: Gate) -> None:
    """B106 [T]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    running = queue.insert(1)
    gate.wait_for(1)
    waiting, cancelled = queue.insert_many([2, 3])
    queue.cancel(cancelled.id)

    listed = queue.list(state="incomplete")

    assert [job.id for job in listed] == [running.id, waiting.id]


def test_list_gives_pages(manual: Gaffer) -> None:
    """B107 [D]."""
    queue = manual.create_queue("q")
    jobs = queue.insert_many(range(5))

    first = queue.list(limit=2)
    second = queue.list(limit=2, after=first[-1])
    third = queue.list(limit=2, after=second[-1].id)

    assert first + second + third == jobs


@pytest.mark.parametrize("bad", [{"state": "done"}, {"limit": -1}, {"after": "x"}])
def test_list_refuses_what_it_does_not_understand(bad: dict[str, Any], manual: Gaffer) -> None:
    """B106 [T], B107 [D]."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidJob) as caught:
        queue.list(**bad)

    assert caught.value.keys == set(bad)
