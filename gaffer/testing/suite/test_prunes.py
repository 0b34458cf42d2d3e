"""Prunes: what is old enough goes, and nothing else."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from datetime import timedelta

import pytest

from gaffer.driver import Driver, JobState
from gaffer.job import Fail
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
from gaffer.testing.values import NOW

MICROSECOND = timedelta(microseconds=1)
MANY = 1000


@pytest.mark.parametrize("state", list(JobState))
def test_all_jobs_of_a_state_can_be_pruned(driver: Driver, other: Driver, state: JobState) -> None:
    jobs = put_each_state(driver)

    assert driver.job_prune("q", {state: "all"}, MANY) == [jobs[state].id]

    assert other.job_get(jobs[state].id) is None
    assert len(listed(other)) == 4


@pytest.mark.parametrize("state", list(JobState))
def test_only_jobs_that_entered_before_the_instant_are_pruned(
    driver: Driver, state: JobState
) -> None:
    job = put_each_state(driver)[state]

    assert driver.job_prune("q", {state: job.entered_at}, MANY) == []
    assert driver.job_prune("q", {state: job.entered_at + MICROSECOND}, MANY) == [job.id]


def test_what_counts_is_when_the_present_state_was_entered(driver: Driver) -> None:
    put(driver, now=after(0), scheduled_at=after(5))
    done = finish(driver, take_one(driver, now=after(10)), now=after(20))

    assert driver.job_prune("q", {JobState.COMPLETED: after(20)}, MANY) == []
    assert driver.job_prune("q", {JobState.COMPLETED: after(21)}, MANY) == [done.id]


def test_a_retried_job_is_as_old_as_when_it_was_made(driver: Driver) -> None:
    put(driver, now=after(0))
    again = finish(driver, take_one(driver, now=after(10)), Fail("x"), after(20))

    assert driver.job_prune("q", {JobState.AVAILABLE: after(0)}, MANY) == []
    assert driver.job_prune("q", {JobState.AVAILABLE: after(1)}, MANY) == [again.id]


def test_several_states_are_pruned_each_by_its_own_cutoff(driver: Driver) -> None:
    jobs = put_each_state(driver)
    cutoffs = {
        JobState.COMPLETED: "all",
        JobState.FAILED: NOW + MICROSECOND,
        JobState.CANCELLED: NOW,
    }

    pruned = driver.job_prune("q", cutoffs, MANY)  # type: ignore[arg-type]

    assert set(pruned) == {jobs[JobState.COMPLETED].id, jobs[JobState.FAILED].id}


def test_without_cutoffs_nothing_is_pruned(driver: Driver) -> None:
    put_each_state(driver)

    assert driver.job_prune("q", {}, MANY) == []
    assert len(listed(driver)) == 5


def test_a_prune_leaves_other_queues_alone(driver: Driver) -> None:
    put_each_state(driver, "q")
    put_each_state(driver, "r")

    pruned = driver.job_prune("q", dict.fromkeys(JobState, "all"), MANY)

    assert len(pruned) == 5
    assert {job.queue for job in listed(driver)} == {"r"}
    assert driver.queue_list() == ["q", "r"]


def test_a_prune_deletes_no_more_than_its_limit(driver: Driver) -> None:
    for number in range(7):
        put(driver, now=after(number))
    cutoffs = {JobState.AVAILABLE: after(5)}

    batches = [driver.job_prune("q", cutoffs, 2) for _ in range(4)]

    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert len({id for batch in batches for id in batch}) == 5
    assert [job.created_at for job in listed(driver)] == [after(5), after(6)]


def test_the_limit_of_a_prune_is_for_all_states_together(driver: Driver) -> None:
    put_each_state(driver)

    assert len(driver.job_prune("q", dict.fromkeys(JobState, "all"), 3)) == 3
    assert len(listed(driver)) == 2


def test_a_queue_that_is_not_kept_has_nothing_to_prune(driver: Driver) -> None:
    assert driver.job_prune("q", {JobState.COMPLETED: "all"}, MANY) == []


def test_a_prune_of_executing_jobs_makes_room(driver: Driver) -> None:
    put(driver, chain="c")
    second = put(driver, chain="c", now=after(1))
    take(driver, most=1)

    driver.job_prune("q", {JobState.EXECUTING: "all"}, MANY)

    assert ids(take(driver, most=1)) == [second.id]
