"""The server's disk is full, in the middle of everything, and has room again later.

Inserts say so. What running jobs come to waits until there is room, and is written then; the
process lives on. The disk is a small one in memory; where one may not mount any, there is nothing
to try.
"""

from __future__ import annotations

import time
from contextlib import suppress

import psycopg

from gaffer import DriverUnavailable, JobState
from tests.rig.disk import small_disk
from tests.rig.fleet import Fleet, fleet
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

LARGE = 400_000
"""Bytes of a result, which have no room where 8 KiB are free."""


def fill(admin: psycopg.Connection) -> None:
    """Take all the room there is."""
    admin.execute("CREATE TABLE filler (t text)")
    admin.execute("ALTER TABLE filler ALTER t SET STORAGE EXTERNAL")
    for size in (1_000_000, 100_000, 5_000):
        with suppress(psycopg.errors.DiskFull):
            while True:
                admin.execute("INSERT INTO filler VALUES (repeat('x', %s))", [size])


def refusal(nodes: Fleet) -> tuple[str, float]:
    """Return what an insert says, and after how many seconds."""
    began = time.monotonic()
    try:
        nodes.g.insert("q", "x" * LARGE)
    except DriverUnavailable as error:
        return str(error), time.monotonic() - began
    return "", time.monotonic() - began


def run(jobs: int, seconds: float) -> list[Figure]:
    """Have *jobs* end while the disk is full for *seconds*."""
    with small_disk(24) as disk:
        if disk is None:
            return [Figure("a small disk", "may not be mounted here", "where one may", True)]
        with own_server() as server:
            server.create_tablespace("small", disk.place)
            server.execute("ALTER DATABASE postgres SET default_tablespace = 'small'")
            with fleet(server.conninfo) as nodes:
                return tried(nodes, jobs, seconds)


def tried(nodes: Fleet, jobs: int, seconds: float) -> list[Figure]:
    """Fill the disk under a process that runs *jobs*, and make room again."""
    queue = nodes.g.ensure_queue("q")
    worker = nodes.work(q={"max_workers": jobs})
    given = queue.insert_many([{"bytes": LARGE}] * jobs)
    waiting = queue.insert_many([0.0] * jobs)
    until(lambda: len(nodes.starts()) == jobs)
    fill(nodes.admin)

    worker.go()
    message, spent = refusal(nodes)
    worker.wait("event", "runner.fail")
    full_at = time.monotonic()
    until(lambda: time.monotonic() > full_at + seconds, seconds + PATIENCE)
    unwritten = len(queue.list(state="executing"))
    nodes.admin.execute("DROP TABLE filler")
    room_at = time.monotonic()

    with suppress(AssertionError):  # the figures say what is missing
        until(lambda: nodes.ended("q", 2 * jobs))
    resumed = time.monotonic() - room_at
    right = [
        job.id
        for job in queue.list()
        if (job.state, job.attempt, len(str(job.result)) >= LARGE or job.payload == 0.0)
        == (JobState.COMPLETED, 1, True)
    ]
    lost = {job.id for job in (*given, *waiting)} - {*right}
    return [
        at_least("outcomes that had no room", unwritten, jobs),
        exactly("inserts that said that the disk is full", int("disk is full" in message), 1),
        at_most("an insert gave up after", spent, 10.0, " s"),
        exactly("jobs lost, or without their outcome", len(lost), 0),
        exactly("jobs that ran twice", sum(n > 1 for n in nodes.starts().values()), 0),
        at_most("until all was written after there was room", resumed, 5.0, " s"),
        exactly("processes that ended", nodes.dead(), 0),
    ]


TRIAL = Trial(
    run=run,
    full={"jobs": 8, "seconds": 60.0},
    short={"jobs": 4, "seconds": 0.0},
)
