"""What stands before a job that waits."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from datetime import timedelta

from gaffer.driver import Driver
from gaffer.testing.suite.scene import after, finish, put, take_one


def test_those_that_a_claim_takes_first_are_counted(driver: Driver) -> None:
    first = put(driver, now=after(0))
    second = put(driver, now=after(1))
    urgent = put(driver, priority=5, now=after(2))
    lazy = put(driver, priority=-(2**31), now=after(0))
    put(driver, "another", priority=9)

    counts = [driver.job_ahead(job).count for job in (urgent, first, second, lazy)]

    assert counts == [0, 1, 2, 3]


def test_jobs_that_are_not_due_execute_or_have_ended_are_not_ahead(driver: Driver) -> None:
    put(driver, now=after(0))
    put(driver, now=after(1))
    finish(driver, take_one(driver))
    take_one(driver)
    put(driver, now=after(2), scheduled_at=driver.now() + timedelta(days=9))
    put(driver, now=after(3), scheduled_at=driver.now() - timedelta(days=9))

    job = put(driver, now=after(4))

    assert driver.job_ahead(job).count == 1


def test_the_job_of_a_chain_that_executes_comes_first_then_the_first_that_waits(
    driver: Driver, other: Driver
) -> None:
    first = put(driver, chain="c", now=after(0))
    second = put(driver, chain="c", now=after(1))
    third = put(driver, chain="c", now=after(2))
    put(driver, chain="another", now=after(5))
    put(driver, "another", chain="c", now=after(0))

    lines = [other.job_ahead(job).chain for job in (first, second, third)]
    assert lines == [None, first, first]

    claimed = take_one(driver)

    assert claimed.id == first.id
    assert [other.job_ahead(job).chain for job in (second, third)] == [claimed, claimed]


def test_the_first_of_a_chain_comes_first_though_it_waits_for_its_time(driver: Driver) -> None:
    later = driver.now() + timedelta(days=9)
    first = put(driver, chain="c", now=after(0), scheduled_at=later)
    second = put(driver, chain="c", now=after(1))

    ahead = driver.job_ahead(second)

    assert (ahead.count, ahead.chain) == (0, first)
    assert driver.job_ahead(first).chain is None


def test_a_job_without_a_chain_waits_for_none(driver: Driver) -> None:
    put(driver, chain="c")

    assert driver.job_ahead(put(driver, now=after(1))).chain is None
