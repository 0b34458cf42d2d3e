"""Keys in PostgreSQL: exact over processes and whatever transactions callers have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from gaffer import DriverError, Gaffer, JobExists, KeyHeld, Queue
from gaffer.testing.values import new_job
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import quiet
from tests.rig.waiting import until

THREADS = 8


@pytest.fixture
def queue(driver: PostgresDriver) -> Iterator[Queue]:
    """Give a queue, and work its jobs by `poll` only."""
    with Gaffer(driver=driver) as gaffer:
        yield gaffer.ensure_queue("q", worker=lambda job: None, **quiet())


@pytest.fixture
def connect(server: str) -> Iterator[Callable[[], psycopg.Connection]]:
    """Give what opens connections of a caller."""
    opened: list[psycopg.Connection] = []

    def open() -> psycopg.Connection:
        opened.append(psycopg.connect(server))
        return opened[-1]

    yield open
    for connection in opened:
        connection.close()


def test_of_many_threads_that_insert_one_key_one_inserts(queue: Queue) -> None:
    for unique_for in (None, 600):
        ready = Barrier(THREADS)

        def insert(number: int, ready: Barrier = ready, period: int | None = unique_for) -> bool:
            ready.wait(30)
            job = queue.insert(number, unique=f"k{period}", unique_for=period)
            return bool(job.payload == number)

        with ThreadPoolExecutor(THREADS) as pool:
            assert sum(pool.map(insert, range(THREADS))) == 1


INSERTER = """
import sys
import gaffer
from gaffer_driver_postgres import PostgresDriver
driver = PostgresDriver(sys.argv[1], schema=sys.argv[2])
queue = gaffer.ensure_queue("q", driver=driver)
print("ready", flush=True)
sys.stdin.readline()
new = 0
for number in range(30):
    try:
        queue.insert(number, unique=f"p{number}", unique_for=600, on_conflict="raise")
        new += 1
    except gaffer.JobExists:
        pass
print(new)
gaffer.stop()
"""


def test_of_many_processes_that_insert_one_key_one_inserts(
    queue: Queue, server: str, schema: str
) -> None:
    command = [sys.executable, "-c", INSERTER, server, schema]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    new = 0
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        new += int(process.communicate(timeout=30)[0])

    assert new == 30
    assert len(queue.list()) == 30


def test_a_transaction_that_is_rolled_back_frees_its_key(
    queue: Queue, connect: Callable[[], psycopg.Connection]
) -> None:
    connection = connect()
    queue.insert(1, unique="k", unique_for=60, connection=connection)
    connection.rollback()

    assert queue.insert(2, unique="k").payload == 2


@pytest.mark.parametrize("commits", [True, False])
def test_an_insert_waits_for_the_transaction_that_has_its_key(
    queue: Queue,
    connect: Callable[[], psycopg.Connection],
    admin: psycopg.Connection,
    commits: bool,
) -> None:
    connection = connect()
    first = queue.insert(1, unique="k", connection=connection)

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(queue.insert, 2, unique="k")
        until(lambda: _waiting(admin))
        connection.commit() if commits else connection.rollback()
        job = second.result(30)

    assert (job.id == first.id) == commits


def _waiting(admin: psycopg.Connection) -> bool:
    text = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
    return admin.execute(text).fetchone() != (0,)


def test_a_transaction_sees_the_keys_that_it_has_taken_itself(
    queue: Queue, connect: Callable[[], psycopg.Connection]
) -> None:
    connection = connect()
    first = queue.insert(1, unique="k", connection=connection)

    assert queue.insert(2, unique="k", connection=connection) == first
    second = queue.insert(3, unique="k", on_conflict="replace", connection=connection)
    connection.commit()

    assert queue.list() == [second]
    assert second.payload == 3


def test_a_job_of_a_chain_with_a_key_does_not_stop_the_chains_of_others(
    queue: Queue, connect: Callable[[], psycopg.Connection]
) -> None:
    queue.insert(1, chain="a")
    connection = connect()
    queue.insert(2, chain="a", unique="k", connection=connection)

    assert queue.poll() == 1  # within the driver's deadline, and not after it
    connection.commit()
    assert queue.poll() == 1


def test_a_snapshot_that_does_not_show_a_holder_is_no_way_around_it(
    queue: Queue, connect: Callable[[], psycopg.Connection]
) -> None:
    connection = connect()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.execute("SELECT 1")
    queue.insert(1, unique="k")
    with pytest.raises((DriverError, JobExists)):
        queue.insert(2, unique="k", connection=connection)
    connection.rollback()

    connection.execute("SELECT 1")
    queue.insert(1, unique="l", unique_for=60)
    queue.poll()
    queue.poll()
    queue.prune()
    with pytest.raises((DriverError, JobExists)):
        queue.insert(2, unique="l", connection=connection)


def test_keys_whose_time_has_gone_by_are_pruned(
    queue: Queue, driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    for number in range(3):
        queue.insert(number, unique=f"k{number}", unique_for=0.001)
    queue.insert(3, unique="k3", unique_for=600)

    def left() -> bool:
        queue.prune()
        rows = admin.execute(f'SELECT key FROM "{schema}".keys'.encode()).fetchall()
        return rows == [("k3",)]

    until(left)


def test_a_batch_of_many_parts_is_refused_as_a_whole(driver: PostgresDriver) -> None:
    driver.queue_insert("q")
    jobs = [new_job() for _ in range(10_001)]
    first, last = new_job(unique="k"), new_job(unique="k")
    with pytest.raises(KeyHeld) as refusal:
        driver.job_write([first, *jobs, last])

    assert refusal.value.holders == {last.id: first}
    assert driver.job_get(first.id) is None
