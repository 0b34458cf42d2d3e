"""Keys: one job of a queue holds each at a time. For drivers that say they keep keys."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from gaffer import machine
from gaffer.driver import Conflict, Driver, Job, JobState, KeyHeld, UnknownQueue, evolve
from gaffer.job import Cancel, Complete, Fail, Outcome, Schedule
from gaffer.testing.harness import DriverHarness
from gaffer.testing.stateful import examples
from gaffer.testing.strategies import jobs, names
from gaffer.testing.suite.crowd import attempt, rounds, together
from gaffer.testing.suite.scene import finish, listed, put, take_one
from gaffer.testing.values import NOW, new_job, typed


def keeping(test: Callable[..., None]) -> Callable[..., None]:
    """Run *test* with a queue ``q``, on drivers that keep keys."""

    @wraps(test)
    def run(*, driver: Driver, **fixtures: object) -> None:
        if driver.unique:
            driver.queue_insert("q")
            test(driver=driver, **fixtures)

    return run


def held(driver: Driver, *batch: Job) -> dict[UUID, UUID]:
    """Write a batch that must be refused; return the ids of who holds the keys."""
    before = typed(listed(driver))
    with pytest.raises(KeyHeld) as refusal:
        driver.job_write(batch)
    assert typed(listed(driver)) == before
    holders = refusal.value.holders.items()
    return {id: holder.id if isinstance(holder, Job) else holder for id, holder in holders}


def lasting(driver: Driver, seconds: float) -> Job:
    """Return a new job that holds the key ``k`` for so long."""
    return new_job(unique="k", unique_until=driver.now() + timedelta(seconds=seconds))


def retried(job: Job) -> Job:
    """Return ended *job* as available again."""
    return evolve(job, revision=job.revision + 1, state=JobState.AVAILABLE, completed_at=None)


@keeping
def test_a_job_comes_back_with_its_key(driver: Driver) -> None:
    @settings(
        max_examples=examples(),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(jobs(), names())
    def check(drawn: Job, key: str) -> None:
        queue = str(uuid4())
        driver.queue_insert(queue)
        until = NOW if drawn.priority else None
        job = evolve(drawn, id=uuid4(), queue=queue, unique=key, unique_until=until)
        job = evolve(job, scheduled_at=None)

        assert typed(driver.job_write([job])) == typed([job])
        assert typed(driver.job_get(job.id)) == typed(job)
        claimed = take_one(driver, queue)
        assert typed(claimed) == typed(machine.claim(job, now=NOW))
        assert (finish(driver, claimed).unique, claimed.unique_until) == (key, until)

    check()


@pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.EXECUTING])
@keeping
def test_a_job_holds_its_key_while_it_is_under_way(driver: Driver, state: JobState) -> None:
    holder = put(driver, unique="k")
    if state is JobState.EXECUTING:
        holder = take_one(driver)
    other = new_job(unique="k")

    with pytest.raises(KeyHeld) as refusal:
        driver.job_write([new_job(), other])

    assert typed(refusal.value.holders) == typed({other.id: holder})
    assert listed(driver) == [holder]


@pytest.mark.parametrize("chain", [None, "c"])
@pytest.mark.parametrize("delay", [-1, 1])
@keeping
def test_a_job_that_waits_for_its_time_or_its_chain_holds_its_key(
    driver: Driver, chain: str | None, delay: int
) -> None:
    at = driver.now() + timedelta(hours=delay)
    put(driver, chain=chain)
    holder = put(driver, unique="k", chain=chain, scheduled_at=at)
    other = new_job(unique="k")

    assert held(driver, other) == {other.id: holder.id}


@pytest.mark.parametrize("outcome", [Complete(), Cancel(), Fail()])
@keeping
def test_a_job_that_ends_frees_its_key(driver: Driver, outcome: Outcome) -> None:
    put(driver, unique="k", max_attempts=1)
    finish(driver, take_one(driver), outcome)

    driver.job_write([new_job(unique="k")])


@pytest.mark.parametrize("outcome", [Fail(), Schedule(delay=1.0)])
@keeping
def test_a_job_that_will_be_tried_again_goes_on_holding_its_key(
    driver: Driver, outcome: Outcome
) -> None:
    holder = put(driver, unique="k", max_attempts=2)
    finish(driver, take_one(driver), outcome)
    other = new_job(unique="k")

    assert held(driver, other) == {other.id: holder.id}


@keeping
def test_a_key_is_of_one_queue(driver: Driver) -> None:
    put(driver, "q", unique="k")
    put(driver, "r", unique="k")

    assert len(listed(driver)) == 2


@keeping
def test_keys_differ_by_every_code_point(driver: Driver) -> None:
    for key in ["k", "K", "k ", "\u00e9", "e\u0301"]:
        put(driver, unique=key)

    assert len(listed(driver)) == 5


@keeping
def test_of_new_jobs_with_one_key_the_first_can_have_it(driver: Driver) -> None:
    first, second, third = (new_job(unique="k") for _ in range(3))

    assert held(driver, first, new_job(), second, third) == {
        second.id: first.id,
        third.id: first.id,
    }


@keeping
def test_a_write_that_ends_a_job_may_insert_one_with_its_key(driver: Driver) -> None:
    put(driver, unique="k")
    end = machine.settle(take_one(driver), Complete(), now=NOW)

    driver.job_write([new_job(unique="k"), end])

    assert len(listed(driver)) == 2


@keeping
def test_a_taken_id_and_an_unknown_queue_are_told_before_a_key(driver: Driver) -> None:
    holder = put(driver, unique="k")
    with pytest.raises(Conflict):
        driver.job_write([new_job(unique="k"), new_job(unique="k", id=holder.id)])
    with pytest.raises(UnknownQueue):
        driver.job_write([new_job(unique="k"), new_job("unknown")])


@keeping
def test_a_job_does_not_come_back_while_another_holds_its_key(driver: Driver) -> None:
    put(driver, unique="k")
    job = finish(driver, take_one(driver))
    holder = put(driver, unique="k")
    assert held(driver, retried(job)) == {job.id: holder.id}

    finish(driver, take_one(driver))
    driver.job_write([retried(job)])
    other = new_job(unique="k")
    assert held(driver, other) == {other.id: job.id}


@keeping
def test_a_deleted_job_frees_its_key(driver: Driver) -> None:
    job = driver.job_write([lasting(driver, 60)])[0]
    driver.job_delete(job.id)

    driver.job_write([new_job(unique="k")])


@keeping
def test_a_deleted_queue_frees_its_keys(driver: Driver) -> None:
    driver.job_write([lasting(driver, 60)])
    driver.queue_delete("q", jobs=True)
    driver.queue_insert("q")

    driver.job_write([new_job(unique="k")])


@pytest.mark.parametrize("seconds", [None, 60])
@keeping
def test_a_key_is_held_for_its_time_though_the_job_has_ended(
    driver: Driver, seconds: int | None
) -> None:
    holder = driver.job_write([lasting(driver, 60)])[0]
    ended = finish(driver, take_one(driver))
    other = new_job(unique="k") if seconds is None else lasting(driver, seconds)

    with pytest.raises(KeyHeld) as refusal:
        driver.job_write([other])

    assert typed(refusal.value.holders) == typed({other.id: ended})
    assert ended.id == holder.id


@keeping
def test_a_key_is_held_for_its_time_though_the_job_was_pruned(
    driver: Driver, harness: DriverHarness
) -> None:
    holder = driver.job_write([lasting(driver, 60)])[0]
    finish(driver, take_one(driver))
    for seconds in (0, 30):
        harness.advance(seconds)
        driver.job_prune("q", {JobState.COMPLETED: "all"}, 10)
        other = new_job(unique="k")
        assert held(driver, other) == {other.id: holder.id}
        assert held(driver, replace(holder)) == {holder.id: holder.id}  # the same once more

    harness.advance(31)
    driver.job_write([lasting(driver, 60)])
    assert held(driver, other) != {other.id: holder.id}


@keeping
def test_a_job_under_way_holds_its_key_beyond_its_time(
    driver: Driver, harness: DriverHarness
) -> None:
    holder = driver.job_write([lasting(driver, 10)])[0]
    harness.advance(20)
    driver.job_prune("q", {}, 10)
    other = new_job(unique="k")

    assert held(driver, other) == {other.id: holder.id}


@keeping
def test_a_job_comes_back_within_its_own_time(driver: Driver) -> None:
    driver.job_write([lasting(driver, 60)])
    ended = finish(driver, take_one(driver))

    driver.job_write([retried(ended)])


@keeping
def test_a_job_does_not_come_back_within_the_time_of_another(driver: Driver) -> None:
    put(driver, unique="k")
    ended = finish(driver, take_one(driver))
    holder = driver.job_write([lasting(driver, 60)])[0]
    finish(driver, take_one(driver))

    assert held(driver, retried(ended)) == {ended.id: holder.id}


@pytest.mark.parametrize("seconds", [None, 60])
@keeping
def test_of_many_inserts_at_once_one_gets_the_key(
    driver: Driver, other: Driver, seconds: int | None
) -> None:
    def insert(handle: Driver, key: str) -> bool:
        until = None if seconds is None else handle.now() + timedelta(seconds=seconds)
        job = new_job(unique=key, unique_until=until)
        return attempt(KeyHeld, handle.job_write, [job])

    for number in rounds():
        assert sum(together(insert, [driver, other] * 3, f"k{number}")) == 1


@keeping
def test_of_many_that_insert_end_and_prune_one_gets_the_key_in_its_time(
    driver: Driver, other: Driver
) -> None:
    def insert(handle: Driver, key: str) -> int:
        times = 0
        for _ in range(3):
            job = new_job(unique=key, unique_until=handle.now() + timedelta(seconds=600))
            if attempt(KeyHeld, handle.job_write, [job]):
                times += 1
                end = machine.cancel(job, now=NOW)
                handle.job_write([end])
                handle.job_prune("q", {JobState.CANCELLED: "all"}, 10)
        return times

    for number in rounds():
        assert sum(together(insert, [driver, other] * 2, f"k{number}")) == 1


@keeping
def test_batches_whose_keys_cross_end(driver: Driver, other: Driver) -> None:
    def insert(handle: Driver, number: int) -> bool:
        keys = [f"{number}:{key}" for key in range(20)]
        if handle.now().microsecond % 2:
            keys.reverse()
        return attempt(KeyHeld, handle.job_write, [new_job(unique=key) for key in keys])

    for number in rounds():
        assert sum(together(insert, [driver, other] * 2, number)) == 1
