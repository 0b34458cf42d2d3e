"""Claims: in order, never more than allowed, and only what may run."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from gaffer import machine
from gaffer.checks import INT32
from gaffer.driver import Driver, JobState
from gaffer.job import Fail, Schedule
from gaffer.testing.suite.scene import (
    after,
    finish,
    ids,
    listed,
    put,
    put_each_state,
    take,
    take_one,
)
from gaffer.testing.values import NOW, typed

MICROSECOND = timedelta(microseconds=1)


def test_a_claim_writes_the_job_as_executing(driver: Driver, other: Driver) -> None:
    job = put(driver, payload={"a": [1]})

    claimed = take(driver, now=after(3))

    assert typed(claimed) == typed([machine.claim(job, now=after(3))])
    assert typed(other.job_get(job.id)) == typed(claimed[0])


def test_a_job_is_claimed_once(driver: Driver, other: Driver) -> None:
    put(driver)

    assert len(take(driver)) == 1
    assert take(driver) == []
    assert take(other) == []


def test_the_highest_priority_comes_first(driver: Driver) -> None:
    priorities = [0, INT32, -1, 5, -INT32 - 1, 1, INT32 - 1]
    for number, priority in enumerate(priorities):
        put(driver, priority=priority, now=after(number))

    assert [job.priority for job in take(driver)] == sorted(priorities, reverse=True)


def test_of_one_priority_the_oldest_comes_first(driver: Driver) -> None:
    for age in (3, 1, 2, 0):
        put(driver, payload=age, now=NOW - MICROSECOND * age)

    assert [job.payload for job in take(driver)] == [3, 2, 1, 0]


def test_of_one_instant_the_lowest_id_comes_first(driver: Driver) -> None:
    numbers = [2**127, 1, 2**128 - 1, 2**64, 255, 256, 2**127 - 1]
    for number in numbers:
        put(driver, id=UUID(int=number))

    assert [job.id.int for job in take(driver)] == sorted(numbers)


def test_claims_one_by_one_follow_the_same_order(driver: Driver, other: Driver) -> None:
    for number in range(6):
        put(driver, payload=number, priority=number % 2, now=after(-number))

    claimed = [take_one(handle).payload for handle in (driver, other) * 3]

    assert claimed == [5, 3, 1, 4, 2, 0]


def test_when_a_job_is_scheduled_does_not_change_its_turn(driver: Driver) -> None:
    late = put(driver, now=after(0), scheduled_at=after(9))
    soon = put(driver, now=after(1), scheduled_at=after(2))

    assert ids(take(driver, now=after(10))) == [late.id, soon.id]


@pytest.mark.parametrize("limit", [0, 1, 2, 5, 6, 1000])
def test_a_claim_takes_no_more_than_its_limit(driver: Driver, limit: int) -> None:
    for number in range(5):
        put(driver, payload=number, now=after(number))

    claimed = take(driver, limit=limit, now=after(9))

    assert [job.payload for job in claimed] == list(range(5))[:limit]
    assert len(listed(driver, states=frozenset({JobState.AVAILABLE}))) == 5 - len(claimed)


def test_a_claim_without_a_limit_takes_all(driver: Driver) -> None:
    for _ in range(150):
        put(driver)

    assert len(take(driver, limit=None)) == 150


def test_a_claim_of_nothing_is_empty(driver: Driver) -> None:
    driver.queue_insert("q")

    assert take(driver) == []


def test_a_claim_takes_of_its_queue_only(driver: Driver) -> None:
    job = put(driver, "q")
    put(driver, "r", priority=9)

    assert ids(take(driver, "q")) == [job.id]


def test_a_claim_takes_available_jobs_only(driver: Driver) -> None:
    jobs = put_each_state(driver)

    assert ids(take(driver)) == [jobs[JobState.AVAILABLE].id]


def test_a_job_is_not_claimed_before_its_time(driver: Driver) -> None:
    job = put(driver, scheduled_at=after(10))

    assert take(driver, now=after(10) - MICROSECOND) == []
    assert ids(take(driver, now=after(10))) == [job.id]


def test_a_job_whose_time_is_long_past_is_claimed(driver: Driver) -> None:
    job = put(driver, scheduled_at=after(-(10**9)))

    assert ids(take(driver)) == [job.id]


def test_a_job_that_waits_does_not_hold_up_the_others(driver: Driver) -> None:
    put(driver, scheduled_at=after(10), priority=9)
    job = put(driver)

    assert ids(take(driver, limit=1)) == [job.id]


def test_the_time_that_counts_is_the_one_in_the_claim(driver: Driver) -> None:
    job = put(driver, scheduled_at=driver.now() + timedelta(days=365))

    assert take(driver, now=driver.now()) == []
    assert ids(take(driver, now=driver.now() + timedelta(days=366))) == [job.id]


def test_a_job_that_failed_waits_for_its_backoff(driver: Driver) -> None:
    put(driver, backoff=(5.0,))
    again = finish(driver, take_one(driver), Fail("x"))

    assert take(driver, now=after(4)) == []
    claimed = take_one(driver, now=after(5))
    assert typed(claimed) == typed(machine.claim(again, now=after(5)))


def test_a_job_that_was_released_can_be_claimed_at_once(driver: Driver) -> None:
    put(driver)
    released = driver.job_write([machine.release(take_one(driver))])[0]

    assert take(driver) == [machine.claim(released, now=NOW)]


def test_a_job_that_schedules_itself_is_claimed_then(driver: Driver) -> None:
    put(driver)
    finish(driver, take_one(driver), Schedule(at=after(7)))

    assert take(driver, now=after(6)) == []
    assert len(take(driver, now=after(7))) == 1


def test_nothing_is_claimed_from_a_paused_queue(driver: Driver, other: Driver) -> None:
    put(driver)
    driver.queue_pause("q", True)

    assert take(driver) == []
    assert take(other) == []
    driver.queue_pause("q", False)
    assert len(take(other)) == 1


def test_a_claim_may_reach_into_a_paused_queue(driver: Driver) -> None:
    job = put(driver)
    driver.queue_pause("q", True)

    assert ids(take(driver, even_paused=True)) == [job.id]


def test_nothing_is_claimed_from_a_queue_that_is_not_kept(driver: Driver) -> None:
    assert take(driver) == []
    assert take(driver, even_paused=True) == []


def test_no_more_jobs_execute_than_the_global_limit(driver: Driver, other: Driver) -> None:
    for _ in range(5):
        put(driver)

    counts = [len(take(handle, limit=2, most=3)) for handle in (driver, other, driver)]

    assert counts == [2, 1, 0]


def test_a_job_that_ends_makes_room_under_the_global_limit(driver: Driver) -> None:
    for _ in range(3):
        put(driver)
    (job,) = take(driver, most=1)

    assert take(driver, most=1) == []
    finish(driver, job)
    assert len(take(driver, most=1)) == 1


def test_a_deleted_job_makes_room_under_the_global_limit(driver: Driver) -> None:
    put(driver)
    put(driver)
    (job,) = take(driver, most=1)

    driver.job_delete(job.id)

    assert len(take(driver, most=1)) == 1


def test_more_may_execute_already_than_the_global_limit(driver: Driver) -> None:
    for _ in range(4):
        put(driver)
    take(driver, limit=3)

    assert take(driver, most=2) == []
    assert len(take(driver, most=4)) == 1


def test_each_queue_has_its_own_global_limit(driver: Driver) -> None:
    put(driver, "q")
    put(driver, "r")

    assert len(take(driver, "q", most=1)) == 1
    assert len(take(driver, "r", most=1)) == 1


def test_even_a_claim_from_a_paused_queue_keeps_the_global_limit(driver: Driver) -> None:
    put(driver)
    put(driver)
    driver.queue_pause("q", True)

    assert len(take(driver, most=1, even_paused=True)) == 1
    assert take(driver, most=1, even_paused=True) == []
