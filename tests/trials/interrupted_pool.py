"""Jobs that are interrupted in the middle of gaffer's calls and of queries leak no connection.

Six workers share a pool of four connections of their own, inside ``uninterruptible()`` as the
documentation says, and call gaffer in between. Unprotected, such a pool is dead after some dozens
of timeouts.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

import gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.server import own_server
from tests.rig.waiting import KEEP, Recorder, threads, together, until
from tests.trials.figures import Figure, Trial, at_most, exactly
from tests.trials.interrupts import deaths

POOL = 4
CREW = 6
TIMEOUT = 0.05
MOST_OF_GAFFER = 6
"""The connections of one process, as the documentation has them."""

Pool = ConnectionPool[psycopg.Connection]


class Jobs:
    """Jobs that query and call gaffer until they are interrupted."""

    def __init__(self, pool: Pool, notes: gaffer.Queue) -> None:
        self.returned: list[UUID] = []
        self._pool = pool
        self._notes = notes

    def __call__(self, job: gaffer.Job) -> None:
        attempt = gaffer.current()
        while True:
            with attempt.uninterruptible():
                with self._pool.connection() as connection:
                    connection.execute("SELECT pg_sleep(0.002)")
                id = self._notes.insert(None).id
                self.returned.append(id)
            self._notes.get(id)
            self._notes.list(limit=2)
            self._notes.insert(None)


def run(timeouts: int) -> Sequence[Figure]:
    """Let jobs time out so often."""
    with own_server() as server, deaths() as dead:
        own = make_conninfo(server.conninfo, application_name="own")
        driver = PostgresDriver(make_conninfo(server.conninfo, application_name="gaffers"))
        pool = Pool(own, min_size=POOL, max_size=POOL, open=False, kwargs={"autocommit": True})
        try:
            with pool, psycopg.connect(server.conninfo, autocommit=True) as admin:
                figures = with_pool(driver, pool, admin, timeouts)
        finally:
            driver.stop()
    return [*figures, exactly("threads that died of an exception", len(dead), 0)]


def with_pool(
    driver: PostgresDriver, pool: Pool, admin: psycopg.Connection, timeouts: int
) -> list[Figure]:
    """Interrupt jobs on *pool*, then see what is left of it."""
    seen = Recorder()
    with gaffer.Gaffer(driver) as g:
        notes = g.ensure_queue("notes", prune=KEEP)
        jobs = Jobs(pool, notes)
        queue = g.ensure_queue(
            "shot",
            worker=jobs,
            hooks=[seen],
            interrupt=True,
            timeout=TIMEOUT,
            max_attempts=1,
            max_workers=CREW,
            max_abandoned=1000,
            prune=KEEP,
        )
        pids = backends(admin, "own")
        queue.insert_many([None] * timeouts)
        seen.wait(gaffer.JobFailed, timeouts, timeout=60 + timeouts)
        until(lambda: queue.info().workers.abandoned == 0, 60)
        until(lambda: len(threads("gaffer:shot:worker")) <= CREW, 60)
        ends = Counter(event.job.id for event in seen.of(gaffer.JobFailed))
        stored = {job.id for job in notes.list()}
        gaffers = len(backends(admin, "gaffers"))
        served = served_at_once(pool)
        queue.update(worker=lambda job: None, interrupt=False)
        queue.insert_many([None] * 20, timeout=60)
        seen.wait(gaffer.JobCompleted, 20)
    stats = pool.get_stats()
    kept = len(pids & backends(admin, "own"))
    return [
        exactly("jobs that timed out", sum(number == 1 for number in ends.values()), timeouts),
        exactly("connections leaked", POOL - stats["pool_available"], 0),
        exactly("connections that the pool had to replace", POOL - kept, 0),
        exactly("calls that the pool serves at once afterwards", served, POOL),
        at_most("gaffer's own connections", gaffers, MOST_OF_GAFFER),
        exactly("inserts that returned and are not stored", len({*jobs.returned} - stored), 0),
    ]


def backends(admin: psycopg.Connection, name: str) -> set[int]:
    """Return the server processes of the sessions of that name."""
    rows = admin.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name])
    return {pid for (pid,) in rows.fetchall()}


def served_at_once(pool: Pool) -> int:
    """Return how many threads can have a connection at the same time."""
    everybody = threading.Barrier(POOL)
    served: list[int] = []

    def call() -> None:
        with suppress(PoolTimeout), pool.connection(timeout=10) as connection:
            with suppress(threading.BrokenBarrierError):
                everybody.wait(10)
            served.extend(one for (one,) in connection.execute("SELECT 1").fetchall())

    together([call] * POOL, 60)
    return len(served)


TRIAL = Trial(run=run, full={"timeouts": 1000}, short={"timeouts": 60})
