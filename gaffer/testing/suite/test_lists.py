"""Lists and statistics: what there is, in order, page by page."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from gaffer.driver import Driver, JobState, StateStats
from gaffer.job import Complete, Fail
from gaffer.testing.harness import DriverHarness
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


def test_a_list_is_in_the_order_of_making(driver: Driver) -> None:
    jobs = [put(driver, now=after(number), priority=number) for number in (2, 0, 1)]

    assert ids(listed(driver)) == [jobs[1].id, jobs[2].id, jobs[0].id]


def test_jobs_of_one_instant_are_listed_by_id(driver: Driver) -> None:
    numbers = [2**127, 1, 2**128 - 1, 2**64, 255, 256, 2**127 - 1]
    for number in numbers:
        put(driver, id=UUID(int=number))

    assert [job.id.int for job in listed(driver)] == sorted(numbers)


def test_the_order_is_kept_when_jobs_change(driver: Driver) -> None:
    jobs = [put(driver, now=after(number)) for number in range(4)]
    finish(driver, take_one(driver))
    take_one(driver)

    assert ids(listed(driver)) == ids(jobs)


def test_a_list_without_conditions_has_the_jobs_of_all_queues(driver: Driver) -> None:
    jobs = [put(driver, queue, now=after(number)) for number, queue in enumerate("abcab")]

    assert ids(listed(driver)) == ids(jobs)
    assert [job.queue for job in listed(driver)] == list("abcab")


def test_a_list_can_be_of_one_queue(driver: Driver) -> None:
    jobs = [put(driver, queue, now=after(number)) for number, queue in enumerate("abcab")]

    assert ids(listed(driver, queue="a")) == [jobs[0].id, jobs[3].id]
    assert listed(driver, queue="d") == []


@pytest.mark.parametrize("state", list(JobState))
def test_a_list_can_be_of_one_state(driver: Driver, state: JobState) -> None:
    jobs = put_each_state(driver)

    assert listed(driver, states=frozenset({state})) == [jobs[state]]


def test_a_list_can_be_of_some_states(driver: Driver) -> None:
    jobs = put_each_state(driver)
    wanted = frozenset({JobState.AVAILABLE, JobState.EXECUTING})

    found = listed(driver, states=wanted)

    assert set(ids(found)) == {jobs[state].id for state in wanted}


def test_a_list_of_no_states_is_empty(driver: Driver) -> None:
    put_each_state(driver)

    assert listed(driver, states=frozenset()) == []


@pytest.mark.parametrize("limit", [0, 1, 4, 5, 100])
def test_a_list_is_no_longer_than_its_limit(driver: Driver, limit: int) -> None:
    jobs = [put(driver, now=after(number)) for number in range(5)]

    assert ids(listed(driver, limit=limit)) == ids(jobs[:limit])


def test_a_list_begins_behind_a_place(driver: Driver) -> None:
    jobs = [put(driver, now=after(number)) for number in range(4)]

    behind = (jobs[1].created_at, jobs[1].id)

    assert ids(listed(driver, after=behind)) == ids(jobs[2:])
    assert ids(listed(driver, after=(after(99), UUID(int=0)))) == []
    assert ids(listed(driver, after=(after(-99), UUID(int=0)))) == ids(jobs)


def test_the_place_to_begin_need_not_be_a_job(driver: Driver) -> None:
    low, high = UUID(int=5), UUID(int=9)
    for id in (low, high):
        put(driver, id=id)

    assert ids(listed(driver, after=(NOW, UUID(int=4)))) == [low, high]
    assert ids(listed(driver, after=(NOW, UUID(int=7)))) == [high]
    assert ids(listed(driver, after=(NOW, high))) == []
    assert ids(listed(driver, after=(NOW - timedelta(microseconds=1), high))) == [low, high]


def test_pages_put_together_are_the_whole(driver: Driver) -> None:
    for number in range(17):
        put(driver, now=after(number // 5))
    whole = ids(listed(driver, queue="q"))

    pages, behind = [], None
    while page := listed(driver, queue="q", limit=4, after=behind):
        pages += ids(page)
        behind = (page[-1].created_at, page[-1].id)

    assert pages == whole
    assert len(whole) == 17


def test_a_list_can_be_of_what_one_node_executes(driver: Driver, other: Driver) -> None:
    first, second, third, _ = (put(driver, now=after(number)) for number in range(4))
    take(driver, limit=1, node="a", now=after(9))
    take(other, limit=1, node="b", now=after(9))
    take(driver, limit=1, node="a", now=after(9))

    assert ids(listed(driver, node="a")) == [first.id, third.id]
    assert ids(listed(driver, node="b")) == [second.id]
    assert listed(driver, node="c") == []


def test_conditions_are_met_together(driver: Driver) -> None:
    for number in range(6):
        put(driver, "qr"[number % 2], now=after(number))
    first, second, third = take(driver, "q", node="a", now=after(9))
    take(driver, "r", node="a", now=after(9))
    finish(driver, first)

    found = listed(
        driver,
        queue="q",
        states=frozenset({JobState.EXECUTING, JobState.COMPLETED}),
        node="a",
        after=(first.created_at, first.id),
        limit=1,
    )

    assert ids(found) == [second.id]
    assert ids(listed(driver, queue="q", node="a")) == ids([second, third])


def test_the_statistics_of_an_empty_queue_name_every_state(driver: Driver) -> None:
    driver.queue_insert("q")

    assert typed(driver.job_stats("q")) == typed({state: StateStats() for state in JobState})


def test_a_queue_that_is_not_kept_has_empty_statistics(driver: Driver) -> None:
    assert typed(driver.job_stats("q")) == typed({state: StateStats() for state in JobState})


def test_the_statistics_count_each_state_of_one_queue(driver: Driver) -> None:
    put_each_state(driver, "q")
    put(driver, "q")
    put(driver, "r")

    counts = {state: stats.count for state, stats in driver.job_stats("q").items()}

    assert counts == {**dict.fromkeys(JobState, 1), JobState.AVAILABLE: 2}


def test_the_statistics_tell_when_a_state_was_entered_first_and_last(driver: Driver) -> None:
    for number in range(4):
        put(driver, now=after(number), scheduled_at=after(50 + number), max_attempts=1)
    claimed = [take_one(driver, now=after(60 + number)) for number in range(3)]
    finish(driver, claimed[0], Complete(), after(71))
    finish(driver, claimed[1], Fail(), after(72))

    stats = driver.job_stats("q")

    assert typed(stats) == typed(
        {
            JobState.AVAILABLE: StateStats(1, after(3), after(3)),
            JobState.EXECUTING: StateStats(1, after(62), after(62)),
            JobState.COMPLETED: StateStats(1, after(71), after(71)),
            JobState.FAILED: StateStats(1, after(72), after(72)),
            JobState.CANCELLED: StateStats(),
        }
    )


def test_the_statistics_tell_since_when_a_job_is_due(
    driver: Driver, harness: DriverHarness
) -> None:
    now = driver.now()
    put(driver, now=now, scheduled_at=now + timedelta(seconds=3600))
    assert driver.job_stats("q")[JobState.AVAILABLE].waiting_since is None

    first = put(driver, now=now, scheduled_at=now + timedelta(seconds=60))
    harness.advance(30)
    assert driver.job_stats("q")[JobState.AVAILABLE].waiting_since is None

    harness.advance(60)
    since = driver.job_stats("q")[JobState.AVAILABLE].waiting_since
    assert since is not None
    assert first.created_at <= since <= now + timedelta(seconds=60)

    put(driver, now=now - timedelta(seconds=10))
    stats = dict(driver.job_stats("q"))
    assert stats.pop(JobState.AVAILABLE).waiting_since == now - timedelta(seconds=10)
    assert {one.waiting_since for one in stats.values()} == {None}


def test_the_statistics_span_the_oldest_and_the_newest(driver: Driver) -> None:
    for number in (3, 1, 2):
        put(driver, now=after(number))

    assert driver.job_stats("q")[JobState.AVAILABLE] == StateStats(3, after(1), after(3))
