"""The server takes nothing but reading for a while, as a primary that has become a replica.

Nothing ends and nothing is lost; when it takes writes again, claims resume soon. Sessions that are
open feel it as well as those that are to be opened.
"""

from __future__ import annotations

import time
from contextlib import suppress
from math import inf

import psycopg

from gaffer import JobState
from tests.rig.fleet import fleet
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly
from tests.trials.outage import LONGEST_INSERT, Client

SLOTS = 4
PROCESSES = 2


def set_read_only(admin: psycopg.Connection, *, wanted: bool) -> None:
    """Have all sessions read only, or not."""
    admin.execute("SET default_transaction_read_only = off")  # our own
    value = "on" if wanted else "off"
    admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
    admin.execute("SELECT pg_reload_conf()")
    # A session that has just begun knows; by then all others have been told.
    until(lambda: shown(admin.info.dsn) == value)


def shown(conninfo: str) -> str:
    """Return what a new session is set to."""
    with psycopg.connect(conninfo) as connection:
        [value] = connection.execute("SHOW default_transaction_read_only").fetchone() or [""]
    return str(value)


def run(seconds: float, waiting: int, lease: float) -> list[Figure]:
    """Have the server read only for *seconds*, while jobs run and *waiting* wait."""
    pulse = {"lease": lease, "beat_interval": lease / 4}
    with own_server() as server, fleet(server.conninfo, **pulse) as nodes:
        queue = nodes.g.ensure_queue("q")
        for worker in [nodes.work(q={"max_workers": SLOTS}) for _ in range(PROCESSES)]:
            worker.wait_ready()
        running = queue.insert_many(["hold"] * (PROCESSES * SLOTS))
        until(lambda: len(nodes.starts()) == len(running))
        client = Client(server.conninfo)
        jobs = [*running, *queue.insert_many([0.05] * waiting)]

        set_read_only(nodes.admin, wanted=True)
        began = time.monotonic()
        for worker in nodes.workers:
            worker.go()
        until(lambda: time.monotonic() > began + seconds, seconds + PATIENCE)
        unwritten = nodes.audit.executing()
        set_read_only(nodes.admin, wanted=False)
        back_at = time.monotonic()
        client.end()
        jobs += client.inserted

        with suppress(AssertionError):  # the figures say what is missing
            until(lambda: nodes.ended("q", len(jobs)))
        claims = [line["at"] for line in nodes.said("event", "job.claim") if line["at"] > back_at]
        right = [
            job.id for job in queue.list() if (job.state, job.attempt) == (JobState.COMPLETED, 1)
        ]
        return [
            at_most("the longest insert took", client.longest, LONGEST_INSERT, " s"),
            at_least("outcomes that waited", unwritten, len(running)),
            at_most("the first claim came after", min(claims, default=inf) - back_at, 5.0, " s"),
            exactly("jobs lost, or without their outcome", len(jobs) - len(right), 0),
            exactly("jobs that ran twice", sum(n > 1 for n in nodes.starts().values()), 0),
            exactly("jobs rescued from the living", nodes.told("job.rescue").total(), 0),
            exactly("processes that ended", nodes.dead(), 0),
        ]


TRIAL = Trial(
    run=run,
    full={"seconds": 35.0, "waiting": 300, "lease": 2.0},
    short={"seconds": 1.0, "waiting": 20, "lease": 2.0},
)
