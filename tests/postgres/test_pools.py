"""The connections of a driver: few; those of a given pool come back as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row, scalar_row, tuple_row
from psycopg_pool import ConnectionPool, NullConnectionPool

from gaffer import Gaffer, Job
from gaffer.driver import DriverError, DriverUnavailable
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Calling, quiet
from tests.postgres.catalog import lock_of_migrations, waiting
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.verbs import claim
from tests.rig.waiting import KEEP, PATIENCE, until

MakePool = Callable[..., "ConnectionPool[Any]"]
MOST = 6
"""The connections of one process: four in its pool, one that beats, one that listens."""


@pytest.fixture
def make_pool(server: str) -> Iterator[MakePool]:
    """Give a factory of open pools of one connection, which close with the test."""
    with ExitStack() as stack:

        def make(conninfo: str | None = None, **settings: Any) -> ConnectionPool[Any]:
            options: dict[str, Any] = {"min_size": 1, "max_size": 1, "open": True, **settings}
            return stack.enter_context(ConnectionPool(conninfo or server, **options))

        yield make


def isolated(level: IsolationLevel | None) -> Callable[[psycopg.Connection[Any]], None]:
    """Return a `configure` of pools that sets the isolation of transactions."""

    def configure(connection: psycopg.Connection[Any]) -> None:
        connection.isolation_level = level

    return configure


# -- given -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"autocommit": True},
        {"row_factory": dict_row},
        {"row_factory": scalar_row},
        {"prepare_threshold": None},
        {"prepare_threshold": 0},
        {"cursor_factory": psycopg.ClientCursor},
        {"cursor_factory": psycopg.RawCursor, "autocommit": True, "row_factory": dict_row},
    ],
    ids=lambda kwargs: ", ".join(kwargs) or "plain",
)
@pytest.mark.parametrize("level", [None, IsolationLevel.SERIALIZABLE], ids=["default", "strict"])
def test_a_given_pool_stays_open_and_its_connections_come_back_as_they_were(
    kwargs: dict[str, Any],
    level: IsolationLevel | None,
    make_pool: MakePool,
    make_driver: MakeDriver,
) -> None:
    """B204."""
    names = ["autocommit", "isolation_level", "prepare_threshold", "row_factory", "cursor_factory"]
    asked = (
        "SELECT name, setting FROM pg_settings"
        " WHERE source = 'session' AND name NOT LIKE 'transaction%' ORDER BY name"
    )

    def state(connection: psycopg.Connection[Any]) -> list[Any]:
        with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
            settings = cursor.execute(asked).fetchall()
        connection.rollback()
        return [connection.info.backend_pid, settings, *(getattr(connection, n) for n in names)]

    pool = make_pool(kwargs=kwargs, configure=isolated(level))
    with pool.connection() as lent:
        before = state(lent)
    driver = make_driver(pool=pool)

    driver.start()
    live(driver)
    driver.stop()

    assert not pool.closed
    with pool.connection() as lent:
        assert lent.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        assert state(lent) == before


@pytest.mark.parametrize("own", [True, False], ids=["own pool", "given pool"])
def test_only_the_drivers_own_pool_is_closed_by_its_stop(
    own: bool,
    make_pool: MakePool,
    make_driver: MakeDriver,
    admin: psycopg.Connection,
    database: str,
) -> None:
    """B204."""
    pool = make_pool(database)
    driver = make_driver(database) if own else make_driver(pool=pool)
    with pool.connection() as lent:
        process = lent.info.backend_pid
    driver.start()
    live(driver)

    driver.stop()

    sessions = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
    name = conninfo_to_dict(database)["dbname"]
    until(lambda: admin.execute(sessions, [name]).fetchall() == [(process,)])


def test_a_pool_of_one_connection_is_enough_to_work_queues(
    make_pool: MakePool, make_driver: MakeDriver
) -> None:
    """F17."""
    driver = make_driver(pool=make_pool())
    with Gaffer(driver=driver) as gaffer_:
        queues = [
            gaffer_.ensure_queue(f"q{n}", worker=lambda job: None, max_workers=5) for n in range(5)
        ]
        for queue in queues:
            queue.insert_many(range(20))

        for queue in queues:
            queue.flush(PATIENCE)


def test_a_pool_that_makes_a_connection_for_each_call_can_be_given(
    server: str, make_driver: MakeDriver
) -> None:
    with NullConnectionPool(server, open=True) as pool:
        driver = make_driver(pool=pool)
        driver.start()
        live(driver)
        driver.stop()


def test_a_pool_that_says_all_by_arguments_of_connect_can_be_given(
    server: str, make_driver: MakeDriver, make_pool: MakePool
) -> None:
    kwargs = {**conninfo_to_dict(server), "row_factory": dict_row, "application_name": "mine"}
    driver = make_driver(pool=make_pool(" ", kwargs=kwargs))
    with Gaffer(driver=driver) as gaffer_:
        done = threading.Event()
        queue = gaffer_.ensure_queue("q", worker=lambda job: done.set(), poll_interval=3600.0)
        queue.insert(1)
        assert done.wait(PATIENCE)


def test_a_pool_that_is_not_open_is_refused(server: str, make_driver: MakeDriver) -> None:
    with pytest.raises(DriverError, match="the pool is not open"):
        make_driver(pool=ConnectionPool(server, open=False)).start()


def test_a_pool_whose_connections_are_all_taken_is_unavailable_for_now(
    make_pool: MakePool, make_driver: MakeDriver
) -> None:
    """F17."""
    pool = make_pool()
    driver = make_driver(pool=pool, timeout=0.5)
    driver.start()
    with pool.connection():
        began = time.monotonic()
        with pytest.raises(DriverUnavailable):
            driver.queue_list()
        assert time.monotonic() - began < 2.0

    live(driver)


def test_a_node_beats_while_its_jobs_hold_all_connections_of_a_given_pool(
    make_pool: MakePool, make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """F17."""
    pool, go = make_pool(max_size=2), threading.Event()
    inside: list[Job] = []
    beats = psycopg.sql.SQL("SELECT beat_at FROM {}").format(
        psycopg.sql.Identifier(schema, "nodes")
    )

    def hold(job: Job) -> None:
        with pool.connection(PATIENCE):
            inside.append(job)
            go.wait(PATIENCE)

    with Gaffer(make_driver(pool=pool), beat_interval=0.1) as gaffer_:
        queue = gaffer_.ensure_queue("q", worker=hold, max_workers=2, prune=KEEP)
        queue.insert_many(range(2))
        until(lambda: len(inside) == 2)
        seen: set[Any] = set()

        def beaten() -> bool:
            seen.update(admin.execute(beats).fetchall())
            return len(seen) > 5

        until(beaten)
        go.set()

        queue.flush(PATIENCE)
        assert [job.attempt for job in queue.list()] == [1, 1]


# -- servers with other defaults -------------------------------------------------------------------


@pytest.fixture(params=["serializable", "repeatable read"])
def strict(request: pytest.FixtureRequest, database: str) -> str:
    """Give the conninfo of a database whose transactions are not READ COMMITTED by default."""
    name, level = conninfo_to_dict(database)["dbname"], request.param
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{level}'".encode()
        )
    return database


@pytest.fixture(params=["own pool", "given pool"])
def make_strict(
    request: pytest.FixtureRequest, strict: str, make_pool: MakePool, make_driver: MakeDriver
) -> Callable[[], PostgresDriver]:
    """Give a factory of drivers on such a database, each with several connections."""
    if request.param == "own pool":
        return lambda: make_driver(strict, schema="jobs")
    return lambda: make_driver(pool=make_pool(strict, min_size=4, max_size=4), schema="jobs")


def test_claims_at_once_neither_fail_nor_exceed_a_limit_whatever_the_default_isolation(
    make_strict: Callable[[], PostgresDriver], admin: psycopg.Connection, strict: str
) -> None:
    """F20: what had to be tried again shows in the server's count of rollbacks."""
    name = str(conninfo_to_dict(strict)["dbname"])
    drivers = [make_strict() for _ in range(3)]
    for driver in drivers:
        driver.start()
    with Gaffer(driver=drivers[0], work=False) as gaffer_:
        gaffer_.ensure_queue("q", **quiet()).insert_many([1, 2, 3])
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = 'advisory'"
    with psycopg.connect(strict) as first:
        claiming = "SELECT id FROM jobs.claim_1('q', 1, 2, 'n', now(), false, '{}', '{}')"
        first.isolation_level = IsolationLevel.READ_COMMITTED
        first.execute(claiming).fetchall()
        claims = [Calling(partial(claim, driver, 3, most=2)) for driver in drivers]
        until(lambda: admin.execute(waits, [name]).fetchone() == (3,))

    assert sorted(len(calling.result()) for calling in claims) == [0, 0, 1]
    for driver in drivers:
        driver.stop()
    assert rollbacks(admin, name) == 0


def rollbacks(admin: psycopg.Connection, database: str) -> int:
    """Return how often a transaction was rolled back, once all sessions have told theirs."""
    ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    admin.execute(ended, [database])
    asked = "SELECT xact_rollback FROM pg_stat_database WHERE datname = %s"
    [(count,)] = admin.execute(asked, [database]).fetchall()
    return int(count)


def test_migrations_at_once_are_applied_once_whatever_the_default_isolation(
    make_strict: Callable[[], PostgresDriver], admin: psycopg.Connection, strict: str
) -> None:
    """F20, F60: who waited for the lock must see what was done under it."""
    migrate_at_once([make_strict() for _ in range(3)], strict)


def test_migrations_at_once_are_applied_once_whatever_the_pool_is_set_to(
    make_pool: MakePool, make_driver: MakeDriver, database: str
) -> None:
    """F20, F60."""
    configure = isolated(IsolationLevel.SERIALIZABLE)
    pools = [make_pool(database, configure=configure) for _ in range(3)]
    migrate_at_once([make_driver(pool=pool, schema="jobs") for pool in pools], database)


def migrate_at_once(drivers: list[PostgresDriver], conninfo: str) -> None:
    """Start *drivers* on the schema "jobs" so that all of them wait for its lock."""
    key = lock_of_migrations("jobs")
    with psycopg.connect(conninfo, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key])
        starts = [Calling(driver.start) for driver in drivers]
        until(lambda: len({process for process, _ in waiting(other, key)}) == len(drivers))
        other.execute("SELECT pg_advisory_unlock(%s)", [key])
        for start in starts:
            start.result()
    live(drivers[0])


# -- how many, and how busy ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 30])
def test_a_process_has_six_connections_at_most_however_many_queues_and_workers_it_has(
    number: int, make_driver: MakeDriver, admin: psycopg.Connection, database: str
) -> None:
    """F43."""
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    name, most = conninfo_to_dict(database)["dbname"], 0
    with Gaffer(driver=make_driver(database)) as gaffer_:
        queues = [
            gaffer_.ensure_queue(f"q{n}", worker=lambda job: None, max_workers=20)
            for n in range(number)
        ]
        for queue in queues:
            queue.insert_many(range(600 // number))
        flushing = [Calling(lambda queue=queue: queue.flush(PATIENCE)) for queue in queues]  # type: ignore[misc]
        while not all(calling.returned for calling in flushing):
            [(now,)] = admin.execute(count, [name]).fetchall()
            most = max(most, now)
        for calling in flushing:
            calling.result()

    assert 3 <= most <= MOST


def test_fifty_idle_queues_ask_hardly_more_often_than_one(
    make_driver: MakeDriver, admin: psycopg.Connection, database: str
) -> None:
    """F29."""
    name = str(conninfo_to_dict(database)["dbname"])
    with Gaffer(driver=make_driver(database)) as gaffer_:
        gaffer_.ensure_queue("q", worker=lambda job: None)
        one = rate(admin, name)
    assert 2.0 < one < 25.0

    with Gaffer(driver=make_driver(database)) as gaffer_:
        for n in range(50):
            gaffer_.ensure_queue(f"q{n}", worker=lambda job: None)
        until(lambda: rate(admin, name) < 1.6 * one)  # once all that is new is done


def rate(admin: psycopg.Connection, database: str) -> float:
    """Return how many transactions a second there are in *database*, once it has calmed down."""
    asked = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
    marks: list[tuple[float, int]] = []
    began = time.monotonic()

    def enough() -> bool:
        # Sessions tell their numbers about once a second.
        [(commits,)] = admin.execute(asked, [database]).fetchall()
        now = time.monotonic()
        if now - began > 1.5 and (not marks or commits != marks[-1][1]):
            marks.append((now, commits))
        return len(marks) > 2 and now - marks[1][0] > 2.5

    until(enough)
    return (marks[-1][1] - marks[1][1]) / (marks[-1][0] - marks[1][0])
