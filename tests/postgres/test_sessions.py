"""What gaffer's sessions do, and do not do, while jobs run and others use the server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from gaffer import Gaffer, Job, JobCompleted
from gaffer_driver_postgres import PostgresDriver
from tests.rig.waiting import KEEP, Gate, Recorder, states, until

from .conftest import MakeDriver
from .lives import live


@pytest.fixture
def pool(server: str) -> Iterator[ConnectionPool]:
    """Give a pool of two connections, the user's."""
    with ConnectionPool(server, min_size=2, max_size=2, open=True) as made:
        yield made


def test_no_transaction_is_open_while_a_job_runs(
    make_driver: MakeDriver, server: str, schema: str, admin: psycopg.Connection
) -> None:
    """F25: else a slow job would keep vacuum from its work, and locks from everybody."""
    driver = make_driver(make_conninfo(server, application_name=schema))
    gate = Gate()
    now = "SELECT clock_timestamp() - make_interval(secs => %s)"
    older = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND xact_start < %s"

    with Gaffer(driver, beat_interval=0.2) as g:
        queue = g.ensure_queue("q", worker=gate, prune=KEEP)
        queue.insert(None)
        gate.wait()
        [(began,)] = admin.execute(now, [0]).fetchall()
        # What has begun by now and is open in three seconds is open for the job.
        until(lambda: admin.execute(now, [3]).fetchall() > [(began,)])
        left = admin.execute(older, [schema, began]).fetchone()
        gate.open.set()

    assert left == (0,)


def test_beats_arrive_although_all_connections_of_the_pool_are_taken(
    make_driver: MakeDriver, pool: ConnectionPool, admin: psycopg.Connection, schema: str
) -> None:
    """F17: jobs that hold on to the pool that gaffer shares do not make their node look dead."""
    gate, seen = Gate(), Recorder()

    def work(job: Job) -> None:
        with pool.connection():
            gate(job)

    driver = make_driver(pool=pool)
    last_beat = f'SELECT max(beat_at) FROM "{schema}".nodes'.encode()
    with Gaffer(driver, beat_interval=0.05, lease=60.0, hooks=[seen]) as g:
        queue = g.ensure_queue("q", worker=work, max_workers=4, prune=KEEP)
        jobs = queue.insert_many(range(4))
        gate.wait(2)  # there is no connection left

        for _ in range(5):
            before = admin.execute(last_beat).fetchone()
            until(partial(_differs, admin, last_beat, before))
        gate.open.set()
        seen.wait(JobCompleted, 4)

    assert sorted(event.job.id for event in seen.of(JobCompleted)) == [job.id for job in jobs]


def _differs(admin: psycopg.Connection, query: bytes, before: Any) -> bool:
    return bool(admin.execute(query).fetchone() != before)


def test_jobs_go_on_beside_a_transaction_that_stays_open(
    driver: PostgresDriver, server: str
) -> None:
    """F24: what its snapshot keeps vacuum from is in nobody's way but for the time it takes."""
    with Gaffer(driver) as g, psycopg.connect(server) as old:
        queue = g.ensure_queue("q", worker=lambda job: None, max_workers=8)
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.execute("SELECT count(*) FROM pg_class")

        for _ in range(5):
            queue.insert_many(range(400))
            queue.flush(timeout=60.0)
        until(lambda: not states(driver, "q"), 60.0)


def test_a_driver_goes_on_when_its_tables_get_another_column(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """F61: as the next release's migration may do it, under statements that are prepared."""
    for _ in range(2):
        live(driver)

    for table in ("jobs", "queues", "nodes"):
        admin.execute(f'ALTER TABLE "{schema}".{table} ADD COLUMN later text'.encode())

    live(driver)
