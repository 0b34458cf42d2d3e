"""The server goes away for long, in the middle of everything, and comes back.

Processes run jobs through the outage, others wait, and a program goes on inserting all the while.
The outage is many times longer than a lease: when the server is back, everybody seems to have been
silent for too long, and nobody's jobs may be taken away for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

from gaffer import DriverUnavailable, Gaffer, Job, JobState
from gaffer_driver_postgres import PostgresDriver
from tests.rig.fleet import Fleet, fleet
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

Action = Callable[[], object]

SLOTS = 8
HOUR = 3600.0
SPARE = 2.0
"""Seconds for an interpreter to end."""
WELL = (JobState.COMPLETED, 1)
LONGEST_INSERT = 30.0
"""Twenty seconds in which it is tried again, and the driver's deadline for the last try."""


class Client:
    """A program that only inserts, one job after the other."""

    def __init__(self, conninfo: str) -> None:
        self._driver = PostgresDriver(conninfo)
        self._driver.start()
        self._g = Gaffer(self._driver, work=False)
        self._queue = self._g.ensure_queue("q", timeout=HOUR)
        self.inserted: list[Job] = []
        self.refused = 0
        self.longest = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            began = time.monotonic()
            try:
                self.inserted.append(self._queue.insert(0.0))
            except DriverUnavailable:
                self.refused += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def end(self) -> None:
        """Have it finish its call and end."""
        self._over.set()
        self._thread.join(60.0)
        assert not self._thread.is_alive(), "an insert does not end"
        self._g.stop()
        self._driver.stop()


class Leaver:
    """A process that runs a job, and is told to end in the outage."""

    def __init__(self, nodes: Fleet) -> None:
        queue = nodes.g.ensure_queue("left", shutdown_timeout=1.0, timeout=HOUR)
        self._worker = nodes.work(left={})
        queue.insert(HOUR)
        self._worker.wait("began")
        self.seconds = inf
        self.code = -1
        self._thread = threading.Thread(target=self._end, daemon=True)

    def leave(self) -> None:
        """Tell it."""
        self._thread.start()

    def _end(self) -> None:
        began = time.monotonic()
        self.code = self._worker.end()
        self.seconds = time.monotonic() - began

    def figures(self) -> list[Figure]:
        """Return how it ended."""
        self._thread.join(PATIENCE)
        return [
            exactly("the exit code of a process that was told to end", self.code, 0),
            at_most("its end took", self.seconds, 1.0 + 10.0 + SPARE, " s"),
        ]


class Outage:
    """One outage: the fleet that lives through it, and when it was."""

    def __init__(self, nodes: Fleet, jobs: list[Job], leavers: int = 0) -> None:
        self._nodes = nodes
        self._leavers = leavers  # processes that have been told to end
        self.jobs = jobs
        self.gone_at = self.back_at = 0.0

    def pass_by(self, go: Action, come: Action, seconds: float) -> None:
        """Have the server *go* away for *seconds*."""
        go()
        self.gone_at = time.monotonic()
        until(lambda: time.monotonic() > self.gone_at + seconds, seconds + PATIENCE)
        come()
        self.back_at = time.monotonic()

    def first_claims(self) -> list[float]:
        """Return for each process after how many seconds it claimed again, as far as it has."""
        firsts = [
            [line["at"] for line in worker.said("event", "job.claim") if line["at"] > self.back_at]
            for worker in self._nodes.workers
        ]
        return [min(moments) - self.back_at for moments in firsts if moments]

    def waited(self) -> list[float]:
        """Return for each job that ended in the outage after how many seconds that was written."""
        ended = {
            line["ended"]
            for line in self._nodes.said("ended")
            if self.gone_at < line["at"] < self.back_at
        }
        return [
            line["at"] - self.back_at
            for line in self._nodes.said("event", "job.complete")
            if ended & {*line["jobs"]}
        ]

    def figures(self) -> list[Figure]:
        """Return what it came to."""
        stored = {job.id: job for job in self._nodes.g.list("q")}
        starts = self._nodes.starts()
        done = [
            job
            for job in self.jobs
            if job.id in stored and (stored[job.id].state, stored[job.id].attempt) == WELL
        ]
        claims, waited = self.first_claims(), self.waited()
        rescued = self._nodes.told("job.rescue").total()
        return [
            exactly("processes that ended", self._nodes.dead() - self._leavers, 0),
            at_least("jobs", len(self.jobs), 1),
            exactly("jobs lost, or without their outcome", len(self.jobs) - len(done), 0),
            exactly("jobs that ran twice", sum(n > 1 for n in starts.values()), 0),
            exactly("jobs rescued from the living", rescued, 0),
            at_least("outcomes that waited for the server", len(waited), 1),
            at_most("the last of them was written after", max(waited, default=inf), 5.0, " s"),
            at_most("the first claim came after", min(claims, default=inf), 5.0, " s"),
            at_most("the last process claimed after", max(claims, default=inf), 5.0, " s"),
        ]


def lived_through(
    f: Fleet, go: Action, come: Action, *, seconds: float, processes: int, waiting: int
) -> list[Figure]:
    """Have *processes* run jobs while the server is away for *seconds*, and *waiting* wait."""
    queue = f.g.ensure_queue("q", timeout=HOUR)
    for worker in [f.work(q={"max_workers": SLOTS}) for _ in range(processes)]:
        worker.wait_ready()
    ripe = 2 * f.lease  # by then everybody has beaten for so long that it may rescue
    # Some end while the server is away, others when it is back again.
    long = queue.insert_many([ripe + seconds / 2, ripe + seconds + f.lease] * (2 * processes))
    until(lambda: len(f.starts()) == len(long))
    begun_at = time.monotonic()
    client = Client(f.conninfo)
    until(lambda: time.monotonic() > begun_at + ripe)
    leaver = Leaver(f)
    outage = Outage(f, long + queue.insert_many([0.05] * waiting), leavers=1)

    def begin() -> None:
        go()
        leaver.leave()

    outage.pass_by(begin, come, seconds)

    with suppress(AssertionError):  # the figures say what is missing
        until(lambda: len(outage.first_claims()) >= processes)
    client.end()
    outage.jobs += client.inserted
    with suppress(AssertionError):
        until(lambda: f.ended("q", len(outage.jobs)))
    left = leaver.figures()
    return [
        *left,
        *outage.figures(),
        at_least("inserts in the outage that gave up", client.refused, 0),
        at_most("the longest insert took", client.longest, LONGEST_INSERT, " s"),
    ]


def run(seconds: float, processes: int, waiting: int, lease: float) -> list[Figure]:
    """Have *processes* run jobs while the server is away for *seconds*, and *waiting* wait."""
    with own_server() as server, fleet(server.conninfo, lease=lease, beat_interval=lease / 4) as f:
        return lived_through(
            f,
            lambda: server.stop("immediate"),
            server.start,
            seconds=seconds,
            processes=processes,
            waiting=waiting,
        )


TRIAL = Trial(
    run=run,
    full={"seconds": 35.0, "processes": 3, "waiting": 500, "lease": 2.0},
    short={"seconds": 2.5, "processes": 2, "waiting": 100, "lease": 2.0},
)
