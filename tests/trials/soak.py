"""A queue at work for long keeps its size: memory, threads, connections, objects.

No-op jobs at a steady rate on PostgreSQL, of which 2 in 100 fail and 1 in 1,000 times out. Pruned
as by default.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

import gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.chance import chance
from tests.rig.server import own_server
from tests.rig.waiting import threads, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

CREW = 4
BATCH = 50
MOST_WAITING = 5000
"""Jobs that may wait: if the machine cannot keep up the rate falls, and nothing piles up."""
SAMPLES = 300
WARM_UP = 0.2
"""The share of the samples that is not looked at."""
OTHERS = 8
"""Threads besides the workers: runner, pruner, watchdog, heartbeat, hub, guard, two of the pool."""
CONNECTIONS = 6
"""Of one process, as the documentation has them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process was like when *done* jobs had ended; *memory* is in MiB."""

    done: int
    memory: float
    workers: int
    threads: int
    connections: int
    objects: int


class Soak:
    """A queue, who feeds it, and who looks at it."""

    def __init__(self, rate: float, dice: random.Random) -> None:
        self.samples: list[Sample] = []
        self.inserted = self.completed = self.failed = 0
        self._rate = rate
        self._dice = dice
        self._end = threading.Event()

    @property
    def done(self) -> int:
        """How many jobs have ended."""
        return self.completed + self.failed

    def hook(self, event: gaffer.Event) -> None:
        """Count what ends; only the runner's thread does."""
        self.completed += isinstance(event, gaffer.JobCompleted)
        self.failed += isinstance(event, gaffer.JobFailed)

    def work(self, job: gaffer.Job) -> None:
        """Do nothing, fail, or outlive the timeout for a moment."""
        if job.payload == "fail":
            raise ValueError("as told")
        if job.payload == "slow":
            time.sleep(2 * job.timeout)

    def go(self, driver: PostgresDriver, admin: psycopg.Connection, seconds: float) -> None:
        """Feed and work the queue for so long, then let it end what it has."""
        with gaffer.Gaffer(driver, hooks=[self.hook]) as g:
            queue = g.ensure_queue(
                "soak", worker=self.work, max_workers=CREW, max_attempts=1, max_abandoned=1000
            )
            feeder = threading.Thread(target=self._feed, args=[queue], daemon=True)
            feeder.start()
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                self._end.wait(seconds / SAMPLES)
                self.samples.append(self._sample(admin))
            self._end.set()
            feeder.join(60)
            queue.flush(120)
            until(lambda: not queue.info().workers.abandoned, 60)
            until(lambda: not queue.list(limit=1), 60)

    def _feed(self, queue: gaffer.Queue) -> None:
        due = time.monotonic()
        while not self._end.is_set():
            if self.inserted - self.done < MOST_WAITING:
                queue.insert_many([self._payload() for _ in range(BATCH)])
                self.inserted += BATCH
            due = max(due + BATCH / self._rate, time.monotonic() - 1)
            self._end.wait(max(0.0, due - time.monotonic()))

    def _payload(self) -> gaffer.JSON | gaffer.NewJob:
        kind = self._dice.random()
        if kind < 0.001:
            return gaffer.NewJob("slow", timeout=0.05)
        return "fail" if kind < 0.021 else None

    def _sample(self, admin: psycopg.Connection) -> Sample:
        [(sessions,)] = admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'soaked'"
        ).fetchall()
        alive = [thread.name for thread in threads()]
        workers = sum(name.startswith("gaffer:soak:worker") for name in alive)
        return Sample(
            done=self.done,
            memory=psutil.Process().memory_info().rss / 2**20,
            workers=workers,
            threads=len(alive) - workers,
            connections=sessions,
            objects=len(gc.get_objects()),
        )


def run(
    seconds: float, rate: float, slope: float, growth: float, seed: int | None = None
) -> Sequence[Figure]:
    """Work *rate* jobs a second for *seconds*.

    Memory may grow by *slope* MiB in 100,000 jobs, and the number of objects by the share *growth*.
    """
    one = Soak(rate, chance(seed))
    before = len(threads())
    with own_server() as server:
        driver = PostgresDriver(make_conninfo(server.conninfo, application_name="soaked"))
        try:
            with psycopg.connect(server.conninfo, autocommit=True) as admin:
                one.go(driver, admin, seconds)
        finally:
            driver.stop()
    seen = one.samples[int(len(one.samples) * WARM_UP) :]
    line = linear_regression([s.done / 100_000 for s in seen], [s.memory for s in seen])
    quarter = max(1, len(seen) // 4)
    first, last = (fmean(s.objects for s in part) for part in (seen[:quarter], seen[-quarter:]))
    return [
        at_least("jobs done", one.done, 1),
        exactly("jobs inserted and not done", one.inserted - one.done, 0),
        at_least("of these failed or timed out", one.failed, 1),
        at_most("memory: growth in 100,000 jobs", line.slope, slope, " MiB"),
        at_most("memory: the most", max(s.memory for s in seen), 1000, " MiB"),
        at_most("objects: growth from the first to the last quarter", last / first - 1, growth),
        at_most("workers' threads, abandoned ones too", max(s.workers for s in seen), 2 * CREW),
        at_most("other threads", max(s.threads for s in seen), before + OTHERS),
        at_most("connections", max(s.connections for s in seen), CONNECTIONS),
    ]


TRIAL = Trial(
    run=run,
    full={"seconds": 600, "rate": 1500, "slope": 1.0, "growth": 0.05},
    # In seconds there is nothing to be seen of memory but its noise.
    short={"seconds": 4, "rate": 500, "slope": 5000.0, "growth": 1.0},
)
