"""Locks are taken in one order everywhere, so that the server never has to break a deadlock."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from gaffer import Conflict, Gaffer, Job, machine
from gaffer.driver import Driver
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.statements import Statements, quoted
from gaffer_driver_postgres.writing import Remembered
from tests.rig.crowd import WHAT, Crowd, deadlocks, forwarding
from tests.rig.waiting import PATIENCE, until

from .conftest import MakeDriver
from .verbs import cancelled, claim, completed, failed, released, seeded, settle_and_claim

SECONDS = 10.0


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers."""
    return seeded(request)


@pytest.fixture
def impatient(database: str) -> str:
    """Give the conninfo of a database that looks for deadlocks at once, and counts its own."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = psycopg.sql.Identifier(connection.info.dbname)
        connection.execute(
            psycopg.sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '10ms'").format(name)
        )
    return database


@pytest.fixture
def drivers(impatient: str, make_driver: MakeDriver) -> list[PostgresDriver]:
    """Give started drivers on one schema there."""
    made = [make_driver(impatient, max_connections=8) for _ in range(2)]
    for driver in made:
        driver.start()
    return made


@pytest.fixture
def g(drivers: list[PostgresDriver]) -> Iterator[Gaffer]:
    """Give a Gaffer with two queues that forward to each other, and that nobody works."""
    with Gaffer(drivers[0], work=False) as made:
        forwarding(made)
        yield made


def test_whatever_is_done_at_once_the_server_breaks_no_deadlock(
    impatient: str, g: Gaffer, drivers: list[PostgresDriver], chance: random.Random
) -> None:
    """F21."""
    crowd = Crowd(g, drivers, impatient, chance)

    crowd.run(SECONDS)
    for driver in drivers:
        driver.stop()  # a session reports at its end at the latest

    assert deadlocks(impatient) == 0
    assert [what for what in WHAT if crowd.did[what] < 10] == []


def test_a_claim_and_a_delete_of_a_due_job_of_a_chain_do_not_wait_for_each_other(
    impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21."""
    sql = Statements(quoted(schema))
    job = g.insert("q", None, chain="a", delay=0.01)
    until(lambda: drivers[0].now() > (job.scheduled_at or job.created_at))
    too_early = ["q", 1, 1, "node", job.created_at.isoformat(), False, "{}", "{}"]
    outcomes: list[Any] = []

    with holding(impatient, sql.job_claim, too_early) as line:
        line.join(lambda: outcomes.append(drivers[0].job_delete(job.id)))
        line.join(lambda: outcomes.append(claim(drivers[1], 1, 1)))
    for driver in drivers:
        driver.stop()

    assert len(outcomes) == 2
    assert deadlocks(impatient) == 0


@pytest.mark.parametrize("comes", ["before", "meanwhile"])
def test_a_claim_beside_a_write_does_not_wait_for_who_waits_for_its_rows(
    comes: str, impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21."""
    plain, _ = g.insert("q", 1), g.insert("q", 2, chain="a")
    here, there = drivers
    jobs = sorted(claim(here, 2), key=lambda job: job.id)
    new = [g.insert("q", 3, chain="b")] if comes == "before" else []
    ended, lost = completed(here, jobs[0]), [completed(there, job, "late") for job in jobs]
    claimed: list[Job] = []
    refused: set[UUID] = set()

    def settle_there() -> None:
        try:
            there.job_write(lost)
        except Conflict as conflict:
            refused.update(conflict.ids)

    with holding(impatient, *row(schema, plain)) as line:
        line.join(lambda: claimed.extend(settle_and_claim(here, [ended])))
        if comes == "meanwhile":
            g.insert("q", 3, chain="b")  # from now on a claim needs the lock
        line.join(settle_there)  # has that, or waits for it, and for the row
    for driver in drivers:
        driver.stop()

    assert deadlocks(impatient) == 0
    assert [job.id for job in claimed] == [job.id for job in new]
    assert refused == {plain.id}


def test_rows_are_locked_in_one_order_whatever_is_written_with_the_ends(
    impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21."""
    here, there = drivers
    first = g.insert("q", 1, priority=-1)
    g.insert_many("q", [2, 3])
    middle, last = sorted(claim(here, 2), key=lambda job: job.id)
    taken_for_lost = [cancelled(there, first), failed(there, middle), failed(there, last)]
    ended = [cancelled(here, first), completed(here, last)]
    outcomes: list[str] = []

    with holding(impatient, *row(schema, middle)) as line:
        line.join(lambda: outcomes.append(written(there, taken_for_lost)))  # it holds the first
        line.join(lambda: outcomes.append(written(here, ended)))
    for driver in drivers:
        driver.stop()

    assert deadlocks(impatient) == 0
    assert outcomes == ["written", "refused"]


def test_two_who_forward_the_same_job_do_not_wait_for_each_other(
    impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21: whoever takes a worker for dead, and that worker."""
    here, there = drivers
    g.insert("q", 1)
    [job] = claim(here)
    ended = completed(here, job)
    made = machine.template(g.get_queue("r"))
    id = machine.forwarded_id(ended, "r")
    copy = machine.create(made, "null", id=id, now=here.now())
    outcomes: list[str] = []

    with holding(impatient, *row(schema, job)) as line:
        line.join(lambda: outcomes.append(written(here, [copy, ended])))
        line.join(lambda: outcomes.append(written(there, [copy, ended])))
    for driver in drivers:
        driver.stop()

    assert deadlocks(impatient) == 0
    assert outcomes == ["written", "refused"]


def test_a_job_claimed_again_is_not_forgotten_for_what_befell_it_before(
    drivers: list[PostgresDriver], g: Gaffer
) -> None:
    here, there = drivers
    g.insert("q", 1)
    [job] = claim(there)
    remembered = Remembered()
    here.job_write([released(here, job)])  # as a rescue does; its thread is slow from here on
    [again] = claim(here)

    remembered.add([again])
    remembered.forget([released(here, job)])

    assert remembered.before(completed(here, again)) is again


def test_a_forward_into_a_queue_that_is_deleted_waits_for_nobody_who_waits_for_it(
    impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21."""
    g.insert_many("q", [None] * 2)
    first, last = sorted(claim(drivers[0], 2), key=lambda job: job.id)
    after = completed(drivers[0], last)
    made = machine.template(g.get_queue("q"))
    copy = machine.create(made, "null", id=UUID(int=1), now=drivers[0].now())
    outcomes: list[Any] = []

    with holding(impatient, *row(schema, first)) as line:
        line.join(lambda: drivers[1].queue_delete("q", jobs=True))
        line.join(lambda: outcomes.append(written(drivers[0], [copy, after])))
    for driver in drivers:
        driver.stop()

    assert outcomes == ["refused"]
    assert deadlocks(impatient) == 0


class Line:
    """Those who wait for locks in a database, one behind the other."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._threads: list[threading.Thread] = []

    def join(self, call: Callable[[], object]) -> None:
        """Make *call* on a thread of its own, and return when it waits too."""
        self._threads.append(threading.Thread(target=call, daemon=True))
        self._threads[-1].start()
        until(lambda: self._waiting() == len(self._threads))

    def end(self) -> None:
        """Wait until all calls have returned."""
        for thread in self._threads:
            thread.join(PATIENCE)

    def _waiting(self) -> int:
        query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
        with psycopg.connect(self._conninfo) as connection:
            return connection.execute(query, [connection.info.dbname]).rowcount


@contextmanager
def holding(conninfo: str, statement: Any, values: Sequence[Any]) -> Iterator[Line]:
    """Give a line behind what *statement* locks; at the end that is let go, and all go on."""
    line = Line(conninfo)
    with psycopg.connect(conninfo) as other:
        other.execute(statement, values)
        yield line
        other.rollback()
    line.end()


def row(schema: str, job: Job) -> tuple[psycopg.sql.Composed, list[UUID]]:
    """Return the statement that locks the row of *job*, and its values."""
    lock = psycopg.sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE")
    return lock.format(psycopg.sql.Identifier(schema, "jobs")), [job.id]


def written(driver: Driver, jobs: Sequence[Job]) -> str:
    """Write *jobs*; return how that went."""
    try:
        driver.job_write(jobs)
    except Conflict:
        return "refused"
    return "written"
