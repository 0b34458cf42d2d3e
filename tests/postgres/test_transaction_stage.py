"""Jobs of a test inside the transaction of the test, on every kind of connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psycopg
import pytest
import sqlalchemy

import gaffer
from gaffer import Gaffer, Job, JobState
from gaffer.driver import DriverError
from gaffer.testing.doubles import ManualClock
from gaffer.testing.fixtures import gaffer_clock, gaffer_jobs
from gaffer.testing.jobs import Crash, Jobs
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.testing import TransactionStage
from gaffer_driver_postgres.transaction import TransactionDriver

from .transactions import django_db, engine_on

__all__ = ["gaffer_clock", "gaffer_jobs"]

Undone = AbstractContextManager[Any]


@contextmanager
def _psycopg(conninfo: str) -> Iterator[Any]:
    with psycopg.connect(conninfo) as connection:
        yield connection
        connection.rollback()


@contextmanager
def _psycopg_autocommit(conninfo: str) -> Iterator[Any]:
    connecting = psycopg.connect(conninfo, autocommit=True)
    with connecting as connection, connection.transaction(force_rollback=True):
        yield connection


@contextmanager
def _django(conninfo: str) -> Iterator[Any]:
    db = django_db(conninfo)
    with db.transaction.atomic():
        yield db.connection
        db.transaction.set_rollback(True)


@contextmanager
def _sqlalchemy(conninfo: str) -> Iterator[Any]:
    with engine_on(conninfo) as engine, engine.connect() as connection:
        yield connection
        connection.rollback()


@contextmanager
def _session(conninfo: str) -> Iterator[Any]:
    with engine_on(conninfo) as engine, sqlalchemy.orm.Session(engine) as session:
        yield session
        session.rollback()


WAYS: dict[str, Callable[[str], Undone]] = {
    "psycopg": _psycopg,
    "psycopg, autocommit": _psycopg_autocommit,
    "django": _django,
    "sqlalchemy connection": _sqlalchemy,
    "sqlalchemy session": _session,
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def connection(request: pytest.FixtureRequest, server: str) -> Iterator[Any]:
    """Give a connection, of each kind, in a transaction that is rolled back."""
    with request.param(server) as made:
        yield made


@pytest.fixture
def gaffer_stage(connection: Any, gaffer_clock: ManualClock) -> TransactionStage:
    """Have the jobs of the test in its transaction."""
    return TransactionStage(connection, clock=gaffer_clock)


@pytest.fixture
def plain(server: str) -> Iterator[psycopg.Connection]:
    """Give a connection of psycopg, whose transaction is rolled back."""
    with _psycopg(server) as made:
        yield made


@pytest.fixture
def jobs(plain: psycopg.Connection, gaffer_clock: ManualClock) -> Iterator[Jobs]:
    """Give the jobs of the module-level gaffer, in the transaction of `plain`."""
    with Jobs(gaffer_clock, TransactionStage(plain, clock=gaffer_clock)) as made:
        made.take(gaffer.default)
        yield made


def schemas(connection: psycopg.Connection) -> set[str]:
    """Return the schemas of tests that somebody else can see."""
    query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'gaffer_test_%'"
    return {name for (name,) in connection.execute(query).fetchall()}


def test_jobs_are_run_by_hand_inside_the_transaction(
    gaffer_jobs: Jobs, gaffer_clock: ManualClock, connection: Any
) -> None:
    tries: list[object] = []

    def work(job: Job) -> Any:
        tries.append(job.payload)
        return gaffer.Fail("no") if len(tries) == 1 else {"sent": job.payload}

    gaffer.ensure_queue("emails", worker=work, max_attempts=2, backoff=60)
    first = gaffer.insert("emails", {"to": "ada"}, kind="welcome", connection=connection)
    later = gaffer.insert("emails", {"to": "bob"}, delay=3600)

    assert gaffer_jobs.inserted == [first, later]
    assert [job.id for job in gaffer_jobs.drain()] == [first.id]
    gaffer_clock.advance(60)
    assert gaffer_jobs.run(first).result == {"sent": {"to": "ada"}}
    gaffer_clock.advance(3600)
    assert gaffer_jobs.run().state is JobState.COMPLETED
    gaffer_jobs.assert_inserted("emails", {"to": "ada"}, kind="welcome", count=1)
    assert gaffer.stats("emails")[JobState.COMPLETED].count == 2


def test_a_job_is_run_out_of_order(gaffer_jobs: Jobs) -> None:
    queue = gaffer.ensure_queue("q", worker=lambda job: job.payload)
    first, second = queue.insert_many([1, 2])
    chained = queue.insert(3, chain="c")

    assert gaffer_jobs.run(second).result == 2
    assert gaffer_jobs.run(chained).result == 3
    assert [job.id for job in gaffer_jobs.drain()] == [first.id]


@pytest.mark.parametrize("crash", ["before_work", "before_settle"])
def test_a_job_whose_process_died_is_rescued(
    gaffer_jobs: Jobs, gaffer_clock: ManualClock, crash: Crash
) -> None:
    queue = gaffer.ensure_queue("q", worker=lambda job: "done", max_attempts=3, backoff=0)
    job = queue.insert(1)

    assert gaffer_jobs.run(job, crash=crash).state is JobState.EXECUTING
    [lost] = gaffer_jobs.rescue()

    assert lost.errors[0].error["type"] == "lost"
    gaffer_clock.advance(10)
    assert gaffer_jobs.run(job).result == "done"


def test_what_the_program_rolls_back_takes_its_jobs_along(
    plain: psycopg.Connection, jobs: Jobs
) -> None:
    queue = gaffer.ensure_queue("q", worker=lambda job: None)
    with plain.transaction(force_rollback=True):
        queue.insert(1, connection=plain)
    kept = queue.insert(2)

    jobs.assert_inserted("q", count=1)
    jobs.assert_not_inserted("q", 1)
    assert jobs.inserted == [kept]
    assert [job.id for job in jobs.drain()] == [kept.id]


def test_a_worker_sees_what_the_test_has_written(plain: psycopg.Connection, jobs: Jobs) -> None:
    plain.execute("CREATE TABLE pg_temp.users (name text)")
    plain.execute("INSERT INTO pg_temp.users VALUES ('ada')")
    names: list[object] = []
    look = "SELECT name FROM pg_temp.users"
    gaffer.ensure_queue("q", worker=lambda job: names.extend(plain.execute(look))).insert(1)

    jobs.run()

    assert names == [("ada",)]


def test_keys_schedules_and_results_are_kept(jobs: Jobs, gaffer_clock: ManualClock) -> None:
    queue = gaffer.ensure_queue(
        "q", worker=lambda job: job.payload, schedules=[gaffer.Every(minutes=5, payload=5)]
    )
    one = queue.insert(1, unique="k", unique_for=60)
    future = queue.submit(2)

    assert queue.insert(3, unique="k").id == one.id
    assert [job.result for job in jobs.drain()] == [1, 2]
    assert future.result(5) == 2
    gaffer_clock.advance(301)
    assert queue.insert(4, unique="k").id != one.id
    assert [job.result for job in jobs.drain()] == [4, 5]
    jobs.assert_inserted("q", 5)


@pytest.mark.parametrize("commits", ["meanwhile", "afterwards"])
def test_nothing_is_left_even_if_the_test_commits(
    commits: str, server: str, admin: psycopg.Connection, gaffer_clock: ManualClock
) -> None:
    before = schemas(admin)
    with psycopg.connect(server) as connection:
        with Jobs(gaffer_clock, TransactionStage(connection, clock=gaffer_clock)) as jobs:
            jobs.take(gaffer.default)
            gaffer.ensure_queue("q").insert(1)
            if commits == "meanwhile":
                connection.commit()
        if commits == "afterwards":
            connection.commit()
        connection.rollback()

    assert schemas(admin) <= before


def test_a_test_that_rolls_back_all_of_it_ends_with_its_own_error(
    plain: psycopg.Connection, jobs: Jobs
) -> None:
    queue = gaffer.ensure_queue("q")
    plain.rollback()

    with pytest.raises(DriverError, match="was rolled back or committed"):
        queue.insert(1)
    plain.execute("SELECT 1")
    with pytest.raises(DriverError, match="was rolled back or committed"):
        queue.insert(1)


def test_a_transaction_that_failed_ends_the_test_with_its_own_error(
    plain: psycopg.Connection, jobs: Jobs
) -> None:
    queue = gaffer.ensure_queue("q")
    with pytest.raises(psycopg.errors.DivisionByZero):
        plain.execute("SELECT 1 / 0")

    with pytest.raises(DriverError, match="transaction has failed: go back to a savepoint"):
        queue.insert(1)


def test_queues_on_postgresql_and_in_memory_are_taken_in_and_others_refused(
    plain: psycopg.Connection, gaffer_clock: ManualClock, driver: PostgresDriver
) -> None:
    stage = TransactionStage(plain, clock=gaffer_clock)
    with Gaffer(driver) as own, Jobs(gaffer_clock, stage) as jobs:
        queue = own.ensure_queue("q", worker=lambda job: None)
        jobs.take(own)
        own.ensure_queue("r", driver="postgresql://nowhere/x")
        own.ensure_queue("s", driver="memory")
        with pytest.raises(gaffer.InvalidDriver, match="which it must not touch"):
            own.ensure_queue("t", driver="redis://nowhere")
        job = queue.insert(1)

        assert jobs.run().id == job.id

    assert driver.job_get(job.id) is None


def test_another_connection_is_refused(
    server: str, plain: psycopg.Connection, gaffer_clock: ManualClock
) -> None:
    driver = TransactionDriver(plain, clock=gaffer_clock)
    with Gaffer(driver, work=False) as own, psycopg.connect(server) as other:
        queue = own.ensure_queue("q")

        with pytest.raises(DriverError, match="not the connection of the test"):
            queue.insert(1, connection=other)

        assert queue.list() == []


def test_a_connection_without_a_transaction_is_refused(
    server: str, gaffer_clock: ManualClock
) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        driver = TransactionDriver(connection, clock=gaffer_clock)

        with pytest.raises(DriverError, match="no transaction is open"):
            driver.start()


def test_a_stricter_transaction_is_refused(server: str, gaffer_clock: ManualClock) -> None:
    with psycopg.connect(server) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        driver = TransactionDriver(connection, clock=gaffer_clock)

        with pytest.raises(DriverError, match="is REPEATABLE READ; gaffer needs READ COMMITTED"):
            driver.start()


def test_threads_are_refused_where_they_are_asked_for(jobs: Jobs) -> None:
    gaffer.ensure_queue("q", worker=lambda job: None).insert(1)

    with pytest.raises(DriverError, match="'q' cannot be worked by threads"):
        gaffer.start()

    assert len(jobs.drain()) == 1


def test_other_threads_keep_out_of_the_transaction(
    plain: psycopg.Connection, gaffer_clock: ManualClock
) -> None:
    driver = TransactionDriver(plain, clock=gaffer_clock)
    found: list[object] = []

    def elsewhere() -> None:
        driver.node_beat("n")
        found.append(driver.job_ended([job.id]))
        with pytest.raises(DriverError, match="for the thread of the test"):
            driver.job_get(job.id)

    with Gaffer(driver, work=False) as own:
        job = own.ensure_queue("q").insert(1)
        own.cancel("q", job.id)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(30)

    assert found == [{}]
