"""Writes: all or none, and only over what they were computed from."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from gaffer import machine
from gaffer.driver import Conflict, Driver, DriverError, Job, JobState, UnknownQueue, evolve
from gaffer.job import Complete
from gaffer.testing.suite.scene import after, finish, ids, listed, put, take_one
from gaffer.testing.values import NOW, new_job, typed


def refused(driver: Driver, batch: list[Job], *wrong: UUID) -> None:
    """Write what must be refused for the jobs *wrong*, and see that nothing has changed."""
    before = typed(listed(driver))

    with pytest.raises(Conflict) as raised:
        driver.job_write(batch)

    assert raised.value.ids == frozenset(wrong)
    assert typed(listed(driver)) == before


def test_a_written_job_is_returned_as_stored(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")
    job = new_job("q", {"to": "a@b.c"}, chain="c", kind="k", priority=-3, scheduled_at=after(9))

    written = driver.job_write([job])

    assert typed(written) == typed([job])
    assert typed(other.job_get(job.id)) == typed(job)


def test_jobs_are_returned_in_the_order_given(driver: Driver) -> None:
    driver.queue_insert("q")
    jobs = [new_job("q", number, priority=number % 3) for number in range(20)]

    assert driver.job_write(jobs) == jobs


def test_a_batch_may_be_empty(driver: Driver) -> None:
    assert driver.job_write([]) == []
    assert listed(driver) == []


def test_a_batch_may_be_any_sequence(driver: Driver) -> None:
    driver.queue_insert("q")
    job = new_job()

    assert driver.job_write((job,)) == [job]


def test_a_batch_may_be_large(driver: Driver) -> None:
    driver.queue_insert("q")
    jobs = [new_job("q", number) for number in range(1000)]

    assert driver.job_write(jobs) == jobs
    assert set(ids(listed(driver))) == set(ids(jobs))


def test_a_batch_may_insert_and_replace_in_several_queues(driver: Driver) -> None:
    put(driver)
    driver.queue_insert("r")
    done = machine.settle(take_one(driver), Complete(1), now=after(1))
    forwarded = new_job("r", machine.forwarded(done))

    driver.job_write([forwarded, done])

    assert driver.job_get(done.id) == done
    assert driver.job_get(forwarded.id) == forwarded


def test_the_next_revision_replaces_a_job(driver: Driver, other: Driver) -> None:
    job = put(driver)

    cancelled = machine.cancel(job, now=after(1))
    other.job_write([cancelled])

    assert typed(driver.job_get(job.id)) == typed(cancelled)
    assert len(listed(driver)) == 1


def test_an_id_that_is_taken_is_not_inserted_again(driver: Driver, other: Driver) -> None:
    job = put(driver, payload="first")

    refused(other, [new_job("q", "second", id=job.id)], job.id)


def test_an_id_is_taken_over_all_queues(driver: Driver) -> None:
    job = put(driver, "q")
    driver.queue_insert("r")

    refused(driver, [new_job("r", id=job.id)], job.id)


def test_an_insert_that_is_repeated_changes_nothing(driver: Driver) -> None:
    job = put(driver)
    claimed = take_one(driver)

    refused(driver, [job], job.id)

    assert driver.job_get(job.id) == claimed


@pytest.mark.parametrize("revision", [2, 3, 5, 6, 2**31 - 1])
def test_a_revision_that_is_not_the_next_changes_nothing(driver: Driver, revision: int) -> None:
    job = put(driver)
    for number in range(1, 4):
        job = driver.job_write([evolve(job, revision=number)])[0]

    refused(driver, [evolve(job, revision=revision, priority=9)], job.id)


def test_of_two_writes_of_one_revision_the_second_changes_nothing(
    driver: Driver, other: Driver
) -> None:
    put(driver)
    claimed = take_one(driver)
    finish(driver, claimed)

    refused(other, [machine.release(claimed)], claimed.id)


def test_a_deleted_job_does_not_come_back(driver: Driver) -> None:
    put(driver)
    claimed = take_one(driver)
    driver.job_delete(claimed.id)

    refused(driver, [machine.settle(claimed, Complete(), now=NOW)], claimed.id)


def test_a_pruned_job_does_not_come_back(driver: Driver) -> None:
    job = put(driver)
    driver.job_prune("q", {JobState.AVAILABLE: "all"}, 10)

    refused(driver, [machine.cancel(job, now=NOW)], job.id)


def test_a_job_of_a_deleted_queue_does_not_come_back(driver: Driver) -> None:
    job = put(driver)
    driver.queue_delete("q", jobs=True)

    refused(driver, [machine.cancel(job, now=NOW)], job.id)


def test_one_bad_job_spoils_the_batch(driver: Driver) -> None:
    taken, fine = put(driver), put(driver)
    batch = [
        new_job(),
        machine.cancel(fine, now=NOW),
        new_job("q", "again", id=taken.id),
        new_job(),
    ]

    for turned in (batch, batch[::-1]):
        refused(driver, turned, taken.id)


def test_one_end_that_comes_too_late_spoils_the_batch(driver: Driver, other: Driver) -> None:
    for _ in range(3):
        put(driver)
    jobs = [take_one(driver) for _ in range(3)]
    other.job_delete(jobs[1].id)
    ends = [machine.settle(job, Complete(), now=NOW) for job in jobs]

    refused(driver, ends, jobs[1].id)


def test_a_conflict_names_all_jobs_at_fault_and_no_others(driver: Driver) -> None:
    taken, stale, fine, gone = (put(driver) for _ in range(4))
    driver.job_delete(gone.id)
    twice = new_job()
    batch = [
        new_job("q", "again", id=taken.id),
        twice,
        evolve(stale, revision=2),
        machine.cancel(fine, now=NOW),
        twice,
        machine.cancel(gone, now=NOW),
        new_job(),
    ]

    refused(driver, batch, taken.id, stale.id, gone.id, twice.id)


def test_a_job_cannot_stand_in_a_batch_twice(driver: Driver) -> None:
    kept, new = put(driver), new_job()
    first = machine.cancel(kept, now=NOW)

    refused(driver, [new, new], new.id)
    refused(driver, [first, first], kept.id)
    refused(driver, [first, evolve(first, revision=2)], kept.id)
    refused(driver, [new, machine.cancel(new, now=NOW)], new.id)


def test_a_job_of_a_queue_that_is_not_kept_is_not_inserted(driver: Driver) -> None:
    kept = put(driver)
    before = typed(listed(driver))

    with pytest.raises(UnknownQueue) as raised:
        driver.job_write([new_job(), machine.cancel(kept, now=NOW), new_job("r"), new_job()])

    assert raised.value.queue == "r"
    assert typed(listed(driver)) == before
    assert driver.queue_list() == ["q"]


def test_an_insert_into_a_paused_queue_is_kept(driver: Driver) -> None:
    driver.queue_insert("q")
    driver.queue_pause("q", True)

    job = put(driver)

    assert driver.job_get(job.id) == job


def test_a_connection_that_the_driver_does_not_know_is_refused(driver: Driver) -> None:
    driver.queue_insert("q")

    with pytest.raises(DriverError):
        driver.job_write([new_job()], connection=object())

    assert listed(driver) == []


def test_a_deleted_job_is_gone_for_every_handle(driver: Driver, other: Driver) -> None:
    job, stays = put(driver), put(driver)

    assert other.job_delete(job.id) is True
    assert driver.job_delete(job.id) is False
    assert driver.job_get(job.id) is None
    assert listed(driver) == [stays]


def test_an_executing_job_can_be_deleted(driver: Driver) -> None:
    put(driver)
    claimed = take_one(driver)

    assert driver.job_delete(claimed.id) is True
    assert listed(driver) == []


def test_a_job_that_never_was_is_not_there(driver: Driver) -> None:
    put(driver)

    assert driver.job_get(uuid4()) is None
    assert driver.job_delete(uuid4()) is False
    assert len(listed(driver)) == 1


def test_the_id_of_a_deleted_job_is_free_again(driver: Driver) -> None:
    job = put(driver, payload="first")
    driver.job_delete(job.id)

    again = put(driver, payload="second", id=job.id)

    assert driver.job_get(job.id) == again
