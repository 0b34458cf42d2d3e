"""Chains: one job at a time, in the order of the queue."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from typing import Any

import pytest

from gaffer import machine
from gaffer.driver import Driver, Job
from gaffer.job import Cancel, Complete, Fail, Outcome, Schedule
from gaffer.testing.strategies import NASTY_NAMES
from gaffer.testing.suite.scene import after, finish, ids, put, take, take_one
from gaffer.testing.values import NOW


def link(driver: Driver, number: int, *, chain: str = "c", **options: Any) -> Job:
    """Insert a job of a chain; a higher *number* is younger."""
    return put(driver, payload=number, now=after(number), chain=chain, **options)


def test_a_claim_takes_one_job_of_a_chain(driver: Driver) -> None:
    first, *_ = [link(driver, number) for number in range(3)]

    assert ids(take(driver)) == [first.id]


def test_a_chain_whose_job_executes_gives_no_other(driver: Driver, other: Driver) -> None:
    link(driver, 0)
    link(driver, 1, priority=9)
    assert len(take(driver)) == 1

    assert take(other) == []
    assert take(other, limit=1) == []


@pytest.mark.parametrize("outcome", [Complete(), Cancel("no")])
def test_the_next_of_a_chain_follows_when_one_ends(driver: Driver, outcome: Outcome) -> None:
    link(driver, 0)
    second = link(driver, 1)
    finish(driver, take_one(driver), outcome)

    assert ids(take(driver)) == [second.id]


def test_the_next_of_a_chain_follows_when_one_has_failed_for_good(driver: Driver) -> None:
    link(driver, 0, max_attempts=1)
    second = link(driver, 1)
    finish(driver, take_one(driver), Fail("x"))

    assert ids(take(driver)) == [second.id]


def test_a_chain_follows_the_order_of_the_queue(driver: Driver) -> None:
    for number, priority in enumerate([0, 2, 1, 2, -1]):
        link(driver, number, priority=priority)

    order = []
    for _ in range(5):
        order.append(take_one(driver))
        finish(driver, order[-1])

    assert [job.payload for job in order] == [1, 3, 2, 0, 4]


def test_a_chain_waits_for_the_retry_of_its_first_job(driver: Driver) -> None:
    first = link(driver, 0, backoff=(10.0,))
    second = link(driver, 1)
    finish(driver, take_one(driver), Fail("x"))

    assert take(driver, now=after(9)) == []
    assert ids(take(driver, now=after(10))) == [first.id]
    assert second.id not in ids(take(driver, now=after(11)))


def test_a_chain_waits_for_the_time_of_its_first_job(driver: Driver) -> None:
    first = link(driver, 0, scheduled_at=after(60))
    link(driver, 1)

    assert take(driver, now=after(59)) == []
    assert ids(take(driver, now=after(60))) == [first.id]


def test_a_chain_waits_for_a_job_that_scheduled_itself_anew(driver: Driver) -> None:
    first = link(driver, 0)
    link(driver, 1)
    finish(driver, take_one(driver), Schedule(at=after(60)))

    assert take(driver, now=after(59)) == []
    assert ids(take(driver, now=after(60))) == [first.id]


def test_a_released_job_is_the_first_of_its_chain_again(driver: Driver) -> None:
    first = link(driver, 0)
    link(driver, 1)
    driver.job_write([machine.release(take_one(driver))])

    assert ids(take(driver)) == [first.id]


def test_a_more_urgent_job_comes_before_those_that_wait(driver: Driver) -> None:
    link(driver, 0, scheduled_at=after(60))
    urgent = link(driver, 1, priority=1)

    assert ids(take(driver)) == [urgent.id]


def test_an_older_job_that_comes_late_comes_first(driver: Driver) -> None:
    link(driver, 5)
    older = link(driver, 4)

    assert ids(take(driver)) == [older.id]


def test_the_next_of_a_chain_follows_when_the_first_is_cancelled(driver: Driver) -> None:
    first = link(driver, 0, scheduled_at=after(60))
    second = link(driver, 1)
    driver.job_write([machine.cancel(first, now=NOW)])

    assert ids(take(driver)) == [second.id]


def test_the_next_of_a_chain_follows_when_the_first_is_deleted(driver: Driver) -> None:
    first, second, third = (link(driver, number) for number in range(3))
    driver.job_delete(first.id)

    assert ids(take(driver)) == [second.id]
    driver.job_delete(second.id)
    assert ids(take(driver)) == [third.id]


def test_chains_do_not_wait_for_each_other(driver: Driver) -> None:
    jobs = [link(driver, number, chain=f"c{number % 3}") for number in range(6)]

    assert ids(take(driver)) == ids(jobs[:3])


def test_a_chain_does_not_hold_up_jobs_without_one(driver: Driver) -> None:
    for number in range(3):
        link(driver, number, priority=1)
    free = [put(driver, now=after(9)) for _ in range(2)]

    assert set(ids(take(driver, limit=3))[1:]) == set(ids(free))


def test_a_chain_of_the_same_name_in_another_queue_is_another(driver: Driver) -> None:
    link(driver, 0)
    elsewhere = put(driver, "r", chain="c")
    take(driver)

    assert ids(take(driver, "r")) == [elsewhere.id]


def test_chains_are_told_apart_to_the_letter(driver: Driver) -> None:
    names = [*NASTY_NAMES, "A ", " A", "a\n"]
    for number, name in enumerate(names):
        link(driver, number, chain=name)
        link(driver, number + 1000, chain=name)

    assert [job.chain for job in take(driver, now=after(2000))] == names


def test_the_links_of_a_chain_count_under_the_limits(driver: Driver) -> None:
    jobs = [link(driver, number, chain=f"c{number // 2}") for number in range(8)]

    assert ids(take(driver, limit=2)) == [jobs[0].id, jobs[2].id]
    assert ids(take(driver, most=3)) == [jobs[4].id]
