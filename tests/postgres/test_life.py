"""The life of a driver: nothing before its start, nothing after its stop, and deadlines between."""

from __future__ import annotations

import os
import socket
import threading
import time
from importlib import import_module
from urllib.parse import quote, urlencode

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gaffer import Gaffer, Queue
from gaffer.discovery import open_driver
from gaffer.driver import DriverError, DriverUnavailable, MigrationMismatch
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import quiet
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.logins import login
from tests.rig.waiting import until


def own_threads() -> set[threading.Thread]:
    """Return the threads that drivers have."""
    return {one for one in threading.enumerate() if one.name.startswith("gaffer:postgres")}


def open_files() -> int:
    """Return how many files and sockets this process has open."""
    return int(import_module("psutil").Process().num_fds())


def sessions(admin: psycopg.Connection, database: str) -> set[str]:
    """Return the names of the sessions in *database*."""
    rows = admin.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = %s",
        [conninfo_to_dict(database)["dbname"]],
    )
    return {name for (name,) in rows.fetchall()}


def url_of(conninfo: str, **options: str) -> str:
    """Return a URL that says the same as *conninfo*."""
    given = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value}
    database, user = given.pop("dbname"), quote(given.pop("user"), safe="")
    return (
        f"postgresql://{user}@/{quote(database)}?{urlencode({**given, **options}, quote_via=quote)}"
    )


def set_environment(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say what *conninfo* says by libpq's variables."""
    names = {o.keyword.decode(): o.envvar for o in psycopg.pq.Conninfo.get_defaults()}
    for keyword, value in conninfo_to_dict(conninfo).items():
        monkeypatch.setenv((names[keyword] or b"").decode(), str(value))


# -- start -----------------------------------------------------------------------------------------


def test_nothing_is_opened_before_the_start() -> None:
    files, threads = open_files(), {*threading.enumerate()}

    drivers = [
        PostgresDriver("host=192.0.2.1"),
        PostgresDriver.from_url("postgresql://192.0.2.1/app"),
        open_driver("postgres"),
        open_driver("postgresql"),
        PostgresDriver.embedded("/nowhere"),
    ]

    assert open_files() <= files
    assert {*threading.enumerate()} <= threads
    for driver in drivers:
        driver.stop()
    assert open_files() <= files
    assert {*threading.enumerate()} <= threads


def test_a_driver_that_is_not_started_says_so(make_driver: MakeDriver) -> None:
    with pytest.raises(DriverError, match="not started"):
        make_driver().queue_list()


def test_a_stopped_driver_says_so_and_leaves_nothing_open(
    make_driver: MakeDriver, admin: psycopg.Connection, database: str
) -> None:
    threads = own_threads()
    driver = make_driver(database)
    driver.start()
    live(driver)

    driver.stop()
    driver.stop()

    with pytest.raises(DriverError, match="stopped"):
        driver.queue_list()
    until(lambda: own_threads() <= threads)
    until(lambda: not sessions(admin, database))


def test_a_start_again_does_nothing_and_a_start_after_a_stop_starts(
    make_driver: MakeDriver,
) -> None:
    """F63."""
    driver = make_driver()
    for _ in range(2):
        driver.start()
        driver.start()
        live(driver)
        driver.stop()


def test_a_start_that_fails_leaves_nothing_open(
    make_driver: MakeDriver, admin: psycopg.Connection, database: str
) -> None:
    driver = make_driver(database, schema="jobs")
    driver.start()
    driver.stop()
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE jobs.migrations SET checksum = 'another'")
    threads = own_threads()
    with Gaffer(driver=url_of(database, schema="jobs")) as gaffer_:
        with pytest.raises(MigrationMismatch):
            gaffer_.ensure_queue("q")

        until(lambda: own_threads() <= threads)
        until(lambda: not sessions(admin, database))


def test_the_server_sees_whose_sessions_they_are(
    make_driver: MakeDriver, admin: psycopg.Connection, database: str
) -> None:
    driver = make_driver(database)
    driver.start()
    live(driver)

    assert sessions(admin, database) == {f"gaffer {socket.gethostname()}-{os.getpid()}"[:63]}


# -- the same place --------------------------------------------------------------------------------


def test_conninfo_url_and_environment_lead_to_the_same_place(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        PostgresDriver(database),
        PostgresDriver(url_of(database)),
        open_driver(url_of(database)),
    ]
    asking = [open_driver("postgres"), open_driver("postgresql://"), PostgresDriver()]
    set_environment(database, monkeypatch)
    try:
        for driver in [*told, *asking]:
            driver.start()
        told[0].queue_insert("seen by all")

        assert [driver.queue_list() for driver in [*told, *asking]] == [["seen by all"]] * 6
        assert len({driver.storage for driver in [*told, *asking]}) == 1
    finally:
        for driver in [*told, *asking]:
            driver.stop()


def test_what_the_environment_says_is_not_overridden(
    database: str, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGAPPNAME", "mine")
    driver = PostgresDriver(database)
    driver.start()
    try:
        driver.queue_insert("q")

        assert sessions(admin, database) == {"mine"}
    finally:
        driver.stop()


def test_storage_is_equal_exactly_for_the_same_schema_of_the_same_database(
    driver: PostgresDriver, make_driver: MakeDriver, server: str, schema: str, database: str
) -> None:
    """F63."""
    host = conninfo_to_dict(server)["host"]
    same = [
        make_driver(),
        make_driver(make_conninfo(server, application_name="x", connect_timeout=7)),
        make_driver(make_conninfo(server, host=f"{host}/"))
        if str(host).startswith("/")
        else driver,
        PostgresDriver.from_url(url_of(server, schema=schema)),
    ]
    others = [make_driver(schema=f"{schema}_b"), make_driver(database)]
    waiting = make_driver()
    assert waiting.storage not in {driver.storage, make_driver().storage}
    try:
        for made in [*same, *others]:
            made.start()

        assert {made.storage for made in same} == {driver.storage}
        assert len({driver.storage, *(made.storage for made in others)}) == 3
    finally:
        same[-1].stop()
        others[0].rollback(0)


def test_a_queue_forwards_in_one_write_between_two_drivers_on_the_same_place(
    driver: PostgresDriver, make_driver: MakeDriver
) -> None:
    """B129, F63."""
    second = make_driver()
    second.start()
    here, there = FaultyDriver(driver), FaultyDriver(second)
    with Gaffer(driver=here, work=False) as gaffer_:
        target = gaffer_.ensure_queue("target", driver=there, **quiet())
        options = quiet(forward={"completed": "target"})
        source = gaffer_.ensure_queue("source", worker=lambda job: None, **options)
        source.insert(1)
        before = here.calls.count("job_write")

        assert source.poll() == 1

        assert here.calls.count("job_write") == before + 1
        assert "job_write" not in there.calls
        assert len(target.list()) == 1


# -- deadlines -------------------------------------------------------------------------------------


def refusing() -> str:
    """Return a conninfo of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"host=127.0.0.1 port={free.getsockname()[1]} user=u dbname=d"


@pytest.mark.parametrize("where", ["port", "socket"])
def test_a_server_that_is_not_there_is_unavailable_at_once(
    where: str, make_driver: MakeDriver
) -> None:
    conninfo = refusing() if where == "port" else "host=/nowhere user=u dbname=d"
    began = time.monotonic()

    with pytest.raises(DriverUnavailable, match=r"(?i)refused|no such file"):
        make_driver(conninfo, timeout=2.0).start()

    assert time.monotonic() - began < 3.0


def test_a_server_that_does_not_answer_is_unavailable_within_the_timeout(
    make_driver: MakeDriver,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        where = f"host=127.0.0.1 port={mute.getsockname()[1]} user=u dbname=d"
        began = time.monotonic()

        with pytest.raises(DriverUnavailable):
            make_driver(where, timeout=2.0).start()

    assert time.monotonic() - began < 4.0


def test_a_call_that_waits_for_somebody_else_is_unavailable_within_the_timeout(
    manual: Gaffer, make_driver: MakeDriver, server: str
) -> None:
    queue: Queue = manual.ensure_queue("q", **quiet())
    hasty = make_driver(timeout=0.5)
    hasty.start()
    with psycopg.connect(server) as connection:
        job = queue.insert(1, connection=connection)
        began = time.monotonic()

        with pytest.raises(DriverUnavailable, match="timeout"):
            hasty.job_write([job])

        assert 0.4 < time.monotonic() - began < 2.0


# -- servers that cannot be used -------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused(
    encoding: str, make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    name = f"gaffer_test_{encoding.lower()}_{os.getpid()}"
    admin.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'"
        " LC_COLLATE 'C' LC_CTYPE 'C'".encode()
    )
    try:
        with pytest.raises(DriverError, match=f"encoded in {encoding}; gaffer needs UTF8") as info:
            make_driver(make_conninfo(server, dbname=name)).start()
        assert type(info.value) is DriverError
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_a_database_that_does_not_exist_is_named(make_driver: MakeDriver, server: str) -> None:
    with pytest.raises(DriverError, match='database "nowhere at all" does not exist'):
        make_driver(make_conninfo(server, dbname="nowhere at all"), timeout=2.0).start()


def test_a_role_that_may_not_see_the_schema_is_told(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    with (
        login(admin, server, creates=False) as conninfo,
        pytest.raises(DriverError, match="permission denied for schema") as info,
    ):
        make_driver(conninfo).start()

    assert type(info.value) is DriverError
