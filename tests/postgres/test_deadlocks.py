"""Locks are taken in one order everywhere, so that the server never has to break a deadlock."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
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

    with psycopg.connect(impatient) as other:
        other.execute(sql.job_claim, too_early)
        deleting = threading.Thread(target=lambda: outcomes.append(drivers[0].job_delete(job.id)))
        claiming = threading.Thread(target=lambda: outcomes.append(claim(drivers[1], 1, 1)))
        deleting.start()
        until(lambda: _waiting(impatient) == 1)
        claiming.start()
        until(lambda: _waiting(impatient) == 2)
        other.rollback()
    deleting.join(PATIENCE)
    claiming.join(PATIENCE)
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

    with held(impatient, schema, plain):
        both = threading.Thread(target=lambda: claimed.extend(settle_and_claim(here, [ended])))
        late = threading.Thread(target=settle_there)
        both.start()
        until(lambda: _waiting(impatient) == 1)
        if comes == "meanwhile":
            g.insert("q", 3, chain="b")  # from now on a claim needs the lock
        late.start()  # has that, or waits for it, and for the row
        until(lambda: _waiting(impatient) == 2)
    both.join(PATIENCE)
    late.join(PATIENCE)
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

    with held(impatient, schema, middle):
        late = _writing(there, taken_for_lost, outcomes)
        until(lambda: _waiting(impatient) == 1)  # it holds the first
        both = _writing(here, ended, outcomes)
        until(lambda: _waiting(impatient) == 2)
    late.join(PATIENCE)
    both.join(PATIENCE)
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

    with held(impatient, schema, job):
        worker = _writing(here, [copy, ended], outcomes)
        until(lambda: _waiting(impatient) == 1)
        rescuer = _writing(there, [copy, ended], outcomes)
        until(lambda: _waiting(impatient) == 2)
    worker.join(PATIENCE)
    rescuer.join(PATIENCE)
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

    def forward() -> None:
        try:
            outcomes.append(drivers[0].job_write([copy, after]))
        except Conflict:
            outcomes.append("too late")

    with held(impatient, schema, first):
        deleting = threading.Thread(target=lambda: drivers[1].queue_delete("q", jobs=True))
        forwarding = threading.Thread(target=forward)
        deleting.start()
        until(lambda: _waiting(impatient) == 1)
        forwarding.start()
        until(lambda: _waiting(impatient) == 2)
    deleting.join(PATIENCE)
    forwarding.join(PATIENCE)
    for driver in drivers:
        driver.stop()

    assert outcomes == ["too late"]
    assert deadlocks(impatient) == 0


@contextmanager
def held(conninfo: str, schema: str, job: Job) -> Iterator[None]:
    """Lock the row of *job* from elsewhere."""
    with psycopg.connect(conninfo) as other:
        hold = psycopg.sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE")
        other.execute(hold.format(psycopg.sql.Identifier(schema, "jobs")), [job.id])
        yield
        other.rollback()


def _writing(driver: Driver, jobs: Sequence[Job], outcomes: list[str]) -> threading.Thread:
    """Return a thread that writes *jobs*, and adds how it went to *outcomes*."""

    def write() -> None:
        try:
            driver.job_write(jobs)
            outcomes.append("written")
        except Conflict:
            outcomes.append("refused")

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def _waiting(conninfo: str) -> int:
    query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query, [connection.info.dbname]).rowcount
