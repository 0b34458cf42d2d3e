"""Locks are taken in one order everywhere, so that the server never has to break a deadlock."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest

from gaffer import Conflict, Gaffer, InvalidTransition, Job, JobState, UnknownJob, machine
from gaffer.driver import Driver
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.statements import Statements, quoted
from tests.rig.waiting import PATIENCE, together, until

from .conftest import MakeDriver
from .verbs import claim, completed, failed, released, seeded

SECONDS = 10.0
QUEUES = ["q", "r"]


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
        for name in QUEUES:
            made.ensure_queue(name, max_attempts=5, backoff=0.0)
        for name, other in zip(QUEUES, reversed(QUEUES), strict=True):
            forward = dict.fromkeys(["completed", "failed", "cancelled"], other)
            made.update_queue(name, forward=forward)
        yield made


def deadlocks(conninfo: str) -> int:
    """Return how many deadlocks the server has broken in a database."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with psycopg.connect(conninfo) as connection:
        [number] = connection.execute(query).fetchone() or [0]
    return int(number)


class Crowd:
    """What many processes do to two queues at once; each method does one thing."""

    def __init__(self, g: Gaffer, drivers: Sequence[Driver], chance: random.Random) -> None:
        self._g = g
        self._drivers = drivers
        self._chance = chance
        self.did: Counter[str] = Counter()

    def insert(self) -> None:
        """Insert a few, of chains and not, some for later."""
        name = self._chance.choice(QUEUES)
        for _ in range(3):
            self._g.insert_many(
                name,
                [None] * self._chance.randint(1, 4),
                chain=self._chance.choice(["a", "b", None, None]),
                priority=self._chance.randint(-1, 1),
                delay=self._chance.choice([None, 0.005]),
            )

    def work(self) -> None:
        """Claim, and settle in any order, each job also by somebody who takes it for lost."""
        here, there = self._chance.sample(self._drivers, 2)
        name = self._chance.choice(QUEUES)
        jobs = claim(here, self._chance.randint(1, 12), self._most(), queue=name)
        settled = [self._settled(here, job) for job in jobs]
        lost = [[failed(there, job)] for job in jobs]
        for batch in (settled, lost):
            self._chance.shuffle(batch)
        writes = [partial(self._write, here, settled), partial(self._write, there, lost)]
        if jobs:
            together(writes if self._chance.random() < 0.5 else writes[:1])
            self.did["claimed"] += len(jobs)

    def _most(self) -> int | None:
        return self._chance.choice([None, 30])

    def _settled(self, driver: Driver, job: Job) -> list[Job]:
        """Return a job as it ends and what it is forwarded as, or as it waits again."""
        if self._chance.random() < 0.4:
            return [released(driver, job, self._chance.choice([0.0, 0.005]))]
        after = completed(driver, job)
        other = QUEUES[1 - QUEUES.index(job.queue)]
        made = machine.template(self._g.get_queue(other))
        copy = machine.create(made, "null", id=machine.forwarded_id(after, other), now=driver.now())
        return [copy, after]

    def _write(self, driver: Driver, groups: list[list[Job]]) -> None:
        try:
            driver.job_write([job for group in groups for job in group])
            self.did["settled"] += 1
        except Conflict:
            self.did["conflict"] += 1

    def cancel(self) -> None:
        """Cancel, delete or miss some job."""
        name = self._chance.choice(QUEUES)
        jobs = self._g.list(name, state="available", limit=20)
        for job in self._chance.sample(jobs, min(3, len(jobs))):
            deed = self._chance.choice([self._g.cancel, self._g.delete])
            try:
                deed(name, job.id)
                self.did["cancelled or deleted"] += 1
            except (InvalidTransition, UnknownJob):
                self.did["missed"] += 1

    def prune(self) -> None:
        """Prune what has ended, and now and then some that have not."""
        states: list[Any] = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]
        if self._chance.random() < 0.1:
            states = [JobState.AVAILABLE, JobState.EXECUTING]
        name = self._chance.choice(QUEUES)
        ids = self._drivers[1].job_prune(name, dict.fromkeys(states, "all"), 50)
        self.did["pruned"] += len(ids)

    def pause(self) -> None:
        """Pause for a moment."""
        name = self._chance.choice(QUEUES)
        for paused in (True, False):
            self.did["paused"] += self._drivers[0].queue_pause(name, paused)
            threading.Event().wait(0.002)


def test_whatever_is_done_at_once_the_server_breaks_no_deadlock(
    impatient: str, g: Gaffer, drivers: list[PostgresDriver], chance: random.Random
) -> None:
    """F21."""
    crowd = Crowd(g, drivers, chance)
    over = threading.Event()

    def repeat(deed: Callable[[], None]) -> None:
        while not over.is_set():
            deed()

    deeds = [crowd.insert, crowd.work, crowd.work, crowd.work, crowd.cancel, crowd.cancel]
    deeds += [crowd.prune, crowd.pause]
    end = threading.Timer(SECONDS, over.set)
    end.start()
    together([partial(repeat, deed) for deed in deeds], SECONDS + PATIENCE)
    for driver in drivers:
        driver.stop()  # a session reports at its end at the latest

    assert deadlocks(impatient) == 0
    expected = ["claimed", "settled", "conflict", "cancelled or deleted", "pruned", "paused"]
    assert [what for what in expected if crowd.did[what] < 10] == []


def test_a_claim_and_a_delete_of_a_due_job_of_a_chain_do_not_wait_for_each_other(
    impatient: str, schema: str, g: Gaffer, drivers: list[PostgresDriver]
) -> None:
    """F21."""
    sql = Statements(quoted(schema))
    job = g.insert("q", None, chain="a", delay=0.01)
    until(lambda: drivers[0].now() > (job.scheduled_at or job.created_at))
    too_early = ["q", 1, 1, "node", job.created_at.isoformat(), False]
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

    with psycopg.connect(impatient) as other:
        hold = psycopg.sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE")
        other.execute(hold.format(psycopg.sql.Identifier(schema, "jobs")), [first.id])
        deleting = threading.Thread(target=lambda: drivers[1].queue_delete("q", jobs=True))
        forwarding = threading.Thread(target=forward)
        deleting.start()
        until(lambda: _waiting(impatient) == 1)
        forwarding.start()
        until(lambda: _waiting(impatient) == 2)
        other.rollback()
    deleting.join(PATIENCE)
    forwarding.join(PATIENCE)
    for driver in drivers:
        driver.stop()

    assert outcomes == ["too late"]
    assert deadlocks(impatient) == 0


def _waiting(conninfo: str) -> int:
    query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = %s"
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query, [connection.info.dbname]).rowcount
