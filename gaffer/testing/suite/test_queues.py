"""Queues: kept by name, paused for everyone, deleted whole."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from collections.abc import Callable

import pytest

from gaffer.driver import Driver, JobState, QueueHasJobs, UnknownQueue
from gaffer.testing.strategies import NASTY_NAMES
from gaffer.testing.suite.scene import listed, put, put_each_state, take
from gaffer.testing.values import typed


def test_empty_storage_has_no_queue(driver: Driver) -> None:
    assert driver.queue_list() == []
    assert driver.queue_exists("q") is False


def test_a_queue_that_was_inserted_exists_for_every_handle(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")

    assert driver.queue_exists("q") is True
    assert other.queue_exists("q") is True
    assert other.queue_list() == ["q"]


def test_a_new_queue_is_not_paused(driver: Driver) -> None:
    driver.queue_insert("q")

    assert driver.queue_paused("q") is False


def test_inserting_a_queue_again_does_nothing(driver: Driver) -> None:
    job = put(driver)
    driver.queue_pause("q", True)

    driver.queue_insert("q")

    assert driver.queue_list() == ["q"]
    assert driver.queue_paused("q") is True
    assert driver.job_get(job.id) == job


def test_queues_are_listed_by_code_point(driver: Driver) -> None:
    names = ["b", "B", "a", "ab", "a b", "a-b", "a_b", "é", "z", "\uffff", "\U0001f4a5", "10", "9"]
    for name in names:
        driver.queue_insert(name)

    assert driver.queue_list() == sorted(names)


def test_a_name_may_be_any_text(driver: Driver, other: Driver) -> None:
    for name in NASTY_NAMES:
        put(driver, name)

    assert other.queue_list() == sorted(NASTY_NAMES)
    for name in NASTY_NAMES:
        assert [job.queue for job in listed(other, queue=name)] == [name]
        assert [job.queue for job in take(other, name)] == [name]
        assert driver.queue_pause(name, True) is True
        driver.queue_delete(name, jobs=True)
    assert driver.queue_list() == []


def test_an_empty_queue_can_be_deleted(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")

    driver.queue_delete("q")

    assert other.queue_exists("q") is False
    assert other.queue_list() == []


def test_deleting_a_queue_that_is_not_kept_raises(driver: Driver) -> None:
    driver.queue_insert("q")

    for jobs in (True, False):
        with pytest.raises(UnknownQueue) as raised:
            driver.queue_delete("other", jobs=jobs)
        assert raised.value.queue == "other"

    assert driver.queue_list() == ["q"]


@pytest.mark.parametrize("state", list(JobState))
def test_a_queue_with_a_job_in_any_state_is_not_deleted(driver: Driver, state: JobState) -> None:
    for kept, job in put_each_state(driver).items():
        if kept is not state:
            driver.job_delete(job.id)
    before = typed(listed(driver))

    with pytest.raises(QueueHasJobs) as raised:
        driver.queue_delete("q")

    assert raised.value.queue == "q"
    assert driver.queue_exists("q") is True
    assert typed(listed(driver)) == before != ("list", [])


def test_a_queue_is_deleted_with_all_its_jobs_and_no_others(driver: Driver, other: Driver) -> None:
    put_each_state(driver, "q")
    stays = put(driver, "r")

    driver.queue_delete("q", jobs=True)

    assert other.queue_list() == ["r"]
    assert listed(other) == [stays]


def test_a_queue_that_comes_again_knows_nothing_of_the_first(driver: Driver) -> None:
    put_each_state(driver)
    driver.queue_pause("q", True)
    driver.queue_delete("q", jobs=True)

    driver.queue_insert("q")

    assert driver.queue_paused("q") is False
    assert listed(driver, queue="q") == []
    assert {stats.count for stats in driver.job_stats("q").values()} == {0}


def test_a_pause_is_seen_by_every_handle_until_it_ends(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")
    driver.queue_insert("r")

    driver.queue_pause("q", True)
    assert (other.queue_paused("q"), other.queue_paused("r")) == (True, False)

    other.queue_pause("q", False)
    assert driver.queue_paused("q") is False


def test_a_pause_tells_whether_it_was_a_change(driver: Driver) -> None:
    driver.queue_insert("q")

    answers = [driver.queue_pause("q", paused) for paused in (False, True, True, False, False)]

    assert answers == [False, True, False, True, False]


def test_pausing_a_queue_that_is_not_kept_raises(driver: Driver) -> None:
    with pytest.raises(UnknownQueue) as raised:
        driver.queue_pause("q", True)

    assert raised.value.queue == "q"
    assert driver.queue_exists("q") is False


def test_a_queue_that_is_not_kept_is_not_paused(driver: Driver) -> None:
    assert driver.queue_paused("q") is False


@pytest.mark.parametrize(
    "look",
    [
        lambda driver: driver.queue_exists("q"),
        lambda driver: driver.queue_paused("q"),
        lambda driver: driver.job_stats("q"),
        lambda driver: listed(driver, queue="q"),
        lambda driver: take(driver, "q"),
        lambda driver: driver.job_prune("q", {JobState.COMPLETED: "all"}, 10),
        lambda driver: driver.job_orphans("q", 1.0),
    ],
)
def test_looking_at_a_queue_does_not_make_it(
    driver: Driver, look: Callable[[Driver], object]
) -> None:
    look(driver)

    assert driver.queue_list() == []
