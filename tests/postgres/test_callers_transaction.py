"""A job that is inserted in the caller's transaction exists exactly if that is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

import psycopg
import pytest

from gaffer import Conflict, Exponential, Gaffer, JobState, NewJob, Queue, UnknownQueue
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import quiet
from tests.postgres.transactions import WAYS, Transaction, django_db, engine_on

Begin: TypeAlias = Callable[[], AbstractContextManager[Transaction]]


class Undone(Exception):
    """Raised by a test, so that a transaction is rolled back."""


@pytest.fixture(scope="module")
def driver(server: str) -> Iterator[PostgresDriver]:
    """Give one driver for all tests here."""
    made = PostgresDriver(server, schema=f"gaffer_test_{uuid4().hex[:12]}")
    made.start()
    yield made
    made.rollback(0)
    made.stop()


@pytest.fixture
def queue(manual: Gaffer) -> Queue:
    """Give a queue that no other test has."""
    return manual.ensure_queue(f"q {uuid4()}", worker=lambda job: None, **quiet())


@pytest.fixture(params=[*WAYS.values()], ids=[*WAYS])
def begin(request: pytest.FixtureRequest, server: str) -> Begin:
    """Give what begins a transaction, and commits it at the end or rolls it back."""
    return partial(request.param, server)


@pytest.fixture
def notes(admin: psycopg.Connection) -> Iterator[str]:
    """Give the name of a table of the caller's."""
    name = f"gaffer_test_{uuid4().hex[:12]}"
    admin.execute(f"CREATE TABLE {name} (n integer)".encode())
    yield name
    admin.execute(f"DROP TABLE {name}".encode())


def everything() -> dict[str, Any]:
    """Return the options of a job that has all of them."""
    return {
        "id": uuid4(),
        "kind": 'k "é"',
        "chain": "c",
        "priority": -7,
        "max_attempts": 9,
        "timeout": 1.25,
        "backoff": Exponential(base=0.5, factor=3.0, maximum=99.0, jitter=0.1),
        "shutdown_timeout": 0.5,
        "scheduled_at": datetime(2100, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    }


# -- whatever the caller uses ----------------------------------------------------------------------


def test_a_job_is_there_when_the_transaction_is_committed_and_not_before(
    begin: Begin, queue: Queue
) -> None:
    with begin() as transaction:
        job = queue.insert({"☃": 1}, connection=transaction.connection)
        assert queue.list() == []

    assert queue.list() == [job]


def test_many_jobs_are_there_when_the_transaction_is_committed_and_not_before(
    begin: Begin, queue: Queue
) -> None:
    with begin() as transaction:
        alike = queue.insert_many([1, 2, 3], connection=transaction.connection)
        mixed = [NewJob(4, priority=1), NewJob(5, chain="c"), NewJob(6, delay=3600)]
        others = queue.insert_many(mixed, connection=transaction.connection)
        assert queue.list() == []

    assert sorted(queue.list(), key=lambda job: job.id) == [*alike, *others]


def test_jobs_are_gone_when_the_transaction_is_rolled_back(begin: Begin, queue: Queue) -> None:
    with suppress(Undone), begin() as transaction:
        queue.insert(1, connection=transaction.connection)
        queue.insert_many([2, 3], connection=transaction.connection)
        raise Undone

    assert queue.list() == []


def test_jobs_and_what_else_the_transaction_does_stand_and_fall_together(
    begin: Begin, queue: Queue, notes: str, admin: psycopg.Connection
) -> None:
    with begin() as transaction:
        transaction.execute(f"INSERT INTO {notes} VALUES (1)")
        kept = queue.insert(1, connection=transaction.connection)
        transaction.execute(f"INSERT INTO {notes} VALUES (2)")
    with suppress(Undone), begin() as transaction:
        queue.insert(2, connection=transaction.connection)
        transaction.execute(f"INSERT INTO {notes} VALUES (3)")
        raise Undone

    assert queue.list() == [kept]
    assert admin.execute(f"SELECT n FROM {notes} ORDER BY n".encode()).fetchall() == [(1,), (2,)]


def test_a_taken_id_is_a_conflict_and_the_transaction_goes_on(
    begin: Begin, queue: Queue, notes: str, admin: psycopg.Connection
) -> None:
    taken = queue.insert("first")
    with begin() as transaction:
        before = queue.insert("before", connection=transaction.connection)
        for ids in ([taken.id], [before.id], [uuid4(), taken.id]):
            with pytest.raises(Conflict) as raised:
                queue.insert_many(
                    [NewJob("again", id=id) for id in ids], connection=transaction.connection
                )
            assert raised.value.ids == {ids[-1]}
        transaction.execute(f"INSERT INTO {notes} VALUES (1)")
        after = queue.insert("after", connection=transaction.connection)

    assert queue.list() == [taken, before, after]
    assert admin.execute(f"SELECT count(*) FROM {notes}".encode()).fetchone() == (1,)


def test_an_id_given_twice_is_a_conflict_and_the_transaction_goes_on(
    begin: Begin, queue: Queue
) -> None:
    twice = uuid4()
    with begin() as transaction:
        with pytest.raises(Conflict) as raised:
            queue.insert_many(
                [NewJob(1, id=twice), NewJob(2), NewJob(3, id=twice)],
                connection=transaction.connection,
            )
        job = queue.insert(4, connection=transaction.connection)

    assert raised.value.ids == {twice}
    assert queue.list() == [job]


def test_a_queue_that_storage_does_not_know_is_refused_and_the_transaction_goes_on(
    begin: Begin, queue: Queue, manual: Gaffer, driver: PostgresDriver
) -> None:
    gone = manual.ensure_queue(f"gone {uuid4()}", worker=lambda job: None, **quiet())
    driver.queue_delete(gone.name)
    with begin() as transaction:
        for payloads in ([1], [2, 3]):
            with pytest.raises(UnknownQueue) as raised:
                gone.insert_many(payloads, connection=transaction.connection)
            assert raised.value.queue == gone.name
        job = queue.insert(4, connection=transaction.connection)

    assert queue.list() == [job]
    assert gone.list() == []


def test_every_option_of_a_job_is_kept(begin: Begin, queue: Queue) -> None:
    options = everything()
    with begin() as transaction:
        job = queue.insert([None], connection=transaction.connection, **options)

    stored = queue.get(options["id"])
    assert stored == job
    assert {name: getattr(stored, name) for name in options} == options


# -- what only some have ---------------------------------------------------------------------------


def test_in_autocommit_without_a_transaction_a_job_is_there_at_once(
    queue: Queue, server: str
) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        job = queue.insert(1, connection=connection)
        assert queue.list() == [job]
        with pytest.raises(Conflict):
            queue.insert(2, id=job.id, connection=connection)
        assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE


def test_an_insert_does_not_change_the_settings_of_the_connection(
    queue: Queue, server: str
) -> None:
    with psycopg.connect(server) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        names = ("autocommit", "isolation_level", "prepare_threshold", "row_factory", "read_only")
        before = [getattr(connection, name) for name in names]

        queue.insert(1, connection=connection)

        assert [getattr(connection, name) for name in names] == before
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)


def test_a_part_of_a_psycopg_transaction_can_be_rolled_back_with_its_jobs(
    queue: Queue, server: str
) -> None:
    with psycopg.connect(server) as connection:
        kept = queue.insert("kept", connection=connection)
        with suppress(Undone), connection.transaction():
            queue.insert("undone", connection=connection)
            raise Undone

    assert queue.list() == [kept]


def test_a_part_of_a_django_transaction_can_be_rolled_back_with_its_jobs(
    queue: Queue, server: str
) -> None:
    db = django_db(server)
    try:
        with db.transaction.atomic():
            kept = queue.insert("kept", connection=db.connection)
            with suppress(Undone), db.transaction.atomic():
                queue.insert("undone", connection=db.connection)
                raise Undone
            assert queue.list() == []
    finally:
        db.connection.close()

    assert queue.list() == [kept]


def test_django_outside_of_atomic_commits_a_job_at_once(queue: Queue, server: str) -> None:
    db = django_db(server)
    try:
        job = queue.insert(1, connection=db.connection)
        assert queue.list() == [job]
    finally:
        db.connection.close()


def test_a_part_of_a_session_can_be_rolled_back_with_its_jobs(queue: Queue, server: str) -> None:
    with engine_on(server) as engine, engine.begin() as connection:
        kept = queue.insert("kept", connection=connection)
        with connection.begin_nested() as savepoint:
            queue.insert("undone", connection=connection)
            savepoint.rollback()

    assert queue.list() == [kept]


def test_chained_jobs_of_the_caller_run_one_at_a_time_and_in_order(
    manual: Gaffer, queue: Queue, server: str
) -> None:
    order: list[Any] = []
    queue.update(worker=lambda job: order.append(job.payload), max_workers=5)
    with psycopg.connect(server) as connection:
        queue.insert(1, chain="c", connection=connection)
        queue.insert_many([2, 3], chain="c", connection=connection)
        queue.insert("free", connection=connection)

    assert [queue.poll() for _ in range(4)] == [2, 1, 1, 0]

    assert [payload for payload in order if payload != "free"] == [1, 2, 3]
    assert queue.list(state="available") == []


def test_a_chained_job_of_the_caller_waits_for_one_that_executes(
    queue: Queue, driver: PostgresDriver, server: str
) -> None:
    queue.insert(1, chain="c")
    with queue.claim() as first, psycopg.connect(server) as connection:
        assert first is not None
        queue.insert(0, chain="c", priority=9, connection=connection)
        connection.commit()
        assert queue.poll() == 0

    assert queue.poll() == 1


def test_a_scheduled_job_of_the_caller_waits_for_its_time(queue: Queue, server: str) -> None:
    with psycopg.connect(server) as connection:
        later = queue.insert("later", delay=timedelta(hours=1), connection=connection)
        due = queue.insert("due", scheduled_at=later.created_at, connection=connection)

    assert queue.poll() == 1

    assert queue.list(state="available") == [later]
    assert queue.get(due.id).state is JobState.COMPLETED
