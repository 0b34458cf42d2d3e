"""Unique jobs: what an insert does when another job of the queue holds its key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gaffer import (
    Conflict,
    DriverError,
    Gaffer,
    InvalidJob,
    JobExists,
    JobInserted,
    JobReplaced,
    NewJob,
    Queue,
)
from gaffer.testing.doubles import FaultyDriver, ManualClock
from gaffer_driver_memory import MemoryDriver, Storage


class Place:
    """A queue in memory whose clock stands still, and the driver below it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.driver = FaultyDriver(MemoryDriver(Storage(self.clock)))
        self.events: list[Any] = []
        self.gaffer = Gaffer(driver=self.driver, hooks=[self.events.append])
        self.queue: Queue = self.gaffer.create_queue(
            "q", worker=lambda job: None, poll_interval=None, prune={"interval": None}
        )
        self.events.clear()

    def run(self) -> None:
        """Work one job."""
        assert self.queue.poll() == 1


@pytest.fixture
def place() -> Place:
    """Give a place."""
    return Place()


def test_an_insert_whose_key_is_held_returns_the_job_that_holds_it(place: Place) -> None:
    first = place.queue.insert(1, unique="k")

    assert place.queue.insert(2, unique="k") == first
    assert place.queue.list() == [first]
    assert [type(event) for event in place.events] == [JobInserted]


def test_an_insert_with_raise_tells_who_holds_the_key(place: Place) -> None:
    first = place.queue.insert(1, unique="k")

    with pytest.raises(JobExists, match=rf"job {first.id} \(available\) holds the key 'k'") as told:
        place.queue.insert(2, unique="k", on_conflict="raise")

    assert (told.value.queue, told.value.unique, told.value.id) == ("q", "k", first.id)
    assert told.value.job == first


def test_a_replaced_job_is_the_same_job_with_what_is_new(place: Place) -> None:
    first = place.queue.insert(1, unique="k", unique_for=60, priority=3, delay=10)
    place.clock.advance(5)
    second = place.queue.insert(2, unique="k", kind="b", delay=20, on_conflict="replace")

    assert place.queue.list() == [second]
    assert (second.id, second.revision, second.created_at) == (first.id, 1, first.created_at)
    assert (second.payload, second.kind, second.priority) == (2, "b", 0)
    assert second.scheduled_at == place.clock.now() + timedelta(seconds=20)
    assert second.unique_until == first.unique_until
    assert isinstance(place.events[-1], JobReplaced)
    assert place.events[-1].job == second


def test_a_job_that_has_failed_is_as_if_not_tried_once_it_is_replaced(place: Place) -> None:
    place.queue.update(worker=lambda job: 1 / 0)
    place.queue.insert(1, unique="k")
    place.run()

    second = place.queue.insert(2, unique="k", max_attempts=1, on_conflict="replace")

    assert (second.attempt, second.errors, second.scheduled_at) == (0, (), None)


def test_a_job_that_runs_cannot_be_replaced(place: Place) -> None:
    place.queue.insert(1, unique="k")
    with place.queue.claim() as claimed:
        assert claimed is not None
        with pytest.raises(JobExists, match="executing"):
            place.queue.insert(2, unique="k", on_conflict="replace")
        assert place.queue.insert(2, unique="k").id == claimed.id


def test_a_job_of_another_chain_cannot_be_replaced(place: Place) -> None:
    place.queue.insert(1, unique="k", chain="a")
    with pytest.raises(JobExists):
        place.queue.insert(2, unique="k", on_conflict="replace")


def test_a_replacement_that_comes_second_begins_again(place: Place) -> None:
    first = place.queue.insert(1, unique="k")
    write, inner = place.driver.inner.job_write, place.driver.inner
    calls = []

    def beaten(jobs: Any, connection: Any = None) -> Any:
        calls.append(jobs)
        if len(calls) == 2:  # the replacement: another was quicker
            raise Conflict([first.id])
        return write(jobs, connection)

    inner.job_write = beaten  # type: ignore[method-assign]
    assert place.queue.insert(2, unique="k", on_conflict="replace").payload == 2
    assert len(calls) == 4


def test_a_job_that_has_ended_frees_its_key(place: Place) -> None:
    first = place.queue.insert(1, unique="k")
    place.run()

    assert place.queue.insert(2, unique="k").id != first.id


def test_a_key_is_held_for_its_time_whatever_becomes_of_the_job(place: Place) -> None:
    first = place.queue.insert(1, unique="k", unique_for=timedelta(hours=1))
    place.run()
    ended = place.queue.get(first.id)
    assert place.queue.insert(2, unique="k") == ended

    place.queue.prune()
    with pytest.raises(JobExists, match="pruned") as told:
        place.queue.insert(2, unique="k")
    assert (told.value.id, told.value.job) == (first.id, None)

    place.clock.advance(3600)
    assert place.queue.insert(2, unique="k").id != first.id


def test_many_are_inserted_but_those_whose_keys_are_held(place: Place) -> None:
    first = place.queue.insert(1, unique="k")
    jobs = [NewJob(2, unique="k"), NewJob(3, unique="l"), NewJob(4, unique="l"), 5]

    done = place.queue.insert_many(jobs)

    assert [job.payload for job in done] == [1, 3, 3, 5]
    assert (done[0], done[2]) == (first, done[1])
    assert len(place.queue.list()) == 3


def test_many_with_raise_are_all_inserted_or_none(place: Place) -> None:
    with pytest.raises(JobExists):
        place.queue.insert_many([NewJob(n, unique="k") for n in range(2)], on_conflict="raise")

    assert place.queue.list() == []


def test_an_insert_whose_answer_was_lost_is_not_its_own_duplicate(place: Place) -> None:
    place.driver.fail("job_write", after=True)
    first = place.queue.insert(1, unique="k", on_conflict="raise")

    assert place.queue.list() == [first]


def test_not_even_if_the_job_has_been_worked_and_pruned_meanwhile(place: Place) -> None:
    inner = place.driver.inner
    write = inner.job_write

    def worked(jobs: Any, connection: Any = None) -> Any:
        written = write(jobs, connection)
        if jobs[0].revision == 0:
            inner.job_write = write  # type: ignore[method-assign]
            assert place.queue.poll() == 1
            assert place.queue.prune() == [jobs[0].id]
        return written

    inner.job_write = worked  # type: ignore[method-assign]
    place.driver.fail("job_write", after=True)
    place.queue.insert(1, unique="k", unique_for=60, on_conflict="raise")

    assert place.queue.list() == []


def test_a_forwarded_copy_does_not_carry_the_key(place: Place) -> None:
    target = place.gaffer.create_queue("r")
    place.queue.update(forward={"completed": "r"})
    place.queue.insert(1, unique="k", unique_for=60)
    place.run()

    [copy] = target.list()
    assert (copy.unique, copy.unique_until) == (None, None)


def test_a_task_inserts_its_jobs_with_keys(place: Place) -> None:
    @place.gaffer.task(queue="q")
    def greet(name: str) -> None: ...

    once = greet.using(unique="k", unique_for=60, on_conflict="raise")
    assert once.insert("a").unique == "k"
    with pytest.raises(JobExists):
        once.insert("b")
    with pytest.raises(InvalidJob, match="give it to insert_many"):
        once.job("c")
    assert greet.using(unique="l").job("d").unique == "l"


@pytest.mark.parametrize(
    ("insert", "key"),
    [
        (lambda q: q.insert(1, unique=""), "unique"),
        (lambda q: q.insert(1, unique=7), "unique"),
        (lambda q: q.insert(1, unique="x" * 201), "unique"),
        (lambda q: q.insert(1, unique_for=1), "unique_for"),
        (lambda q: q.insert(1, unique="k", unique_for=0), "unique_for"),
        (lambda q: q.insert(1, unique="k", on_conflict="ignore"), "on_conflict"),
        (lambda q: q.insert_many([1], on_conflict="replace"), "on_conflict"),
        (lambda q: q.insert_many([1, 2], unique="k"), "unique"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    place: Place, insert: Callable[[Queue], object], key: str
) -> None:
    with pytest.raises(InvalidJob) as refusal:
        insert(place.queue)

    assert refusal.value.keys == {key}
    assert place.queue.list() == []


def test_a_driver_that_keeps_no_keys_gets_no_job_with_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryDriver, "unique", False)

    with pytest.raises(DriverError, match="keeps no keys"):
        place.queue.insert(1, unique="k")
    place.queue.insert(1)


def test_a_job_is_not_retried_while_another_holds_its_key(place: Place) -> None:
    first = place.queue.insert(1, unique="k")
    place.queue.cancel(first.id)
    second = place.queue.insert(2, unique="k")

    with pytest.raises(JobExists) as refusal:
        place.gaffer.retry("q", first.id)
    assert refusal.value.id == second.id

    place.queue.cancel(second.id)
    assert place.gaffer.retry("q", first.id).unique == "k"


def test_a_result_is_that_of_the_job_that_holds_the_key(place: Place) -> None:
    place.queue.update(worker=lambda job: job.payload)
    first = place.queue.submit(1, unique="k")
    second = place.queue.submit(2, unique="k")
    place.queue.flush(30)

    assert (first.result(10), second.result(10)) == (1, 1)
