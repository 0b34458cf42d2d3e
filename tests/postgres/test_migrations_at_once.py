"""Migrations by many processes at once, beside readers and writers, and cut off by SIGKILL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from gaffer.driver import Claim
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Calling
from tests.postgres.catalog import exists, lock_of_migrations, structure, versions, waiting
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.migrating import Migrating
from tests.rig.waiting import until

GATE = 4711


@pytest.fixture
def schemas(admin: psycopg.Connection) -> Iterator[list[str]]:
    """Give names of schemas that do not exist; what becomes of them is dropped."""
    names = [f"gaffer_test_{uuid4().hex[:12]}" for _ in range(11)]
    yield names
    for name in names:
        admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())


def start_processes(stack: ExitStack, server: str, number: int) -> list[Migrating]:
    """Return processes that are ready to migrate."""
    made = [Migrating(server) for _ in range(number)]
    for process in made:
        stack.callback(process.kill)
    assert {process.line() for process in made} == {"ready"}
    return made


# -- the lock --------------------------------------------------------------------------------------


def test_a_start_on_a_migrated_schema_takes_no_lock(
    driver: PostgresDriver, make_driver: MakeDriver, server: str, schema: str
) -> None:
    """B197, B199."""
    with psycopg.connect(server) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_of_migrations(schema)])
        began = time.monotonic()

        make_driver().start()
        make_driver(migrate=False).start()
        driver.migrate()

        assert time.monotonic() - began < 1.5


def test_a_start_waits_for_the_lock_in_pieces_and_then_migrates(
    make_driver: MakeDriver, admin: psycopg.Connection, server: str, schema: str
) -> None:
    """B199: each piece is a transaction of its own, as a long one would hold up vacuum."""
    key, driver = lock_of_migrations(schema), make_driver()
    seen: set[tuple[int, str]] = set()
    with psycopg.connect(server) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [key])
        start = Calling(driver.start)

        def waits_anew() -> bool:
            seen.update(waiting(admin, key))
            return len({began for _, began in seen}) >= 2

        until(waits_anew)
        assert not start.returned
        assert not exists(admin, schema)

    start.result()
    live(driver)


def test_other_schemas_do_not_wait_for_the_lock_of_one(
    make_driver: MakeDriver, schemas: list[str], server: str, schema: str
) -> None:
    with psycopg.connect(server) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_of_migrations(schema)])
        began = time.monotonic()

        make_driver(schema=schemas[0]).start()

        assert time.monotonic() - began < 1.5


def test_migrations_of_threads_that_start_at_once_are_applied_once(
    make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B199."""
    drivers = [make_driver() for _ in range(8)]
    barrier = threading.Barrier(len(drivers))

    def start(driver: PostgresDriver) -> None:
        barrier.wait(10)
        driver.start()

    for calling in [Calling(partial(start, driver)) for driver in drivers]:
        calling.result()

    rows = admin.execute(f'SELECT version FROM "{schema}".migrations ORDER BY 1'.encode())
    assert [version for (version,) in rows] == drivers[0].migrations().all
    assert len({driver.storage for driver in drivers}) == 1


def test_a_change_of_tables_behind_a_reader_does_not_stop_claims_for_long(
    driver: PostgresDriver, make_driver: MakeDriver, server: str, admin: psycopg.Connection
) -> None:
    """F60: what waits for a table stops all others that come later, so it waits 2 s at most."""
    driver.queue_insert("q")
    claim = Claim(queue="q", limit=1, global_max_workers=1, node="n", now=driver.now())
    schema = driver.migration_sql().partition('"')[2].partition('"')[0]
    other = make_driver()
    with psycopg.connect(server) as reader:
        reader.execute(f'SELECT count(*) FROM "{schema}".jobs'.encode())
        rollback = Calling(lambda: other.rollback(0))
        slowest, began = 0.0, time.monotonic()
        while time.monotonic() - began < 2.5:
            before = time.monotonic()
            driver.job_claim(claim)
            slowest = max(slowest, time.monotonic() - before)
        assert not rollback.returned

    rollback.result()
    assert 1.0 < slowest < 2.5, "the rollback did not wait for the table, or for too long"
    assert structure(admin, schema) == []


# -- processes -------------------------------------------------------------------------------------


def test_twenty_processes_that_start_at_once_on_an_empty_database_all_succeed(
    server: str, database: str
) -> None:
    """B199, F60."""
    with ExitStack() as stack:
        processes = start_processes(stack, database, 20)
        for schema in ("one", "two", "three"):
            for process in processes:
                process.tell(schema)

            assert [process.line() for process in processes] == ["True"] * 20


def test_processes_killed_at_any_moment_of_a_migration_leave_all_or_nothing(
    make_driver: MakeDriver, schemas: list[str], server: str, admin: psycopg.Connection
) -> None:
    """B199, F60."""
    make_driver(schema=schemas[0]).start()
    whole = structure(admin, schemas.pop(0))
    outcomes = []
    with ExitStack() as stack:
        for number, process in enumerate(start_processes(stack, server, len(schemas))):
            schema, key = schemas[number], lock_of_migrations(schemas[number])
            process.tell(schema)
            threading.Event().wait(0.025 * number)  # from before its first statement on
            process.kill()
            # Its server process goes on to the end of its statement.
            admin.execute("SELECT pg_advisory_lock(%s), pg_advisory_unlock(%s)", [key, key])
            found = structure(admin, schema) if exists(admin, schema) else []
            outcomes.append(found)
            make_driver(schema=schema).start()
            assert structure(admin, schema) == whole

    assert all(found in ([], whole) for found in outcomes)
    assert [] in outcomes


def test_a_process_killed_in_the_middle_of_a_migration_leaves_nothing(
    make_driver: MakeDriver, admin: psycopg.Connection, server: str, schema: str
) -> None:
    """B199, F60."""
    with ExitStack() as stack:
        [process] = start_processes(stack, server, 1)
        with psycopg.connect(server) as gate:
            gate.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])
            process.tell(schema, GATE)
            until(lambda: waiting(admin, GATE))  # all but its last statement is done

            process.kill()

        key = lock_of_migrations(schema)  # which its session holds until it notices
        admin.execute("SELECT pg_advisory_lock(%s), pg_advisory_unlock(%s)", [key, key])
        assert not exists(admin, schema)
        driver = make_driver()
        driver.start()
        assert driver.migrations().applied == driver.migrations().all
        live(driver)


def test_a_process_killed_in_the_middle_of_an_update_leaves_what_was(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    """B199, F60."""
    schema = driver.migration_sql().partition('"')[2].partition('"')[0]
    before = versions(admin, schema)
    with ExitStack() as stack:
        [process] = start_processes(stack, server, 1)
        with psycopg.connect(server) as gate:
            gate.execute("SELECT pg_advisory_xact_lock(%s)", [GATE])
            process.tell(schema, GATE)
            until(lambda: waiting(admin, GATE))

            process.kill()

    until(lambda: not waiting(admin, GATE))
    assert versions(admin, schema) == before
    live(driver)
