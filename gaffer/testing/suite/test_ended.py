"""Which jobs have ended, asked for many at once: for whoever waits for results."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from uuid import uuid4

from gaffer import machine
from gaffer.driver import Driver, JobState
from gaffer.job import Cancel, Complete, Fail, Outcome
from gaffer.testing.suite.scene import after, finish, put, put_each_state, take_one
from gaffer.testing.values import NOW, typed


def test_jobs_that_have_ended_are_told_whole_and_the_others_left_out(
    driver: Driver, other: Driver
) -> None:
    jobs = put_each_state(driver)

    told = other.job_ended([job.id for job in jobs.values()])

    ended = [job for state, job in jobs.items() if JobState(state).terminal]
    assert typed(told) == typed({job.id: driver.job_get(job.id) for job in ended})
    assert len(told) == 3


def test_ended_jobs_are_told_with_their_results_and_errors(driver: Driver) -> None:
    outcomes: list[Outcome] = [
        Complete({"sum": [1.5, None]}),
        Fail("no"),
        Cancel({"why": "not wanted"}),
    ]
    ended = []
    for outcome in outcomes:
        put(driver, max_attempts=1)
        ended.append(finish(driver, take_one(driver), outcome))

    told = driver.job_ended([job.id for job in ended])

    assert typed(told) == typed({job.id: job for job in ended})


def test_a_job_that_is_gone_or_never_was_is_told_as_none(driver: Driver, other: Driver) -> None:
    put(driver)
    deleted, pruned, never = put(driver), put(driver), uuid4()
    driver.job_delete(deleted.id)
    driver.job_write([machine.cancel(pruned, now=NOW)])
    driver.job_prune("q", {JobState.CANCELLED: "all"}, 10)

    told = other.job_ended([deleted.id, pruned.id, never])

    assert told == {deleted.id: None, pruned.id: None, never: None}


def test_a_job_that_waits_for_its_time_its_chain_or_its_retry_has_not_ended(
    driver: Driver,
) -> None:
    jobs = [
        put(driver, scheduled_at=after(60)),
        put(driver, chain="c", priority=1),
        put(driver, chain="c"),
    ]
    retried = put(driver, priority=9, max_attempts=2)
    finish(driver, take_one(driver), Fail("once"))

    assert driver.job_ended([job.id for job in [*jobs, retried]]) == {}


def test_nobody_asked_for_is_nobody_told(driver: Driver) -> None:
    put_each_state(driver)

    assert driver.job_ended([]) == {}


def test_a_job_asked_for_twice_is_told_once(driver: Driver) -> None:
    put(driver)
    done = finish(driver, take_one(driver))

    assert driver.job_ended((done.id, done.id)) == {done.id: done}


def test_a_thousand_jobs_of_several_queues_may_be_asked_for_at_once(driver: Driver) -> None:
    done = []
    for queue in ("q", "r"):
        put(driver, queue)
        done.append(finish(driver, take_one(driver, queue)))
    strangers = [uuid4() for _ in range(998)]

    told = driver.job_ended([done[0].id, *strangers, done[1].id])

    assert told == {**dict.fromkeys(strangers), **{job.id: job for job in done}}
