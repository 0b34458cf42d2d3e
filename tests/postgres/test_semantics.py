"""What a claim promises to the letter, whatever the planner, the moment and the others do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from gaffer import Gaffer, Job, NewJob, Queue
from gaffer.driver import Driver, DriverUnavailable, JobState, evolve
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.statements import Statements, quoted
from tests.rig.audit import Audit
from tests.rig.waiting import KEEP, together

from .conftest import MakeDriver
from .verbs import cancelled, claim, completed, moved, seeded


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers."""
    return seeded(request)


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works nothing itself."""
    with Gaffer(driver, work=False) as made:
        yield made


@pytest.fixture
def queue(g: Gaffer) -> Queue:
    """Give a queue that keeps what has ended."""
    return g.ensure_queue("q", prune=KEEP)


# -- locks -----------------------------------------------------------------------------------------


def test_a_claim_that_has_not_committed_holds_up_no_insert(
    server: str, schema: str, queue: Queue, driver: PostgresDriver
) -> None:
    """F22."""
    queue.insert_many([None] * 3)
    sql = Statements(quoted(schema))
    values = ["q", 2, 5, "node", driver.now().isoformat(), False, "{}", "{}"]
    inserts: list[Callable[[], object]] = [
        lambda: queue.insert(None),
        lambda: queue.insert_many([None] * 3),
        lambda: queue.insert(None, delay=60),
    ]

    with psycopg.connect(server) as claiming, psycopg.connect(server) as callers:
        inserts.append(lambda: queue.insert(None, connection=callers))
        inserts.append(lambda: queue.insert(None, chain="a", connection=callers))
        rows = claiming.execute(sql.job_claim, values).fetchall()
        assert len([row for row in rows if row[0] is not None]) == 2
        seconds = []
        for insert in inserts:
            began = time.monotonic()
            insert()
            seconds.append(time.monotonic() - began)

    assert max(seconds) < 2  # who waits for a lock waits for the driver's timeout


def test_a_claim_that_has_not_committed_holds_up_no_claim(
    server: str, schema: str, queue: Queue, driver: PostgresDriver
) -> None:
    jobs = queue.insert_many([None] * 4)
    sql = Statements(quoted(schema))
    values = ["q", 2, None, "node", driver.now().isoformat(), False, "{}", "{}"]

    with psycopg.connect(server) as claiming:
        rows = claiming.execute(sql.job_claim, values).fetchall()
        # Else it would wait until the driver's deadline.
        others = {job.id for job in claim(driver, 4)}

    # A row without an id tells how long it took, if that was long.
    assert {row[0] for row in rows} - {None} == {job.id for job in jobs[:2]}
    assert others == {job.id for job in jobs[2:]}


# -- order -----------------------------------------------------------------------------------------


def test_many_jobs_come_in_the_order_of_priority_instant_and_id(
    driver: PostgresDriver, queue: Queue, chance: random.Random
) -> None:
    born = driver.now()
    made = queue.insert_many([None] * 400)
    jobs = [
        evolve(
            job,
            priority=chance.choice([-1, 0, 2**31 - 1, -(2**31)]),
            created_at=born + timedelta(microseconds=chance.randint(0, 3)),
            scheduled_at=chance.choice([None, born, born - timedelta(days=1)]),
        )
        for job in made
    ]
    driver.job_prune("q", {JobState.AVAILABLE: "all"}, 1000)
    for start in range(0, 400, 50):
        batch = jobs[start : start + 50]
        driver.job_write(chance.sample(batch, len(batch)))
    for job in chance.sample(jobs, 100):
        driver.job_write([evolve(job, priority=0, revision=1)])
        jobs[jobs.index(job)] = evolve(job, priority=0, revision=1)

    found: list[Job] = []
    while claimed := claim(driver, chance.randint(1, 20)):
        found += claimed

    line = sorted(jobs, key=lambda job: (-job.priority, job.created_at, job.id.int))
    assert [job.id for job in found] == [job.id for job in line]


# -- chains ----------------------------------------------------------------------------------------

Deed = Callable[[Driver, Job], object]

DEEDS: dict[str, Deed] = {
    "cancelled": lambda driver, job: driver.job_write([cancelled(driver, job)]),
    "deleted": lambda driver, job: driver.job_delete(job.id),
    "pruned": lambda driver, job: driver.job_prune(
        "q", {JobState.AVAILABLE: job.created_at + timedelta(microseconds=1)}, 9
    ),
    "moved": lambda driver, job: driver.job_write([moved(driver, job, -1, 0.0)]),
    "claimed and completed": lambda driver, job: [
        driver.job_write([completed(driver, one)]) for one in claim(driver)
    ],
    "claimed and deleted": lambda driver, job: [driver.job_delete(one.id) for one in claim(driver)],
    "claimed and pruned": lambda driver, job: (
        claim(driver),
        driver.job_prune("q", {JobState.EXECUTING: "all"}, 1),
    ),
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_the_next_of_a_chain_can_be_claimed_when_the_first_is(
    deed: Deed, driver: PostgresDriver, queue: Queue
) -> None:
    before, first, second = (queue.insert(None, chain="a") for _ in range(3))
    assert claim(driver, 9) == [job for job in queue.list() if job.id == before.id]
    driver.job_write([completed(driver, queue.get(before.id))])

    deed(driver, first)

    assert [job.id for job in claim(driver, 9)] == [second.id]


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("chain", [None, "a"])
def test_a_limit_is_kept_and_reached_at_every_commit(
    most: int,
    chain: str | None,
    queue: Queue,
    admin: psycopg.Connection,
    schema: str,
    make_driver: MakeDriver,
    chance: random.Random,
) -> None:
    """F51."""
    queue.insert_many(NewJob(None, chain=chain if n % 8 == 0 else None) for n in range(240))
    audit = Audit(admin, schema)

    def work(driver: Driver) -> None:
        while queue.list(state="available", limit=1):
            jobs = claim(driver, chance.randint(1, 8), most)
            driver.job_write([completed(driver, job) for job in jobs])

    drivers = [make_driver() for _ in range(6)]
    for driver in drivers:
        driver.start()
    together([partial(work, driver) for driver in drivers])

    assert audit.most_executing() == most
    assert {job.state for job in queue.list()} == {JobState.COMPLETED}


PLANS = {
    "as it likes": [],
    "nested loops": ["hashjoin", "mergejoin", "material", "memoize"],
    "hashes": ["nestloop", "mergejoin"],
    "merges": ["nestloop", "hashjoin"],
    "whole tables": ["indexscan", "indexonlyscan", "bitmapscan"],
    "bitmaps": ["indexscan", "indexonlyscan", "seqscan"],
}


@pytest.mark.parametrize("off", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("empty", [False, True], ids=["no statistics", "those of an empty table"])
def test_a_claim_takes_no_more_than_it_asks_for_whatever_the_plan(
    off: Sequence[str], empty: bool, database: str, make_driver: MakeDriver, schema: str
) -> None:
    """F23."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = psycopg.sql.Identifier(connection.info.dbname)
        for what in off:
            command = psycopg.sql.SQL("ALTER DATABASE {} SET {} = off")
            connection.execute(command.format(name, psycopg.sql.Identifier(f"enable_{what}")))
    drivers = [make_driver(database) for _ in range(3)]
    drivers[0].start()
    with Gaffer(drivers[0], work=False) as g:
        queue = g.ensure_queue("q")
        if empty:
            queue.insert_many([None] * 300)
            drivers[0].job_prune("q", {JobState.AVAILABLE: "all"}, 300)
            with psycopg.connect(database, autocommit=True) as connection:
                # The pages stay: so they are thought to hold no row, however many come.
                connection.execute(f'VACUUM (ANALYZE, TRUNCATE false) "{schema}".jobs'.encode())
        queue.insert_many(
            [NewJob(None, chain=f"{n % 20}" if n % 5 == 0 else None) for n in range(200)]
        )
        queue.insert_many([None] * 20, delay=0.001)
        sizes: list[int] = []

        def work(driver: Driver) -> None:
            driver.start()
            while jobs := claim(driver, 3):
                sizes.append(len(jobs))
                driver.job_write([completed(driver, job) for job in jobs[:1]])

        together([partial(work, driver) for driver in drivers])
        assert max(sizes) == 3
        assert sum(sizes) >= 180
    for driver in drivers:
        driver.stop()


# -- trouble ---------------------------------------------------------------------------------------

_REFUSE = """
CREATE SEQUENCE {s}.tries;
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('{s}.tries') <= %d THEN
        RAISE EXCEPTION 'once more' USING ERRCODE = '%s';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {s}.jobs
FOR EACH STATEMENT EXECUTE FUNCTION {s}.refuse();
"""


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("times", [3, 1_000_000])
def test_what_the_server_rolls_back_is_tried_again_and_given_up_when_it_goes_on(
    state: str, times: int, admin: psycopg.Connection, schema: str, queue: Queue, driver: Driver
) -> None:
    """B195."""
    job = queue.insert(None)
    verbs: list[Callable[[], Any]] = [
        lambda: driver.job_write([cancelled(driver, job)]),
        lambda: driver.job_write([evolve(job, id=UUID(int=1))]),
    ]
    for verb in verbs:
        script = (_REFUSE % (times, state)).replace("{s}", f'"{schema}"')
        admin.execute(script.encode())
        if times == 3:
            assert len(verb()) == 1
        else:
            with pytest.raises(DriverUnavailable, match=state):
                verb()
        admin.execute(
            f'DROP FUNCTION "{schema}".refuse CASCADE; DROP SEQUENCE "{schema}".tries'.encode()
        )
    assert len(queue.list()) == (2 if times == 3 else 1)
