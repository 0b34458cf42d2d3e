"""What a driver is told, by arguments or a URL: all of it understood, or refused in clear words."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from gaffer.discovery import open_driver
from gaffer.driver import DriverError
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.options import Options, from_url
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live

SECRET = "geheim"


def told(url: str) -> Options:
    """Return the options in a URL."""
    return from_url(url)[1]


# -- by arguments and by URL -----------------------------------------------------------------------


def test_the_driver_takes_every_option_with_its_default() -> None:
    taken = inspect.signature(PostgresDriver).parameters

    assert {name: taken[name].default for name in taken if name not in ("conninfo", "pool")} == {
        option.name: option.default for option in fields(Options)
    }


def test_a_url_without_options_has_the_defaults() -> None:
    assert told("postgresql://localhost/app") == told("postgres://") == Options()


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("schema=jobs", {"schema": "jobs"}),
        ("schema=caf%C3%A9-2", {"schema": "café-2"}),
        ("migrate=false", {"migrate": False}),
        ("migrate=True", {"migrate": True}),
        ("notify=0", {"notify": False}),
        ("notify=on", {"notify": True}),
        ("pooler=true", {"pooler": True}),
        ("pooler=off", {"pooler": False}),
        ("pooler=auto", {"pooler": None}),
        ("max_connections=7", {"max_connections": 7}),
        ("timeout=2.5", {"timeout": 2.5}),
        ("timeout=3", {"timeout": 3.0}),
        ("schema=a&timeout=1&migrate=0", {"schema": "a", "timeout": 1.0, "migrate": False}),
    ],
)
def test_every_option_can_stand_in_a_url(text: str, option: dict[str, Any]) -> None:
    assert told(f"postgresql://localhost/app?{text}") == Options(**option)
    assert told(f"postgresql://localhost/app?connect_timeout=3&{text}&sslmode=disable") == Options(
        **option
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"migrate": 1}, "migrate=1: must be True or False"),
        ({"notify": "yes"}, "notify='yes': must be True or False"),
        ({"pooler": "auto"}, "pooler='auto': must be True, False or None"),
        ({"max_connections": 0}, "max_connections=0: must be 1 to 1000"),
        ({"max_connections": 1001}, "max_connections=1001: must be 1 to 1000"),
        ({"max_connections": True}, "max_connections=True: must be 1 to 1000"),
        ({"max_connections": 2.0}, "max_connections=2.0: must be 1 to 1000"),
        ({"timeout": 0.05}, "timeout=0.05: must be 0.1 to 3600 seconds"),
        ({"timeout": 3601}, "timeout=3601: must be 0.1 to 3600 seconds"),
        ({"timeout": float("nan")}, "timeout=nan: must be 0.1 to 3600 seconds"),
        ({"timeout": float("inf")}, "timeout=inf: must be 0.1 to 3600 seconds"),
        ({"timeout": True}, "timeout=True: must be seconds"),
        ({"timeout": None}, "timeout=None: must be seconds"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_would_be_right(
    option: dict[str, Any], said: str
) -> None:
    with pytest.raises(DriverError) as raised:
        PostgresDriver(**option)

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("migrate=maybe", "migrate=maybe: must be true or false"),
        ("migrate=", "migrate=: must be true or false"),
        ("migrate", "migrate=: must be true or false"),
        ("notify=2", "notify=2: must be true or false"),
        ("pooler=none", "pooler=none: must be true or false"),
        ("max_connections=many", "max_connections=many: must be a whole number"),
        ("max_connections=2.7", "max_connections=2.7: must be a whole number"),
        ("max_connections=nan", "max_connections=nan: must be a whole number"),
        ("max_connections=inf", "max_connections=inf: must be a whole number"),
        ("max_connections=0", "max_connections=0: must be 1 to 1000"),
        ("timeout=soon", "timeout=soon: must be seconds"),
        ("timeout=nan", "timeout=nan: must be 0.1 to 3600 seconds"),
        ("timeout=-1", "timeout=-1.0: must be 0.1 to 3600 seconds"),
        ("schema=", "schema='': must be letters"),
        ("schema=a.b", "schema='a.b': must be letters"),
        ("schema=a&schema=b", "schema: given twice"),
        ("shema=a", '"shema"'),
    ],
)
def test_a_value_in_a_url_that_is_not_understood_is_refused_with_what_would_be_right(
    text: str, said: str
) -> None:
    with pytest.raises(DriverError) as raised:
        open_driver(f"postgresql://user:{SECRET}@localhost/app?{text}")

    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


# -- where the server is ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "conninfo"),
    [
        ("postgres://host/app", "postgresql://host/app"),
        ("postgresql:///app", "postgresql:///app"),
        ("postgresql://", "postgresql://"),
        ("postgresql:///app?host=/run/pg&schema=s", "postgresql:///app?host=/run/pg"),
        ("postgresql://%2Frun%2Fpg/app", "postgresql://%2Frun%2Fpg/app"),
        ("postgresql://a:1,b:2/app?timeout=1", "postgresql://a:1,b:2/app"),
        ("postgresql://[::1]:5433/app", "postgresql://[::1]:5433/app"),
        ("postgresql://u:p%40%3F%2F%23@h/app", "postgresql://u:p%40%3F%2F%23@h/app"),
        ("postgresql://u:a#b@h/app", "postgresql://u:a#b@h/app"),
        ("postgresql+psycopg://u@h/app", "postgresql://u@h/app"),
        ("postgresql://h/app?sslmode=require&schema=s", "postgresql://h/app?sslmode=require"),
    ],
)
def test_what_is_not_ours_in_a_url_is_left_to_libpq(url: str, conninfo: str) -> None:
    assert from_url(url)[0] == conninfo


@pytest.mark.parametrize(
    "conninfo",
    [
        f"postgresql://user:{SECRET}@host/app?bogus=1",
        f"postgresql://user@host/app?password={SECRET}&bogus=1",
        f"postgresql://user@host/app?bogus=1&sslpassword={SECRET}",
        f"postgresql://user:{SECRET}@[::1/app",
        f"postgresql://user:%zz{SECRET}@host/app",
        f"postgresql://user:{SECRET}@host/app?%zz=1",
        f"password={SECRET} bogus=1",
        f"password=ge {SECRET}",
        f"password='{SECRET}",
        f"host=localhost password={SECRET} = 1",
    ],
)
def test_a_conninfo_that_libpq_cannot_read_is_refused_without_its_secrets(conninfo: str) -> None:
    with pytest.raises(DriverError, match="conninfo: ") as raised:
        PostgresDriver(conninfo)

    shown = [str(raised.value), repr(raised.value), str(raised.value.__cause__)]
    assert not any(SECRET in text for text in shown)
    assert "postgresql://user@host/database" in str(raised.value)


@pytest.mark.parametrize("conninfo", [None, 5, b"host=x", {"host": "x"}])
def test_a_conninfo_that_is_no_text_is_refused(conninfo: Any) -> None:
    with pytest.raises(DriverError, match=f"string, not {type(conninfo).__name__}"):
        PostgresDriver(conninfo)


@pytest.mark.parametrize("url", ["postgres+embedded://data", "postgres+embedded:///"])
def test_an_embedded_server_wants_an_absolute_path(url: str) -> None:
    with pytest.raises(DriverError, match="give an absolute path"):
        open_driver(url)


def test_a_pool_stands_for_a_conninfo_and_must_be_one() -> None:
    pool = ConnectionPool("", open=False)
    for wrong in (
        {"pool": pool, "conninfo": "host=x"},
        {"pool": AsyncConnectionPool("", open=False)},
        {"pool": "postgresql://localhost"},
    ):
        with pytest.raises(DriverError, match=r"conninfo or a psycopg_pool\.ConnectionPool"):
            PostgresDriver(**wrong)


def test_a_message_about_a_connection_does_not_show_its_password(
    make_driver: MakeDriver, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    conninfo = psycopg.conninfo.make_conninfo(server, password=SECRET, dbname="no such database")

    with pytest.raises(DriverError) as raised:
        make_driver(conninfo, timeout=1.0).start()

    assert "no such database" in str(raised.value)
    assert SECRET not in f"{raised.value!r} {raised.value.__cause__!r} {caplog.text}"


# -- names of schemas ------------------------------------------------------------------------------

ODD = ['a"b', "a'b", "a%sb", "a$$b", "a\0b", "a b", "a.b", "a;b", "a{b}", "a\\b", "a\nb", "☃", ""]


@pytest.mark.parametrize(
    "schema", [*ODD, "1a", "-a", "pg_jobs", "pg_", "x" * 64, "é" * 32, "a\ud800", None, 1, b"jobs"]
)
def test_a_schema_that_needs_more_than_quotes_is_refused(schema: Any) -> None:
    """F47."""
    with pytest.raises(DriverError) as raised:
        PostgresDriver(schema=schema)

    assert f"schema={schema!r}: must be letters, digits, '_' and '-'" in str(raised.value)
    assert "at most 63 bytes" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["Upper_Case", "with-dashes-", "select", "_", "Größe", "日本語", "é" * 31, "x" * 63]
)
def test_any_other_name_of_a_schema_works_in_full(
    name: str, database: str, make_driver: MakeDriver
) -> None:
    """F47."""
    driver = make_driver(database, schema=name)
    driver.start()

    live(driver)

    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [name])
        assert found.fetchone() == (1,)
        connection.execute(driver.migration_sql().replace("COMMIT;", "").encode())
    driver.rollback(0)
    assert driver.migrations().applied == []
