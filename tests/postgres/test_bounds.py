"""Claims stay quick while somebody holds an old snapshot, and hide no job for long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from gaffer import machine
from gaffer.driver import Claim, Job
from gaffer.ids import job_id
from gaffer.job import Complete, Schedule
from gaffer.testing.suite.scene import after, put, take
from gaffer.testing.values import NOW
from gaffer_driver_postgres import PostgresDriver, bounds
from gaffer_driver_postgres.bounds import Bounds, Start

SLOW = 0.05


def claim(limit: int | None = 2, **options: Any) -> Claim:
    return Claim(
        queue="q", limit=limit, global_max_workers=None, node="n", now=after(60), **options
    )


def job(seconds: float, priority: int = 0) -> Job:
    made = Job(
        id=job_id(), queue="q", payload_json="1", max_attempts=1, timeout=1.0, backoff=(1.0,),
        shutdown_timeout=1.0, created_at=after(seconds), priority=priority,
    )  # fmt: skip
    return machine.claim(made, now=after(60))


class Time:
    """A monotonic clock that goes on when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(bounds, "monotonic", made)
    return made


def slowed(jobs: list[Job], limit: int | None = 2) -> Bounds:
    """Return bounds after looks at the whole that took long, the last of which brought *jobs*."""
    made = Bounds()
    for brought in ([], [], jobs):
        made.learn(claim(limit), made.start("q"), brought, SLOW)
    return made


# -- the guess -------------------------------------------------------------------------------------


def test_while_looks_are_quick_there_are_no_bounds(time: Time) -> None:
    made = Bounds()

    made.learn(claim(), made.start("q"), [job(1), job(2)], None)

    assert made.start("q") == Start()


def test_one_or_two_slow_looks_may_be_the_machines_fault(time: Time) -> None:
    made = Bounds()

    for _ in range(2):
        made.learn(claim(), made.start("q"), [job(1), job(2)], SLOW)

    assert made.start("q").whole


def test_after_slow_looks_a_claim_begins_at_the_last_job_of_each_priority(time: Time) -> None:
    made = slowed([job(5, priority=7), job(1), job(2)], limit=3)

    assert made.start("q") == Start([7, 0], [after(5), after(2)])
    assert made.start("other").whole


def test_a_claim_that_found_less_than_it_asked_for_leaves_behind_what_is_old(time: Time) -> None:
    made = slowed([job(1)], limit=2)

    assert made.start("q") == Start([0], [after(60) - timedelta(seconds=0.25)])


def test_a_look_at_the_whole_follows_after_a_second(time: Time) -> None:
    made = slowed([job(1), job(2)])

    time.seconds += 0.999
    early = made.start("q")
    time.seconds += 0.001

    assert not early.whole
    assert made.start("q").whole


def test_looks_at_the_whole_take_a_twentieth_of_the_time_at_the_most(time: Time) -> None:
    made = slowed([job(1), job(2)])
    time.seconds += 1
    made.learn(claim(), made.start("q"), [job(3), job(4)], 0.5)

    time.seconds += 9.99
    early = made.start("q")
    time.seconds += 0.02

    assert not early.whole
    assert made.start("q").whole


def test_a_quick_look_at_the_whole_ends_the_bounds(time: Time) -> None:
    made = slowed([job(1), job(2)])
    time.seconds += 1

    made.learn(claim(), made.start("q"), [job(3), job(4)], None)

    assert made.start("q").whole


def test_bounds_move_on_with_every_claim_and_back_with_what_the_whole_brings(time: Time) -> None:
    made = slowed([job(1), job(2)])
    made.learn(claim(), made.start("q"), [job(8), job(9)], None)
    forth = made.start("q")
    time.seconds += 1

    made.learn(claim(), made.start("q"), [job(3), job(4)], SLOW)

    assert forth.since == [after(9)]
    assert made.start("q").since == [after(4)]


def test_of_very_many_priorities_those_used_last_have_a_bound(time: Time) -> None:
    made = slowed([job(1, priority=-number) for number in range(40)], limit=40)

    assert made.start("q").priorities == [-number for number in range(8, 40)]


def test_a_look_at_the_whole_that_was_full_leaves_lower_priorities_without_a_bound(
    time: Time,
) -> None:
    made = slowed([job(9, priority=7), job(1), job(2)], limit=3)
    time.seconds += 1

    made.learn(claim(2), made.start("q"), [job(10, priority=7), job(11, priority=7)], SLOW)

    assert made.start("q") == Start([7], [after(11)])


# -- the claim -------------------------------------------------------------------------------------


def begin(driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """Have the driver's claims begin at *start*."""
    monkeypatch.setattr(driver._bounds, "start", lambda queue: start)


def test_a_claim_with_bounds_takes_in_order_what_they_do_not_hide(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, priority in enumerate([9, 5, 5, 3, 0, 0, -4, -4, -9]):
        put(driver, payload=number, priority=priority, now=after(number))
    begin(driver, monkeypatch, Start([5, 0, -4], [after(2), after(4), after(9)]))

    one_by_one = [take(driver, limit=1, now=after(60))[0].payload for _ in range(2)]
    others = [job.payload for job in take(driver, limit=9, now=after(60))]

    assert (one_by_one, others) == ([0, 2], [3, 4, 5, 8])


def test_a_claim_with_bounds_knows_every_priority(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    most, least = 2**31 - 1, -(2**31)
    for priority in (least, 0, most):
        put(driver, payload=priority, priority=priority, now=after(1))

    begin(driver, monkeypatch, Start([most, 0, least], [NOW, after(2), NOW]))
    assert [job.payload for job in take(driver, limit=9, now=after(60))] == [most, least]

    begin(driver, monkeypatch, Start([1], [after(2)]))
    assert [job.payload for job in take(driver, now=after(60))] == [0]


def test_jobs_that_become_due_are_not_hidden(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(driver, payload="retry", now=after(0))
    later = driver.now() + timedelta(hours=1)
    driver.job_write([machine.settle(take(driver)[0], Schedule(at=later), now=after(1))])
    put(driver, payload="new", now=after(20))
    begin(driver, monkeypatch, Start([0], [after(10)]))

    assert [job.payload for job in take(driver, now=later)] == ["retry", "new"]


def test_what_the_bounds_hide_is_claimed_by_the_next_look_at_the_whole(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(driver, payload="hidden", now=after(0))
    begin(driver, monkeypatch, Start([0], [after(10)]))
    hidden = take(driver, now=after(60))

    begin(driver, monkeypatch, Start())

    assert hidden == []
    assert [job.payload for job in take(driver, now=after(60))] == ["hidden"]


def test_jobs_that_became_due_and_were_left_over_are_claimed_next(driver: PostgresDriver) -> None:
    later = driver.now() + timedelta(hours=1)
    for number in range(3):
        put(driver, payload=number, now=after(number), scheduled_at=later)
    for number in range(2):
        put(driver, payload=f"high {number}", priority=5, now=after(number), scheduled_at=later)
    put(driver, payload="new", now=after(20))
    for brought in ([], [], [job(9), job(10)]):
        driver._bounds.learn(claim(), Start(), brought, SLOW)

    claimed = [take(driver, limit=2, now=later) for _ in range(3)]

    payloads = [[job.payload for job in jobs] for jobs in claimed]
    assert payloads == [["high 0", "high 1"], [0, 1], [2, "new"]]


# -- a snapshot that is held -----------------------------------------------------------------------


@pytest.fixture
def held(server: str) -> Iterator[None]:
    """Hold a snapshot in a transaction that does nothing else."""
    with psycopg.connect(server) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT 1")
        yield
        connection.rollback()


def test_claims_that_walk_over_the_past_begin_behind_it_before_long(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str, held: None
) -> None:
    put(driver)
    for query in (
        "INSERT INTO {s}.jobs (id, created_at, timeout, shutdown_timeout, queue_id, backoff,"
        " payload) SELECT gen_random_uuid(), '2025-12-31Z'::timestamptz + n * interval '1 ms', 1,"
        " 1, j.queue_id, j.backoff, '1' FROM {s}.jobs j, generate_series(1, 60000) n",
        "DELETE FROM {s}.jobs WHERE created_at < '2026-01-01Z'",
    ):
        admin.execute(query.format(s=f'"{schema}"').encode())
    for number in range(9):
        put(driver, payload=number, now=after(number))

    claimed = [take(driver, limit=1, now=after(60)) for _ in range(5)]

    assert all(claimed)
    start = driver._bounds.start("q")
    assert start == Start([0], [claimed[-1][0].created_at])
    done = [machine.settle(job, Complete(), now=after(61)) for [job] in claimed]
    more = driver.job_write_and_claim(done, claim(limit=9))
    assert [job.payload for job in more] == list(range(4, 9))
