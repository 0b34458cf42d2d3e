"""What the tests of the PostgreSQL driver share: schemas and databases that nobody else has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gaffer_driver_postgres import PostgresDriver
from tests.rig.audit import Audit
from tests.rig.pooler import program
from tests.rig.processes import Worker
from tests.rig.waiting import KEEP

# pgbouncer comes with the system, not with pip; .ci/run installs it where it can.
collect_ignore = [] if program() else ["test_pooler.py"]

MakeDriver = Callable[..., PostgresDriver]
Work = Callable[..., Worker]

LEASE = 2.0
PULSE = {"lease": LEASE, "beat_interval": 0.5}


@pytest.fixture
def admin(server: str) -> Iterator[psycopg.Connection]:
    """Give an autocommitting connection to look behind the driver with.

    It waits for no lock for ever: what a failed test has left locked fails its end.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '30s'")
        yield connection


@pytest.fixture
def schema(admin: psycopg.Connection) -> Iterator[str]:
    """Give the name of a schema that does not exist; what becomes of it is dropped."""
    name = f"gaffer_test_{uuid4().hex[:12]}"
    yield name
    admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())


@pytest.fixture
def make_driver(server: str, schema: str) -> Iterator[MakeDriver]:
    """Give a factory of drivers, not started, on `schema`; they stop with the test."""
    made: list[PostgresDriver] = []

    def make(conninfo: str | None = None, **options: Any) -> PostgresDriver:
        target = {} if "pool" in options else {"conninfo": conninfo or server}
        made.append(PostgresDriver(**{"schema": schema, **target, **options}))
        return made[-1]

    yield make
    for driver in made:
        driver.stop()


@pytest.fixture
def driver(make_driver: MakeDriver) -> PostgresDriver:
    """Give a started driver on a schema of its own."""
    made = make_driver()
    made.start()
    return made


@pytest.fixture
def database(server: str, admin: psycopg.Connection) -> Iterator[str]:
    """Give the conninfo of a database of its own, for what concerns all of one."""
    name = f"gaffer_test_{uuid4().hex[:12]}"
    admin.execute(f'CREATE DATABASE "{name}"'.encode())
    yield psycopg.conninfo.make_conninfo(server, dbname=name)
    admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def audit(admin: psycopg.Connection, driver: PostgresDriver, schema: str) -> Audit:
    """Give the account of what happens to jobs."""
    return Audit(admin, schema)


@pytest.fixture
def work(server: str, schema: str, audit: Audit) -> Iterator[Work]:
    """Give a factory of processes that work queues of these options; they end with the test.

    Their jobs write what they do into the account.
    """
    workers: list[Worker] = []

    def make(notify: bool = True, pulse: Mapping[str, float] = PULSE, **queues: Any) -> Worker:
        settings = {
            "conninfo": server,
            "effects": server,
            "driver": {"schema": schema, "notify": notify},
            "gaffer": pulse,
            "queues": {
                name: {"prune": KEEP, "poll_interval": 0.05, **options}
                for name, options in queues.items()
            },
        }
        workers.append(Worker(settings))
        return workers[-1]

    yield make
    for worker in workers:
        worker.kill()
