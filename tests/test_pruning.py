"""Pruning: which jobs go, when, and by whom."""

from __future__ import annotations

from functools import partial
from threading import Barrier
from typing import Any

import pytest

from gaffer import Cancel, Fail, Gaffer, JobDeleted, JobState, Queue
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import PATIENCE, Calling, MakeGaffer, Polled, Recorder, quiet

ANSWERS: dict[str, Any] = {
    "completed": None,
    "failed": Fail("no"),
    "cancelled": Cancel("off"),
}
ENDED = set(ANSWERS)
ALL = {*ENDED, "available"}


def queue_of_all(gaffer_: Gaffer, **max_age: Any) -> Queue:
    """Declare a queue, with a job in each state that nobody has to work for."""
    queue = gaffer_.create_queue(
        "q",
        worker=lambda job: ANSWERS[job.payload],
        **quiet(max_attempts=1, prune={"interval": None, "max_age": max_age}),
    )
    for state in ANSWERS:
        queue.insert(state)
        queue.poll()
    queue.insert("available", delay=3600)
    return queue


def pruned(queue: Queue) -> set[str]:
    """Prune; return the payloads of the jobs that went, having checked the ids."""
    before = {job.id: job.payload for job in queue.list()}
    ids = queue.prune()
    after = {job.id for job in queue.list()}
    assert len(ids) == len(set(ids))
    assert {*ids} == before.keys() - after
    return {before[id] for id in ids}


@pytest.mark.parametrize(
    ("max_age", "gone"),
    [
        ({}, ENDED),
        ({"cancelled": 5}, ENDED - {"cancelled"}),
        ({"*": None, "completed": 0}, {"completed"}),
        ({"failed": None, "cancelled": None}, {"completed"}),
        ({"cancelled": None, "completed": None, "failed": None}, set()),
        ({"*": None, "cancelled": None}, set()),
        ({"*": None}, set()),
        ({"*": 0}, ALL),
        ({"*": None, "cancelled": 0}, {"cancelled"}),
        ({"*": 0, "cancelled": None}, ALL - {"cancelled"}),
        ({"available": 0}, ALL),
    ],
)
def test_max_age_says_which_states_are_pruned(
    max_age: dict[str, Any], gone: set[str], manual: Gaffer
) -> None:
    """B166-B168 [D], B170-B173 [T]."""
    queue = queue_of_all(manual, **max_age)

    assert pruned(queue) == gone


def test_only_jobs_older_than_their_age_are_pruned(manual: Gaffer, harness: DriverHarness) -> None:
    """B169 [T], B174."""
    queue = queue_of_all(manual, **{"*": None, "cancelled": 5})
    fresh = pruned(queue)

    harness.advance(6)

    assert fresh == set()
    assert pruned(queue) == {"cancelled"}


def test_age_counts_from_the_end_of_the_job(manual: Gaffer, harness: DriverHarness) -> None:
    """B174."""
    queue = manual.create_queue(
        "q",
        worker=lambda job: None,
        **quiet(prune={"interval": None, "max_age": {"completed": 5}}),
    )
    queue.insert("old")
    harness.advance(60)
    queue.poll()

    assert pruned(queue) == set()


def test_an_update_of_the_ages_is_merged(manual: Gaffer) -> None:
    """B168, B16 [D]."""
    queue = queue_of_all(manual)

    queue.update(prune={"max_age": {"failed": None}})

    assert pruned(queue) == {"completed", "cancelled"}


def test_the_pruner_works_by_itself_again_and_again(gaffer_: Gaffer, recorder: Recorder) -> None:
    """B175 [T]."""
    queue = gaffer_.create_queue(
        "q",
        worker=lambda job: None,
        poll_interval=0.01,
        prune={"interval": 0.01},
        hooks=[recorder],
    )
    first = queue.insert(1)
    recorder.wait_for(JobDeleted, 1)

    second = queue.insert(2)

    events = recorder.wait_for(JobDeleted, 2)
    assert [event.job_id for event in events] == [first.id, second.id]
    assert {event.actor for event in events} == {"pruner"}
    assert queue.list() == []


def test_by_default_a_finished_job_goes_at_the_next_prune(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B167 [D]."""
    queue = gaffer_.create_queue("q", worker=lambda job: None, poll_interval=0.01, hooks=[recorder])
    job = queue.insert(1)

    [event] = recorder.wait_for(JobDeleted)

    assert (event.job_id, event.actor) == (job.id, "pruner")


def test_prune_prunes_now_and_returns_the_ids(manual: Gaffer, recorder: Recorder) -> None:
    """B176 [T]."""
    queue = queue_of_all(manual)
    queue.update(hooks=[recorder])

    ids = queue.prune()

    assert len(ids) == 3
    assert {(event.actor, event.job_id) for event in recorder.of(JobDeleted)} == {
        ("user", id) for id in ids
    }
    assert queue.prune() == []


def test_without_an_interval_only_prune_prunes(make_gaffer: MakeGaffer, polled: Polled) -> None:
    """B177 [T]."""
    queue = queue_of_all(make_gaffer(polled))

    queue.update(prune={"max_age": {"*": 0}})  # which has the pruner look at its settings

    assert "job_prune" not in polled.calls
    assert pruned(queue) == ALL


def test_only_the_jobs_of_the_queue_are_pruned(manual: Gaffer) -> None:
    """B178."""
    queue = queue_of_all(manual)
    other = manual.create_queue("p", worker=lambda job: None, **quiet())
    kept = other.insert("mine")
    other.poll()

    pruned(queue)

    assert other.get(kept.id).state is JobState.COMPLETED


def test_no_work_is_done_when_no_state_has_an_age(
    make_gaffer: MakeGaffer, driver: Driver, polled: Polled
) -> None:
    """B180."""
    queue = queue_of_all(make_gaffer(polled, work=False), **{"*": None})

    assert queue.prune() == []
    assert "job_prune" not in polled.calls


def test_more_jobs_than_one_batch_are_pruned(manual: Gaffer) -> None:
    """F59, B176 [T], B172 [T]."""
    queue = manual.create_queue("q", prune={"interval": None, "max_age": {"*": 0}})
    queue.insert_many(list(range(1001)))

    assert len(queue.prune()) == 1001


def test_two_that_prune_at_once_delete_each_job_once(
    make_gaffer: MakeGaffer, recorder: Recorder
) -> None:
    """F59, B179 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)
    options = quiet(prune={"interval": None, "max_age": {"*": 0}}, hooks=[recorder])
    queues = [gaffer_.create_queue("q", **options) for gaffer_ in (here, there)]
    jobs = queues[0].insert_many(list(range(30)))
    together = Barrier(2, timeout=PATIENCE)

    def prune(queue: Queue) -> list[Any]:
        together.wait()
        return queue.prune()

    calls = [Calling(partial(prune, queue)) for queue in queues]
    ids = [id for call in calls for id in call.result()]

    assert sorted(ids) == sorted(job.id for job in jobs)
    assert len(recorder.of(JobDeleted)) == 30
