"""The schema itself: what it refuses, what it fills in, and its SQL for those who apply it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Placeholder

from gaffer.driver import DriverError
from gaffer_driver_postgres import PostgresDriver
from tests.postgres.catalog import exists, structure
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live

NEEDED = {
    "queue_id": 1,
    "created_at": "2026-01-01T00:00:00Z",
    "timeout": 1.0,
    "shutdown_timeout": 1.0,
    "backoff": "1.0",
    "payload": "null",
}


@pytest.fixture
def put(driver: PostgresDriver, admin: psycopg.Connection, schema: str) -> Any:
    """Give a function that inserts a job behind the driver, and returns its row."""

    def insert(**values: Any) -> dict[str, Any]:
        row = {**NEEDED, "id": uuid4(), **values}
        statement = SQL("INSERT INTO {}.jobs ({}) VALUES ({}) RETURNING *").format(
            Identifier(schema),
            SQL(", ").join(map(Identifier, row)),
            SQL(", ").join(map(Placeholder, row)),
        )
        with admin.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            [found] = cursor.execute(statement, row).fetchall()
        return found

    return insert


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"attempt": -1}, "jobs_attempt_in_range"),
        ({"attempt": 2}, "jobs_attempt_in_range"),
        ({"attempt": 4, "max_attempts": 3}, "jobs_attempt_in_range"),
        ({"max_attempts": 0}, "jobs_max_attempts_positive"),
        ({"max_attempts": -1, "attempt": -1}, "jobs_"),
        ({"state": "done"}, "jobs_state_known"),
    ],
)
def test_the_schema_refuses_numbers_out_of_range_and_unknown_states(
    values: dict[str, Any], constraint: str, put: Any
) -> None:
    """F54, B196."""
    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        put(**values)

    assert raised.value.sqlstate == "23514"
    assert str(raised.value.diag.constraint_name).startswith(constraint)


def test_the_schema_takes_the_ends_of_the_ranges(put: Any) -> None:
    """B196."""
    assert put(attempt=3, max_attempts=3)["attempt"] == 3
    assert put(attempt=0, max_attempts=1)["max_attempts"] == 1


def test_the_schema_fills_in_what_a_new_job_has(put: Any) -> None:
    """B196."""
    row = put()

    filled = {name: value for name, value in row.items() if name not in ("id", *NEEDED)}
    assert {name: value for name, value in filled.items() if value is not None} == {
        "attempt": 0,
        "max_attempts": 1,
        "priority": 0,
        "revision": 0,
        "hops": 0,
        "state": "available",
    }


@pytest.mark.parametrize("lacking", [*NEEDED, "id"])
def test_the_schema_refuses_a_job_that_lacks_what_each_has(lacking: str, put: Any) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        put(**{lacking: None})


def test_the_schema_refuses_a_second_queue_of_a_name(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    driver.queue_insert("q")

    with pytest.raises(psycopg.errors.UniqueViolation):
        admin.execute(f"INSERT INTO \"{schema}\".queues (name) VALUES ('q')".encode())


# -- printed ---------------------------------------------------------------------------------------


def test_the_printed_sql_leaves_the_schema_that_start_would(
    make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    driver = make_driver(migrate=False)

    for _ in range(2):  # applied again it does no harm
        admin.execute(driver.migration_sql().encode())

    driver.start()
    live(driver)
    printed = structure(admin, schema)
    driver.rollback(0)
    driver.migrate()
    assert structure(admin, schema) == printed


def test_the_printed_sql_is_one_transaction(
    make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    script = make_driver().migration_sql()
    lines = [line for line in script.splitlines() if line]
    assert (lines[0], lines[-1]) == ("BEGIN;", "COMMIT;")  # psql sends each statement by itself

    with pytest.raises(psycopg.errors.DivisionByZero):
        admin.execute(script.replace("COMMIT;", "SELECT 1 / 0; COMMIT;").encode())

    admin.execute("ROLLBACK")
    assert not exists(admin, schema)


@pytest.mark.parametrize("table", ["queues", "jobs", "nodes", "migrations"])
def test_tables_of_somebody_else_are_not_taken_for_gaffers(
    admin: psycopg.Connection, schema: str, make_driver: MakeDriver, table: str
) -> None:
    admin.execute(f'CREATE SCHEMA "{schema}"'.encode())
    admin.execute(f'CREATE TABLE "{schema}".{table} (id integer PRIMARY KEY)'.encode())

    with pytest.raises(DriverError, match=f"has '{table}' of somebody else"):
        make_driver().start()

    tables = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
    assert admin.execute(tables, [schema]).fetchall() == [(table,)]
