"""What is no connection of this driver's kind, or cannot take a job, is refused in clear words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from gaffer import Gaffer, Queue
from gaffer.driver import DriverError
from tests.conftest import quiet
from tests.postgres.transactions import django_db, engine_on


@pytest.fixture
def queue(manual: Gaffer) -> Queue:
    """Give a queue."""
    return manual.ensure_queue("q", worker=lambda job: None, **quiet())


class Psycopg2Connection:
    """Looks like a connection of psycopg2, as far as anybody can tell by its class."""

    __module__ = "psycopg2.extensions"
    __qualname__ = "connection"

    def cursor(self) -> None:
        """Be there."""


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("postgresql://localhost/app", "<builtins.str>"),
        ("", "<builtins.str>"),
        (0, "<builtins.int>"),
        (False, "<builtins.bool>"),
        (object(), "<builtins.object>"),
        (psycopg, "<builtins.module>"),
        (psycopg.Connection, "<builtins.type>"),
        (Psycopg2Connection(), "<psycopg2.extensions.connection>.*this one is of psycopg2"),
    ],
)
def test_what_is_no_connection_is_refused_with_what_would_be_one(
    value: Any, said: str, queue: Queue
) -> None:
    for insert in (queue.insert, queue.insert_many):
        payload: Any = [1]
        with pytest.raises(DriverError, match=f"connection={said}") as raised:
            insert(payload, connection=value)
        for right in ("psycopg 3 connection", "django.db.connection", "SQLAlchemy", "Session"):
            assert right in str(raised.value)

    assert queue.list() == []


def test_a_cursor_is_refused(queue: Queue, admin: psycopg.Connection) -> None:
    with pytest.raises(DriverError, match="give a psycopg 3 connection"):
        queue.insert(1, connection=admin.cursor().execute)


def test_a_closed_connection_is_refused(queue: Queue, server: str) -> None:
    connection = psycopg.connect(server)
    connection.close()

    with pytest.raises(DriverError, match="the connection is closed"):
        queue.insert(1, connection=connection)


def test_an_asynchronous_connection_is_refused(queue: Queue, server: str) -> None:
    asyncio = import_module("asyncio")

    async def insert() -> None:
        async with await psycopg.AsyncConnection.connect(server) as connection:
            with pytest.raises(DriverError, match="this one is asynchronous"):
                queue.insert(1, connection=connection)

    asyncio.run(insert())


@pytest.fixture
def sqlite() -> Iterator[sqlalchemy.Engine]:
    """Give an engine of another database."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool)
    yield engine
    engine.dispose()


def test_connections_of_other_databases_are_refused(
    queue: Queue, sqlite: sqlalchemy.Engine
) -> None:
    backend = import_module("django.db.backends.sqlite3.base")
    with sqlite.connect() as connection, Session(sqlite) as session:
        plain = sqlite3.connect(":memory:")
        django = backend.DatabaseWrapper(settings_of_sqlite())
        try:
            for value in (connection, session, plain, django):
                with pytest.raises(DriverError, match="give a psycopg 3 connection") as raised:
                    queue.insert(1, connection=value)
                assert type(value).__qualname__ in str(raised.value)
        finally:
            plain.close()
            django.close()


def settings_of_sqlite() -> dict[str, Any]:
    """Return what Django takes for a database in memory."""
    names = ["ATOMIC_REQUESTS", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "TIME_ZONE"]
    return {
        **dict.fromkeys(names),
        "AUTOCOMMIT": True,
        "NAME": ":memory:",
        "OPTIONS": {},
        "TEST": {},
    }


def test_an_engine_is_refused(queue: Queue, server: str) -> None:
    with (
        engine_on(server) as engine,
        pytest.raises(DriverError, match="SQLAlchemy Connection or Session"),
    ):
        queue.insert(1, connection=engine)


def test_what_sqlalchemy_cannot_use_is_refused_with_its_reason(queue: Queue, server: str) -> None:
    with engine_on(server) as engine:
        closed = engine.connect()
        closed.close()
        for value, reason in [(closed, "closed"), (Session(), "not bound")]:
            with pytest.raises(DriverError, match=f"connection=<sqlalchemy.*{reason}"):
                queue.insert(1, connection=value)


def test_a_database_without_the_schema_is_refused_and_its_transaction_goes_on(
    queue: Queue, database: str
) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE notes (n integer)")
        for payloads in ([1], [2, 3]):
            with pytest.raises(DriverError, match="is this the right database and schema"):
                queue.insert_many(payloads, connection=connection)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone() == (0,)

    assert queue.list() == []


def test_a_transaction_that_has_failed_takes_no_job(queue: Queue, server: str) -> None:
    with psycopg.connect(server) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(DriverError, match="transaction has failed"):
            queue.insert(1, connection=connection)
        connection.rollback()

        job = queue.insert(2, connection=connection)

    assert queue.list() == [job]


def test_a_failed_django_transaction_takes_no_job(queue: Queue, server: str) -> None:
    db = django_db(server)
    try:
        with db.transaction.atomic():
            with pytest.raises(db.utils.DataError):
                db.connection.cursor().execute("SELECT 1 / 0")
            with pytest.raises(DriverError, match="transaction has failed"):
                queue.insert(1, connection=db.connection)
            db.transaction.set_rollback(True)
        job = queue.insert(2, connection=db.connection)
    finally:
        db.connection.close()

    assert queue.list() == [job]


def test_a_read_only_transaction_takes_no_job(queue: Queue, server: str) -> None:
    with psycopg.connect(server) as connection:
        connection.read_only = True

        with pytest.raises(DriverError, match="read-only transaction"):
            queue.insert(1, connection=connection)

    assert queue.list() == []


def test_a_connection_that_cannot_say_a_payload_names_its_encoding(
    queue: Queue, server: str
) -> None:
    with psycopg.connect(server, client_encoding="latin1") as connection:
        job = queue.insert("é", connection=connection)
        with pytest.raises(DriverError, match="client_encoding"):
            queue.insert("☃", connection=connection)
        other = queue.insert_many([1, 2], connection=connection)

    assert queue.list() == [job, *other]


def test_a_connection_that_breaks_leaves_nothing_and_says_so(
    queue: Queue, server: str, admin: psycopg.Connection
) -> None:
    with psycopg.connect(server) as connection:
        queue.insert(1, connection=connection)
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

        with pytest.raises(DriverError):
            queue.insert(2, connection=connection)
        with pytest.raises(DriverError, match="the connection is closed"):
            queue.insert(3, connection=connection)

    assert queue.list() == []
