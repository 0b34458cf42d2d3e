"""Writes and claims in one go: as if one came after the other, or nothing at all."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gaffer import machine
from gaffer.driver import Conflict, Driver, Job, JobState, UnknownQueue, evolve
from gaffer.job import Cancel, Complete, Fail, Outcome, Schedule
from gaffer.testing.suite.scene import (
    after,
    both,
    ended,
    finish,
    ids,
    listed,
    put,
    take,
    take_one,
)
from gaffer.testing.values import NOW, new_job, typed

EXECUTING = frozenset({JobState.EXECUTING})
INCOMPLETE = frozenset({JobState.AVAILABLE, JobState.EXECUTING})
OUTCOMES = [Complete({"n": 1}), Fail("x"), Cancel("no"), Schedule(at=after(9)), None]


def refused_with(
    driver: Driver, batch: Sequence[Job], error: type[Conflict | UnknownQueue], **options: Any
) -> Any:
    """Write what must be refused and claim; see that nothing has changed, return the error."""
    before, held = typed(listed(driver)), typed(listed(driver, node="n"))

    with pytest.raises(error) as raised:
        both(driver, batch, **options)

    assert typed(listed(driver)) == before
    assert typed(listed(driver, node="n")) == held
    return raised.value


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_both_are_done_as_if_one_came_after_the_other(
    driver: Driver, other: Driver, outcome: Outcome | None
) -> None:
    old = put(driver, payload={"old": [1.0, True]}, kind="k", backoff=(5.0,))
    (claimed,) = take(driver, now=after(1))
    new = put(driver, payload={"new": "é"}, kind="k", priority=3, scheduled_at=after(2))
    end = machine.release(claimed) if outcome is None else ended(claimed, outcome, 3)
    expected = [machine.claim(new, now=after(4))]

    answer = both(driver, [end], limit=1, now=after(4))

    assert typed(answer) == typed(expected)
    assert typed(other.job_get(old.id)) == typed(end)
    assert typed(other.job_get(new.id)) == typed(expected[0])


def test_what_is_written_comes_out_to_the_letter(driver: Driver, other: Driver) -> None:
    for _ in range(2):
        put(driver, max_attempts=1)
    first, second = take(driver)
    result = ended(first, Complete({"ü\U0001f4a5": [-0.0, 1e300, None], "a": {"b": 1.0}}))
    failure = ended(second, Fail(["no", {"why": "it's 100 %s"}]), at=0.123456)

    both(driver, [result, failure])

    assert typed(other.job_get(first.id)) == typed(result)
    assert typed(other.job_get(second.id)) == typed(failure)


@pytest.mark.parametrize("limit", [0, 1, 2, 5, None])
def test_no_more_is_claimed_than_the_limit_whatever_is_written(
    driver: Driver, limit: int | None
) -> None:
    for number in range(6):
        put(driver, payload=number, now=after(-number))
    jobs = take(driver, limit=3)

    claimed = both(driver, [ended(job) for job in jobs], limit=limit)

    assert [job.payload for job in claimed] == [2, 1, 0][:limit]
    assert [driver.job_get(job.id) for job in jobs] == [ended(job) for job in jobs]


def test_the_claim_is_in_the_order_of_the_queue(driver: Driver) -> None:
    put(driver, payload="first", now=after(-9))
    first = take_one(driver)
    for number, priority in enumerate([0, 2, 1, 2, -1]):
        put(driver, payload=number, priority=priority, now=after(number))

    claimed = both(driver, [ended(first)], now=after(9))

    assert [job.payload for job in claimed] == [1, 3, 2, 0, 4]


def test_a_job_that_waits_for_its_time_is_not_claimed_beside_a_write(driver: Driver) -> None:
    put(driver)
    first = take_one(driver)
    job = put(driver, scheduled_at=after(10))

    assert both(driver, [ended(first)], now=after(9)) == []
    assert ids(both(driver, [], now=after(10))) == [job.id]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_write_that_comes_too_late_has_nothing_written_and_nothing_claimed(
    driver: Driver, other: Driver, place: int
) -> None:
    for _ in range(6):
        put(driver, max_attempts=2)
    jobs = take(driver, limit=3)
    finish(other, jobs[place], Fail("taken for lost"))

    error = refused_with(driver, [ended(job) for job in jobs], Conflict)

    assert error.ids == {jobs[place].id}
    others = [job for job in jobs if job is not jobs[place]]
    assert len(both(driver, [ended(job) for job in others], limit=2)) == 2


def test_a_write_for_a_deleted_job_has_nothing_claimed(driver: Driver, other: Driver) -> None:
    put(driver)
    put(driver, now=after(1))
    claimed = take_one(driver)
    other.job_delete(claimed.id)

    assert refused_with(driver, [ended(claimed)], Conflict).ids == {claimed.id}


def test_a_job_twice_in_a_batch_has_nothing_claimed(driver: Driver) -> None:
    put(driver)
    put(driver, now=after(1))
    claimed = take_one(driver)

    assert refused_with(driver, [ended(claimed)] * 2, Conflict).ids == {claimed.id}


def test_an_insert_whose_id_is_taken_has_nothing_claimed(driver: Driver) -> None:
    job = put(driver)

    assert refused_with(driver, [new_job("q", id=job.id)], Conflict).ids == {job.id}


def test_a_forward_to_a_queue_that_is_not_kept_has_nothing_written_and_nothing_claimed(
    driver: Driver,
) -> None:
    put(driver)
    put(driver, now=after(1))
    claimed = take_one(driver)

    error = refused_with(driver, [new_job("gone"), ended(claimed)], UnknownQueue)

    assert error.queue == "gone"


def test_what_is_forwarded_is_written_in_the_same_go(driver: Driver, other: Driver) -> None:
    put(driver)
    next_one = put(driver, now=after(1))
    done = ended(take_one(driver), Complete(1))
    driver.queue_insert("r")
    copy = new_job("r", machine.forwarded(done))

    claimed = both(driver, [copy, done], global_max_workers=1)

    assert ids(claimed) == [next_one.id]
    assert typed(other.job_get(done.id)) == typed(done)
    assert typed(other.job_get(copy.id)) == typed(copy)


def test_what_is_inserted_can_be_claimed_in_the_same_go(driver: Driver) -> None:
    driver.queue_insert("q")
    jobs = [new_job("q", number, now=after(number)) for number in range(3)]

    assert typed(both(driver, jobs, limit=2)) == typed(
        [machine.claim(job, now=NOW) for job in jobs[:2]]
    )


@pytest.mark.parametrize("chain", [None, "c"])
def test_the_jobs_that_are_written_may_be_of_another_queue(
    driver: Driver, other: Driver, chain: str | None
) -> None:
    put(driver, "r", chain=chain)
    put(driver, "r", chain=chain, now=after(1))
    job = put(driver, "q", chain=chain)
    done = ended(take_one(driver, "r"))

    assert ids(both(driver, [done], queue="q", global_max_workers=1)) == [job.id]
    assert typed(other.job_get(done.id)) == typed(done)
    assert len(take(other, "r", most=1)) == 1


def test_the_jobs_that_are_written_may_be_of_several_queues(driver: Driver) -> None:
    done = []
    for queue in "rqs":
        put(driver, queue)
        done.append(ended(take_one(driver, queue)))
    job = put(driver, "q", now=after(1))

    assert ids(both(driver, done, queue="q")) == [job.id]
    assert typed(listed(driver, states=frozenset({JobState.COMPLETED}))) == typed(
        sorted(done, key=lambda one: one.id)
    )


def test_a_job_that_goes_on_executing_can_be_written_too(driver: Driver) -> None:
    put(driver)
    job = put(driver, now=after(1))
    claimed = take_one(driver, node="a")
    noted = evolve(claimed, revision=claimed.revision + 1, priority=1)

    assert both(driver, [noted], global_max_workers=1, node="b") == []
    assert listed(driver, node="a") == [noted]
    assert driver.job_get(job.id) == job


def test_jobs_that_another_handle_has_claimed_can_be_written(driver: Driver, other: Driver) -> None:
    for number in range(3):
        put(driver, now=after(number))
    claimed = take(other, limit=2)

    (last,) = both(driver, [ended(job) for job in claimed], global_max_workers=2)

    assert listed(other, states=INCOMPLETE) == [last]


def test_a_paused_queue_takes_the_write_and_gives_no_job(driver: Driver, other: Driver) -> None:
    put(driver)
    put(driver, now=after(1))
    claimed = take_one(driver)
    other.queue_pause("q", True)

    assert both(driver, [ended(claimed)]) == []
    assert driver.job_get(claimed.id) == ended(claimed)


def test_a_claim_beside_a_write_may_reach_into_a_paused_queue(driver: Driver) -> None:
    put(driver)
    job = put(driver, now=after(1))
    claimed = take_one(driver)
    driver.queue_pause("q", True)

    assert ids(both(driver, [ended(claimed)], even_paused=True)) == [job.id]


def test_nothing_is_claimed_beside_a_write_from_a_queue_that_is_not_kept(driver: Driver) -> None:
    put(driver)
    done = ended(take_one(driver))

    assert both(driver, [done], queue="gone") == []
    assert driver.job_get(done.id) == done


def test_when_nothing_is_written_it_is_a_claim(driver: Driver) -> None:
    jobs = [put(driver, now=after(number)) for number in range(3)]

    assert typed(both(driver, [], limit=2)) == typed(
        [machine.claim(job, now=NOW) for job in jobs[:2]]
    )
    assert both(driver, [], limit=0) == []


def test_the_node_is_kept_for_the_claimed_and_gone_for_the_written(
    driver: Driver, other: Driver
) -> None:
    for number in range(3):
        put(driver, now=after(number))
    old = take(driver, limit=2, node="a")

    new = both(driver, [ended(old[0])], node="b")

    assert listed(other, node="a") == [old[1]]
    assert listed(other, node="b") == new
    driver.node_beat("b")
    assert other.job_orphans("q", 100.0) == [old[1]]


def test_what_is_claimed_shares_nothing_with_storage(driver: Driver) -> None:
    put(driver, backoff=(0.0,))
    failed = ended(take_one(driver), Fail({"why": ["x"]}))

    (claimed,) = both(driver, [failed])
    claimed.errors[0].error["why"].append("y")

    kept = driver.job_get(claimed.id)
    assert kept is not None
    assert kept.errors[0].error == {"why": ["x"]}
