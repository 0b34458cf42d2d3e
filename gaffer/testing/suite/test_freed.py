"""What a write frees, a place under a limit, a chain or the job itself, can be claimed with it."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import pytest

from gaffer import machine
from gaffer.driver import Driver, JobState
from gaffer.job import Cancel, Complete, Fail, Outcome
from gaffer.testing.suite.scene import after, both, ended, ids, listed, put, take, take_one
from gaffer.testing.values import NOW, typed

EXECUTING = frozenset({JobState.EXECUTING})


def test_the_place_of_a_job_that_ends_can_be_claimed(driver: Driver, other: Driver) -> None:
    for number in range(4):
        put(driver, payload=number, now=after(-number))
    (first,) = take(driver, most=1)
    assert take(other, most=1) == []

    (second,) = both(driver, [ended(first)], global_max_workers=1)

    assert second.payload == 2
    assert listed(other, states=EXECUTING) == [second]
    assert take(other, most=1) == []


def test_no_more_places_can_be_claimed_than_the_global_limit_has(
    driver: Driver, other: Driver
) -> None:
    for _ in range(9):
        put(driver)
    here, there = take(driver, limit=3, most=5), take(other, limit=2, most=5, node="m")

    claimed = both(driver, [ended(job) for job in here[:2]], global_max_workers=5)

    assert len(claimed) == 2
    assert {*ids(listed(driver, states=EXECUTING))} == {*ids([here[2], *there, *claimed])}


def test_more_may_execute_than_the_global_limit_and_then_nothing_is_claimed(
    driver: Driver,
) -> None:
    for _ in range(5):
        put(driver)
    jobs = take(driver, limit=3)

    assert both(driver, [ended(jobs[0])], global_max_workers=2) == []
    assert len(both(driver, [ended(jobs[1])], global_max_workers=2)) == 1


@pytest.mark.parametrize("outcome", [Complete(), Cancel("no"), Fail("x")])
def test_the_next_of_a_chain_can_be_claimed_when_one_ends(
    driver: Driver, other: Driver, outcome: Outcome
) -> None:
    first, second, _ = (
        put(driver, chain="c", max_attempts=1, now=after(number)) for number in range(3)
    )
    (claimed,) = take(driver)
    assert (claimed.id, take(other)) == (first.id, [])

    assert ids(both(driver, [ended(claimed, outcome)])) == [second.id]
    assert take(other) == []


def test_the_next_of_each_chain_that_is_written_can_be_claimed(driver: Driver) -> None:
    jobs = [put(driver, chain=f"c{number % 3}", now=after(number)) for number in range(9)]
    claimed = take(driver)

    second = both(driver, [ended(job) for job in claimed[:2]])
    third = both(driver, [ended(job) for job in [claimed[2], *second]])

    assert ids(second) == ids(jobs[3:5])
    assert ids(third) == ids([jobs[5], *jobs[6:8]])


def test_a_job_of_a_chain_that_waits_for_its_retry_holds_up_its_chain(driver: Driver) -> None:
    first = put(driver, chain="c", backoff=(10.0,))
    put(driver, chain="c", now=after(1))
    claimed = take_one(driver)

    assert both(driver, [ended(claimed, Fail("x"))], now=after(9)) == []
    assert ids(both(driver, [], now=after(10))) == [first.id]


def test_a_released_job_of_a_chain_is_claimed_again_before_the_next(driver: Driver) -> None:
    first, _ = (put(driver, chain="c", now=after(number)) for number in range(2))
    released = machine.release(take_one(driver))

    assert typed(both(driver, [released])) == typed([machine.claim(released, now=NOW)])
    assert released.id == first.id


def test_a_more_urgent_job_of_a_chain_is_claimed_before_one_that_is_released(
    driver: Driver,
) -> None:
    put(driver, chain="c")
    claimed = take_one(driver)
    urgent = put(driver, chain="c", priority=1, now=after(1))

    assert ids(both(driver, [machine.release(claimed)])) == [urgent.id]


def test_a_released_job_can_be_claimed_in_the_same_go(driver: Driver, other: Driver) -> None:
    put(driver)
    released = machine.release(take_one(driver))

    claimed = both(driver, [released], global_max_workers=1)

    assert typed(claimed) == typed([machine.claim(released, now=NOW)])
    assert typed(other.job_get(released.id)) == typed(claimed[0])


@pytest.mark.parametrize("backoff", [0.0, 5.0])
def test_a_retry_whose_time_has_come_can_be_claimed_in_the_same_go(
    driver: Driver, backoff: float
) -> None:
    put(driver, backoff=(backoff,))
    failed = ended(take_one(driver), Fail("x"))

    claimed = both(driver, [failed], now=after(backoff))

    assert typed(claimed) == typed([machine.claim(failed, now=after(backoff))])


def test_a_retry_whose_time_has_not_come_is_not_claimed(driver: Driver) -> None:
    put(driver, backoff=(5.0,))
    failed = ended(take_one(driver), Fail("x"))

    assert both(driver, [failed], now=after(4)) == []
    assert typed(driver.job_get(failed.id)) == typed(failed)


def test_a_retry_comes_in_the_order_of_the_queue(driver: Driver) -> None:
    put(driver, payload="again", backoff=(0.0,), now=after(1))
    claimed = take_one(driver)
    put(driver, payload="older", now=after(0))
    put(driver, payload="younger", now=after(2))

    answer = both(driver, [ended(claimed, Fail("x"))], limit=2, now=after(3))

    assert [job.payload for job in answer] == ["older", "again"]


def test_a_released_job_belongs_to_the_node_that_claims_it_in_the_same_go(driver: Driver) -> None:
    put(driver)
    released = machine.release(take_one(driver, node="a"))

    claimed = both(driver, [released], node="b")

    assert listed(driver, node="a") == []
    assert listed(driver, node="b") == claimed
