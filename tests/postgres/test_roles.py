"""Roles and databases with settings of their own: they change neither values nor promises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from gaffer import Exponential, Fail, Gaffer, Job, JobState
from gaffer.driver import JobFilter
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Calling, quiet
from tests.postgres.catalog import lock_of_migrations
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.logins import login
from tests.postgres.verbs import claim
from tests.rig.waiting import PATIENCE, until

Make = Callable[[Mapping[str, str]], PostgresDriver]
TIMEOUTS = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
]
ODD = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-10",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "escape_string_warning": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "search_path": "",
    "plan_cache_mode": "force_custom_plan",
    "enable_indexscan": "off",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
}


@pytest.fixture(params=["own pool", "given pool"])
def make_as(
    request: pytest.FixtureRequest,
    make_driver: MakeDriver,
    admin: psycopg.Connection,
    server: str,
) -> Iterator[Make]:
    """Give a factory of started drivers, each as a new role with settings of its own."""
    with ExitStack() as stack:

        def make(settings: Mapping[str, str]) -> PostgresDriver:
            conninfo = stack.enter_context(login(admin, server, settings))
            if request.param == "own pool":
                driver = make_driver(conninfo)
            else:
                pool = ConnectionPool(conninfo, min_size=1, max_size=2, open=True)
                driver = make_driver(pool=stack.enter_context(pool))
            stack.callback(driver.stop)
            return driver

        yield make


@pytest.fixture
def hasty(make_as: Make, admin: psycopg.Connection) -> PostgresDriver:
    """Give a driver whose role has every timeout of this server set to 200 ms."""
    known = admin.execute("SELECT name FROM pg_settings WHERE name = ANY (%s)", [TIMEOUTS])
    return make_as({name: "200ms" for (name,) in known.fetchall()})


@pytest.fixture
def odd(make_as: Make) -> PostgresDriver:
    """Give a started driver whose role has nothing as others have it."""
    made = make_as(ODD)
    made.start()
    return made


@pytest.fixture
def plain(odd: PostgresDriver, make_driver: MakeDriver) -> PostgresDriver:
    """Give a started driver on the same schema, of another role."""
    made = make_driver()
    made.start()
    return made


# -- timeouts --------------------------------------------------------------------------------------


def test_a_hasty_role_does_everything(hasty: PostgresDriver) -> None:
    """F26."""
    hasty.start()

    live(hasty)


def test_a_start_of_a_hasty_role_waits_for_another_that_migrates(
    hasty: PostgresDriver, server: str, schema: str
) -> None:
    """F26."""
    pause = threading.Event()
    with psycopg.connect(server) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_of_migrations(schema)])
        start = Calling(hasty.start)
        pause.wait(0.6)
        assert not start.returned

    start.result()
    live(hasty)


@pytest.mark.parametrize("make_as", ["own pool"], indirect=True)
def test_a_call_of_a_hasty_role_waits_for_others_as_long_as_the_driver_lets_it(
    hasty: PostgresDriver, make_driver: MakeDriver, server: str
) -> None:
    """F26."""
    hasty.start()
    with Gaffer(driver=hasty, work=False) as gaffer_, psycopg.connect(server) as other:
        job = gaffer_.ensure_queue("q", **quiet()).insert(1, connection=other)
        writing = Calling(lambda: hasty.job_write([job]))
        threading.Event().wait(1.8)
        assert not writing.returned
        other.rollback()

        assert writing.result() == [job]


def test_a_hasty_role_works_jobs_after_a_rest(
    hasty: PostgresDriver, admin: psycopg.Connection
) -> None:
    """F26: looks come every hour here, so that the job is found by what is listened to."""
    done = threading.Event()
    with Gaffer(driver=hasty) as gaffer_:
        queue = gaffer_.ensure_queue("q", worker=lambda job: done.set(), poll_interval=3600.0)
        queue.insert("first")
        assert done.wait(PATIENCE)
        done.clear()
        threading.Event().wait(0.6)

        queue.insert("second")

        assert done.wait(PATIENCE)


def test_the_drivers_own_sessions_outlive_a_rest(
    make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    """F26."""
    listed = (
        "SELECT pid FROM pg_stat_activity WHERE usename = %s AND query <> '' AND state = 'idle'"
    )
    with login(admin, server, {"idle_session_timeout": "200ms"}) as conninfo:
        role = conninfo_to_dict(conninfo)["user"]
        driver = make_driver(conninfo)
        with Gaffer(driver=driver) as gaffer_:
            done = threading.Event()
            queue = gaffer_.ensure_queue("q", worker=lambda job: done.set(), poll_interval=3600.0)
            queue.insert(1)
            assert done.wait(PATIENCE)
            until(lambda: len(admin.execute(listed, [role]).fetchall()) >= 3)
            before = {*admin.execute(listed, [role]).fetchall()}
            threading.Event().wait(0.6)

            assert before <= {*admin.execute(listed, [role]).fetchall()}
        driver.stop()


# -- values ----------------------------------------------------------------------------------------


def test_what_an_odd_role_writes_is_what_others_read(
    odd: PostgresDriver, plain: PostgresDriver
) -> None:
    at = datetime(2100, 2, 3, 4, 5, 6, 123456, tzinfo=UTC)
    backoff = Exponential(base=0.1, factor=1.7, maximum=1e7 / 3, jitter=0.3)
    with Gaffer(driver=odd, work=False) as gaffer_:
        queue = gaffer_.ensure_queue("q 'é' \\", worker=lambda job: None, **quiet())
        jobs = [
            queue.insert({"a\\": [1 / 3, "\\'☃", None]}, timeout=1 / 3, scheduled_at=at),
            queue.insert(None, chain="c\\'", kind="k\\n", backoff=backoff, shutdown_timeout=0.1),
            *queue.insert_many([1, "\\"], priority=-5, timeout=0.1 + 0.2),
        ]

    for reader in (odd, plain):
        assert {job.id: reader.job_get(job.id) for job in jobs} == {job.id: job for job in jobs}
        assert sorted(reader.job_list(JobFilter()), key=lambda job: job.id) == jobs
        page = reader.job_list(JobFilter(after=(jobs[1].created_at, jobs[1].id), limit=1))
        assert page == [jobs[2]]


def test_an_odd_role_claims_settles_counts_and_prunes_as_others_do(
    odd: PostgresDriver, plain: PostgresDriver
) -> None:
    def work(job: Job) -> Any:
        return {"x": 1 / 3} if job.payload == "well" else Fail("\\ '\"")

    with Gaffer(driver=odd, work=False) as gaffer_:
        queue = gaffer_.ensure_queue("q", worker=work, **quiet(backoff=0.5))
        well, ill = queue.insert_many(["well", "ill"])
        assert (queue.poll(), queue.poll()) == (1, 1)
        stats = queue.stats()
        done, again = queue.get(well.id), queue.get(ill.id)

    assert (plain.job_get(well.id), plain.job_get(ill.id)) == (done, again)
    assert plain.job_stats("q") == stats
    assert done.result == {"x": 1 / 3}
    assert again.scheduled_at is not None
    assert again.scheduled_at - again.errors[0].at == timedelta(seconds=0.5)
    assert again.errors[0].error == "\\ '\""
    until(lambda: claim(odd, node="n") != [])
    [orphan] = odd.job_orphans("q", 60.0)
    assert orphan == plain.job_get(ill.id)
    assert done.completed_at is not None
    before = {JobState.COMPLETED: done.completed_at}
    assert odd.job_prune("q", before, 9) == []
    before = {JobState.COMPLETED: done.completed_at + timedelta(microseconds=1)}
    assert odd.job_prune("q", before, 9) == [well.id]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_what_a_role_takes_for_its_encoding_does_not_matter(
    encoding: str, make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    with login(admin, server, {"client_encoding": encoding}) as conninfo:
        driver = make_driver(conninfo)
        driver.start()
        live(driver)
        driver.stop()


@pytest.mark.parametrize("make_as", ["own pool"], indirect=True)
def test_a_role_that_takes_no_nulls_in_arrays_does_everything(make_as: Make) -> None:
    driver = make_as({"array_nulls": "off"})
    driver.start()

    live(driver)


def test_the_clocks_of_all_time_zones_are_one(odd: PostgresDriver, plain: PostgresDriver) -> None:
    """F48."""
    assert abs(odd.now() - plain.now()) < timedelta(seconds=1)
