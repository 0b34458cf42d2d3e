"""Sessions that are ended and servers that go away: nobody notices, but for the time it takes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gaffer import Gaffer, Job, JobsClaimed, JobState, Queue
from gaffer.driver import DriverUnavailable
from gaffer_driver_postgres import EmbeddedServer, PostgresDriver
from tests.rig.waiting import KEEP, PATIENCE, Gate, Recorder, threads, together, took, until

from .conftest import MakeDriver
from .verbs import seeded


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers."""
    return seeded(request)


# -- sessions that are ended -----------------------------------------------------------------------


class Ender:
    """Ends sessions of the drivers on a conninfo that carries the name *who*."""

    def __init__(self, admin: psycopg.Connection, who: str) -> None:
        self._admin = admin
        self._who = who

    def sessions(self) -> list[int]:
        """Return the processes that serve them."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
        return [pid for (pid,) in self._admin.execute(query, [self._who]).fetchall()]

    def end(self, *pids: int) -> None:
        """End some sessions, or all."""
        self._admin.execute("SELECT pg_terminate_backend(p) FROM unnest(%s) p", [[*pids]])

    def end_all(self) -> None:
        """End all sessions."""
        self.end(*self.sessions())


@pytest.fixture
def driver(make_driver: MakeDriver, server: str, schema: str) -> PostgresDriver:
    """Give a started driver whose sessions are known by name."""
    made = make_driver(make_conninfo(server, application_name=schema))
    made.start()
    return made


@pytest.fixture
def ender(driver: PostgresDriver, admin: psycopg.Connection, schema: str) -> Ender:
    """Give what ends the sessions of `driver`."""
    return Ender(admin, schema)


def test_sessions_that_are_ended_at_random_are_noticed_by_nobody(
    driver: PostgresDriver, ender: Ender, chance: random.Random
) -> None:
    """F13."""
    over = threading.Event()
    inserted: list[Job] = []
    ended: list[int] = []
    with Gaffer(driver, beat_interval=0.2, lease=20.0) as g:
        queue = g.ensure_queue("q", worker=lambda job: None, max_workers=4, prune=KEEP)

        def insert() -> None:
            while not over.wait(0.002):
                inserted.append(queue.insert(1))
                inserted.extend(queue.insert_many([2, 3]))

        def end() -> None:
            deadline = time.monotonic() + 6.0
            while time.monotonic() < deadline:
                sessions = ender.sessions()
                if sessions:
                    ended.append(chance.choice(sessions))
                    ender.end(ended[-1])
                over.wait(0.05)
            over.set()

        together([insert, insert, end])
        until(lambda: not queue.list(state="incomplete", limit=1))
        stored = queue.list(state="completed")

    assert len(ended) > 50
    assert len(inserted) > 100
    assert sorted(job.id for job in stored) == sorted(job.id for job in inserted)


def test_notifications_are_heard_again_soon_after_the_session_was_ended(
    driver: PostgresDriver, ender: Ender, make_driver: MakeDriver
) -> None:
    """F16."""
    other = make_driver()
    other.start()
    woken = threading.Event()
    with Gaffer(other, work=False) as g:
        queue = g.ensure_queue("q")
        end = driver.subscribe("q", 30.0, woken.set)
        assert end is not None
        until(lambda: _hears(queue, woken))

        ender.end_all()
        used = time.process_time()
        with took(0.0, 6.0):
            until(lambda: _hears(queue, woken))

        assert time.process_time() - used < 1.0, "it spins"
        end()


def _hears(queue: Queue, woken: threading.Event) -> bool:
    for _ in range(4):  # one may be woken by something else
        woken.clear()
        queue.insert(None)
        if not woken.wait(0.2):
            return False
    return True


def test_sessions_that_have_become_read_only_are_all_replaced_at_once(
    database: str, schema: str, make_driver: MakeDriver
) -> None:
    """F28: as those are which lead to a primary that has become a replica."""
    driver = make_driver(make_conninfo(database, target_session_attrs="any"))
    driver.start()
    with psycopg.connect(database, autocommit=True) as other:
        name = psycopg.sql.Identifier(other.info.dbname)
        change = psycopg.sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
        other.execute(change.format(name, "on"))
        grow(driver, database, schema)
        other.execute("SET default_transaction_read_only = off")
        other.execute(change.format(name, "off"))

    for number in range(6):
        driver.queue_insert(f"queue {number}")

    assert len(driver.queue_list()) == 6


def grow(driver: PostgresDriver, conninfo: str, schema: str) -> None:
    """Have the pool of *driver* open all its four connections."""
    busy = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    table = psycopg.sql.Identifier(schema, "queues")
    with psycopg.connect(conninfo) as holding, psycopg.connect(conninfo, autocommit=True) as admin:
        holding.read_only = False
        holding.execute(psycopg.sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
        readers = [threading.Thread(target=driver.queue_list) for _ in range(4)]
        for reader in readers:
            reader.start()
        until(lambda: admin.execute(busy).fetchone() == (4,))
        holding.rollback()
        for reader in readers:
            reader.join(PATIENCE)


# -- servers that go away --------------------------------------------------------------------------

LEASE = 1.0


class Restarted:
    """A server of its own, which can be gone for a while."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._servers = [EmbeddedServer(path)]
        self.conninfo = self._servers[0].start()

    def crash(self, how: signal.Signals) -> None:
        """End it: SIGQUIT is what ``pg_ctl stop -m immediate`` sends."""
        os.kill(int((self.path / "postmaster.pid").read_text().split()[0]), how)
        until(lambda: not self.answers())

    def answers(self) -> bool:
        """Return whether it takes connections."""
        try:
            psycopg.connect(self.conninfo).close()
        except psycopg.OperationalError:
            return False
        return True

    def start(self) -> None:
        """Have it back."""
        self._servers.append(EmbeddedServer(self.path))
        assert self._servers[-1].start() == self.conninfo

    def stop(self) -> None:
        """Stop it for good."""
        for server in self._servers:
            server.stop()


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    """Give a server that nobody else uses."""
    made = Restarted(tmp_path_factory.mktemp("server") / "data")
    yield made
    made.stop()


@pytest.fixture
def nodes(restarted: Restarted, schema: str) -> Iterator[list[Gaffer]]:
    """Give two Gaffers there, as two processes would be."""
    drivers = [PostgresDriver(restarted.conninfo, schema=schema, timeout=2.0) for _ in range(2)]
    made = []
    for driver in drivers:
        driver.start()
        made.append(Gaffer(driver, beat_interval=0.2, lease=LEASE))
    yield made
    for g, driver in zip(made, drivers, strict=True):
        g.stop(0)
        driver.stop()


def services() -> set[str]:
    """Return the threads that gaffer keeps, but for those that wait for jobs and may go."""
    return {thread.name for thread in threads() if ":worker" not in thread.name}


def unavailable(queue: Queue) -> bool:
    """Return whether the storage does not answer."""
    try:
        queue.info()
    except DriverUnavailable:
        return True
    return False


def ended(queue: Queue) -> int:
    """Return how many jobs have completed."""
    return queue.stats()[JobState.COMPLETED].count


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL])
def test_a_server_that_was_away_finds_everybody_at_work(
    how: signal.Signals, restarted: Restarted, nodes: list[Gaffer]
) -> None:
    """F4, F11, F12, C9."""
    gates, seen = [Gate(), Gate()], [Recorder(), Recorder()]

    def begun(number: int) -> bool:
        return sum(len(gate.started) for gate in gates) >= number

    queues = [
        g.ensure_queue("q", worker=gate, hooks=[hook], prune=KEEP)
        for g, gate, hook in zip(nodes, gates, seen, strict=True)
    ]
    for number in range(2):
        queues[0].insert(f"held {number}")
        until(partial(begun, number + 1))
    waiting = queues[0].insert_many(["waiting"] * 10)
    before = services()

    restarted.crash(how)
    gone_at = time.monotonic()
    for gate in gates:
        gate.open.set()
    until(lambda: unavailable(queues[0]))  # a session may outlive a server that was killed
    inserting = threading.Thread(target=lambda: queues[1].insert("waits, too"))
    inserting.start()
    until(lambda: time.monotonic() > gone_at + 3 * LEASE)
    claims = sum(len(hook.of(JobsClaimed)) for hook in seen)
    restarted.start()
    back_at = time.monotonic()

    until(lambda: sum(len(hook.of(JobsClaimed)) for hook in seen) > claims)
    assert time.monotonic() - back_at <= 5.0
    inserting.join(PATIENCE)
    until(lambda: ended(queues[0]) == len(waiting) + 3)
    assert {job.attempt for job in queues[0].list()} == {1}
    assert begun(len(waiting) + 3)
    assert not begun(len(waiting) + 4), "some ran twice"
    assert services() == before
