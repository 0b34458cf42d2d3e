"""What an open transaction of the caller, with jobs in it, means for everybody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import IsolationLevel

from gaffer import Conflict, Gaffer, JobState, NewJob, Queue, QueueHasJobs
from gaffer.driver import DriverUnavailable
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Calling, quiet
from tests.postgres.conftest import MakeDriver
from tests.postgres.verbs import claim, completed
from tests.postgres.waking import Wakes
from tests.rig.waiting import PATIENCE, until

SOON = 2.0
"""Seconds within which a call returns that waits for nobody."""


@pytest.fixture
def queue(manual: Gaffer) -> Queue:
    """Give a queue with a limit, so that claims take their lock."""
    return manual.ensure_queue("q", worker=lambda job: None, **quiet(global_max_workers=9))


@pytest.fixture
def connection(server: str) -> Iterator[psycopg.Connection]:
    """Give a connection of the caller's."""
    with psycopg.connect(server) as made:
        yield made
        made.rollback()


@pytest.fixture
def pending(queue: Queue, connection: psycopg.Connection) -> psycopg.Connection:
    """Give an open transaction with jobs of all kinds, one of them in the chain "c"."""
    queue.insert("plain", connection=connection)
    queue.insert("first of all", chain="c", priority=9, connection=connection)
    queue.insert_many([1, 2], delay=3600, connection=connection)
    return connection


def settle_one_of_the_chain(queue: Queue, driver: PostgresDriver) -> None:
    job = queue.insert("settled", chain="c")
    assert queue.poll() == 1
    assert queue.get(job.id).state is JobState.COMPLETED


def insert_claim_and_settle(queue: Queue, driver: PostgresDriver) -> None:
    queue.insert_many([1, 2, 3])
    assert queue.poll() == 1


def pause_and_resume(queue: Queue, driver: PostgresDriver) -> None:
    queue.pause()
    assert queue.info().status == "paused"
    queue.resume()


def cancel_and_delete(queue: Queue, driver: PostgresDriver) -> None:
    jobs = queue.insert_many([1, 2], chain="c")
    queue.cancel(jobs[0].id)
    queue.delete(jobs[1].id)


def look(queue: Queue, driver: PostgresDriver) -> None:
    assert queue.list() == []
    assert queue.stats()[JobState.AVAILABLE].count == 0
    assert driver.job_orphans("q", 1.0) == []


def prune_everything(queue: Queue, driver: PostgresDriver) -> None:
    job = queue.insert(1)
    assert driver.job_prune("q", {JobState.AVAILABLE: "all"}, 100) == [job.id]


def declare_again(queue: Queue, driver: PostgresDriver) -> None:
    driver.queue_insert("q")
    driver.queue_insert("another")


@pytest.mark.parametrize(
    "others",
    [
        settle_one_of_the_chain,
        insert_claim_and_settle,
        pause_and_resume,
        cancel_and_delete,
        look,
        prune_everything,
        declare_again,
    ],
)
def test_an_open_transaction_of_the_caller_holds_nobody_up(
    others: Callable[[Queue, PostgresDriver], None],
    queue: Queue,
    driver: PostgresDriver,
    pending: psycopg.Connection,
) -> None:
    began = time.monotonic()

    others(queue, driver)

    assert time.monotonic() - began < SOON
    pending.commit()
    assert {job.payload for job in queue.list(state="available")} >= {"plain", "first of all", 1, 2}


def test_two_open_transactions_do_not_wait_for_each_other(
    queue: Queue, pending: psycopg.Connection, server: str
) -> None:
    began = time.monotonic()

    with psycopg.connect(server) as other:
        queue.insert("other", connection=other)
        queue.insert_many([3, 4], chain="c", connection=other)

    assert time.monotonic() - began < SOON
    assert len(queue.list()) == 3


@pytest.mark.parametrize(
    "jobs",
    [[1], [1, 2], [1, NewJob(2, priority=1)], [NewJob(1, chain="c")]],
    ids=["one", "alike", "different", "in a chain"],
)
def test_a_queue_is_not_deleted_under_a_job_that_is_about_to_be_committed(
    jobs: list[Any],
    queue: Queue,
    driver: PostgresDriver,
    connection: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    queue.insert_many(jobs, connection=connection)
    deletion = Calling(lambda: driver.queue_delete("q"))
    waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    until(lambda: deletion.returned or admin.execute(waits, ["%delete_queue%"]).rowcount)
    assert not deletion.returned

    connection.commit()

    with pytest.raises(QueueHasJobs):
        deletion.result()
    assert len(queue.list()) == len(jobs)


# -- waking ----------------------------------------------------------------------------------------


@pytest.fixture
def other(make_driver: MakeDriver, driver: PostgresDriver) -> PostgresDriver:
    """Give the driver of another process."""
    made = make_driver()
    made.start()
    return made


@pytest.mark.parametrize("same", [True, False], ids=["same driver", "other driver"])
def test_who_waits_for_a_job_is_woken_by_the_commit_and_not_before(
    same: bool,
    manual: Gaffer,
    driver: PostgresDriver,
    other: PostgresDriver,
    connection: psycopg.Connection,
    server: str,
) -> None:
    queue, unrelated = [manual.ensure_queue(name, **quiet()) for name in ("q", "other")]
    wakes = Wakes(driver if same else other)
    for name in wakes.counts:
        wakes.wait(name, 0)  # when it begins to listen
    before = wakes.catch_up(unrelated, server)

    queue.insert(1, connection=connection)
    with psycopg.connect(server) as undone:
        queue.insert(2, connection=undone)
        undone.rollback()
    assert wakes.catch_up(unrelated, server) == before
    connection.commit()

    wakes.wait("q", before)


def test_without_notifications_a_job_of_the_caller_is_found_by_looking(
    make_driver: MakeDriver, queue: Queue, connection: psycopg.Connection
) -> None:
    deaf = make_driver(notify=False)
    deaf.start()
    wakes = Wakes(deaf, interval=0.05)
    wakes.wait("q", 0)  # as a new one
    queue.insert(1, connection=connection)
    before = wakes.counts["q"]

    connection.commit()

    wakes.wait("q", before)


def test_a_job_of_the_caller_is_worked_as_soon_as_it_is_committed(
    gaffer_: Gaffer, connection: psycopg.Connection
) -> None:
    done = threading.Event()
    queue = gaffer_.ensure_queue("q", worker=lambda job: done.set(), poll_interval=3600.0)
    queue.insert(1, connection=connection)
    until(lambda: queue.info().status == "active")
    assert not done.is_set()

    connection.commit()

    assert done.wait(PATIENCE)


# -- isolation and trouble -------------------------------------------------------------------------


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
def test_a_job_goes_into_a_transaction_of_any_isolation(
    level: IsolationLevel, queue: Queue, connection: psycopg.Connection
) -> None:
    connection.isolation_level = level
    connection.execute("SELECT count(*) FROM pg_class")  # takes its snapshot
    queue.pause()
    queue.resume()

    jobs = [queue.insert(1, connection=connection), queue.insert(2, connection=connection)]
    connection.commit()

    assert queue.list() == jobs


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
def test_an_id_taken_after_the_snapshot_of_the_transaction_is_a_conflict(
    level: IsolationLevel, queue: Queue, connection: psycopg.Connection
) -> None:
    connection.isolation_level = level
    connection.execute("SELECT count(*) FROM pg_class")
    taken = queue.insert(1)

    with pytest.raises(Conflict) as raised:
        queue.insert(2, id=taken.id, connection=connection)

    assert raised.value.ids == {taken.id}
    connection.execute("SELECT 1")


def test_a_serialization_failure_of_the_callers_is_worth_another_try(
    queue: Queue, server: str, schema: str
) -> None:
    """B195."""
    with psycopg.connect(server) as first, psycopg.connect(server) as second:
        for connection in (first, second):
            connection.isolation_level = IsolationLevel.SERIALIZABLE
            connection.execute(f'SELECT count(*) FROM "{schema}".jobs'.encode())
        queue.insert(2, connection=second)
        second.commit()

        with pytest.raises(DriverUnavailable, match="40001") as raised:
            queue.insert(1, connection=first)

        assert isinstance(raised.value.__cause__, psycopg.errors.SerializationFailure)
        first.rollback()
        queue.insert(1, connection=first)
        first.commit()
    assert {job.payload for job in queue.list()} == {1, 2}


def test_a_deadlock_of_callers_is_worth_another_try(queue: Queue, server: str) -> None:
    """F21, B195: a real one."""
    ids = [uuid4(), uuid4()]
    with psycopg.connect(server) as first, psycopg.connect(server) as second:
        queue.insert(1, id=ids[0], connection=first)
        queue.insert(2, id=ids[1], connection=second)
        crossed = [
            Calling(lambda: queue.insert(3, id=ids[1], connection=first)),
            Calling(lambda: queue.insert(4, id=ids[0], connection=second)),
        ]
        until(lambda: any(calling.returned for calling in crossed))
        [victim] = [calling for calling in crossed if calling.returned]

        with pytest.raises(DriverUnavailable, match="40P01"):
            victim.result()

        [lost, kept] = [first, second] if victim is crossed[0] else [second, first]
        lost.rollback()
        until(lambda: all(calling.returned for calling in crossed))
        kept.rollback()
    assert queue.list() == []


def test_a_deadlock_of_the_drivers_own_is_tried_again(
    queue: Queue,
    driver: PostgresDriver,
    connection: psycopg.Connection,
    admin: psycopg.Connection,
    schema: str,
) -> None:
    """F21, B195: a real one."""
    queue.insert_many([1, 2])
    claimed = sorted(claim(driver, 2), key=lambda job: job.id)
    ended = [completed(driver, job) for job in claimed]
    lock = f'SELECT FROM "{schema}".jobs WHERE id = %s FOR UPDATE'.encode()
    connection.execute("SELECT set_config('deadlock_timeout', '1h', true)")  # the victim is theirs
    connection.execute(lock, [claimed[1].id])
    writing = Calling(lambda: driver.job_write(ended))
    waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    until(lambda: admin.execute(waits, [f"%{schema}%settle%"]).rowcount)

    connection.execute(lock, [claimed[0].id])
    connection.commit()

    assert writing.result() == ended
    assert [queue.get(job.id).state for job in claimed] == [JobState.COMPLETED] * 2
