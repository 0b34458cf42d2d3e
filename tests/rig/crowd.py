"""What many processes do to two queues that forward to each other, all at once and for a while."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg

from gaffer import Conflict, Gaffer, InvalidTransition, Job, JobState, UnknownJob, machine
from gaffer.driver import Driver
from tests.postgres.verbs import claim, completed, failed, released, settle_and_claim
from tests.rig.waiting import PATIENCE, together

__all__ = ["QUEUES", "WHAT", "Crowd", "deadlocks", "forwarding"]

QUEUES = ["q", "r"]
WHAT = (
    "claimed",
    "settled",
    "settled and claimed",
    "conflict",
    "cancelled or deleted",
    "pruned",
    "paused",
    "inserted there",
)
"""What a crowd counts of what it did."""


def forwarding(g: Gaffer) -> None:
    """Declare the two queues."""
    for name in QUEUES:
        g.ensure_queue(name, max_attempts=5, backoff=0.0)
    for name, other in zip(QUEUES, reversed(QUEUES), strict=True):
        forward = dict.fromkeys(["completed", "failed", "cancelled"], other)
        g.update_queue(name, forward=forward)


def deadlocks(conninfo: str) -> int:
    """Return how many deadlocks the server has broken in a database."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with psycopg.connect(conninfo) as connection:
        [number] = connection.execute(query).fetchone() or [0]
    return int(number)


class Crowd:
    """What many processes do to the two queues of *g* at once; each method does one thing.

    The *drivers*, and whoever inserts in a transaction of his own, are on *conninfo*.
    """

    def __init__(
        self, g: Gaffer, drivers: Sequence[Driver], conninfo: str, chance: random.Random
    ) -> None:
        self._g = g
        self._conninfo = conninfo
        self._drivers = drivers
        self._chance = chance
        self.did: Counter[str] = Counter()

    def insert(self) -> None:
        """Insert a few, of chains and not, some for later."""
        name = self._chance.choice(QUEUES)
        for _ in range(3):
            self._g.insert_many(
                name,
                [None] * self._chance.randint(1, 4),
                chain=self._chance.choice(["a", "b", None, None]),
                priority=self._chance.randint(-1, 1),
                delay=self._chance.choice([None, 0.005]),
            )

    def work(self) -> None:
        """Claim, and settle in any order, each job also by somebody who takes it for lost."""
        here, there = self._chance.sample(self._drivers, 2)
        name = self._chance.choice(QUEUES)
        jobs = claim(here, self._chance.randint(1, 12), self._most(), queue=name)
        settled = [self._settled(here, job) for job in jobs]
        self._against_each_other(partial(self._write, here, settled), there, jobs)

    def work_on(self) -> None:
        """Claim, and then settle and claim in one go a few times, with the same rivals."""
        here, there = self._chance.sample(self._drivers, 2)
        name = self._chance.choice(QUEUES)
        jobs = claim(here, self._chance.randint(1, 12), self._most(), queue=name)
        for last in (False, False, False, True):
            # Seldom forwarded: that takes another statement than what has ended alone.
            settled = [self._settled(here, job)[-1:] for job in jobs]
            if jobs and self._chance.random() < 0.2:
                settled[0] = self._settled(here, jobs[0])
            self._chance.shuffle(settled)
            then: list[Job] = []
            if last:
                write = partial(self._write, here, settled)
            else:
                write = partial(self._write_and_claim, here, settled, name, then)
            self._against_each_other(write, there, jobs)
            jobs = then

    def _against_each_other(
        self, write: Callable[[], None], there: Driver, jobs: Sequence[Job]
    ) -> None:
        """Have a worker *write*, and maybe somebody *there* who takes *jobs* for lost."""
        lost = [[failed(there, job)] for job in jobs]
        self._chance.shuffle(lost)
        writes: list[Callable[[], object]] = [write, partial(self._write, there, lost)]
        if jobs:
            together(writes if self._chance.random() < 0.5 else writes[:1])
            self.did["claimed"] += len(jobs)

    def _most(self) -> int | None:
        return self._chance.choice([None, 30])

    def _settled(self, driver: Driver, job: Job) -> list[Job]:
        """Return a job as it ends and what it is forwarded as, or as it waits again."""
        if self._chance.random() < 0.4:
            return [released(driver, job, self._chance.choice([0.0, 0.005]))]
        after = completed(driver, job)
        other = QUEUES[1 - QUEUES.index(job.queue)]
        made = machine.template(self._g.get_queue(other))
        copy = machine.create(made, "null", id=machine.forwarded_id(after, other), now=driver.now())
        return [copy, after]

    def _write(self, driver: Driver, groups: list[list[Job]]) -> None:
        try:
            driver.job_write([job for group in groups for job in group])
            self.did["settled"] += 1
        except Conflict:
            self.did["conflict"] += 1

    def _write_and_claim(
        self, driver: Driver, groups: list[list[Job]], name: str, then: list[Job]
    ) -> None:
        batch = [job for group in groups for job in group]
        limit, most = self._chance.randint(1, 12), self._most()
        try:
            then += settle_and_claim(driver, batch, limit, most, queue=name)
            self.did["settled and claimed"] += 1
        except Conflict:
            self.did["conflict"] += 1

    def cancel(self) -> None:
        """Cancel, delete or miss some job."""
        name = self._chance.choice(QUEUES)
        jobs = self._g.list(name, state="available", limit=20)
        for job in self._chance.sample(jobs, min(3, len(jobs))):
            deed = self._chance.choice([self._g.cancel, self._g.delete])
            try:
                deed(name, job.id)
                self.did["cancelled or deleted"] += 1
            except (InvalidTransition, UnknownJob):
                self.did["missed"] += 1

    def prune(self) -> None:
        """Prune what has ended, and now and then some that have not."""
        states: list[Any] = [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED]
        if self._chance.random() < 0.1:
            states = [JobState.AVAILABLE, JobState.EXECUTING]
        name = self._chance.choice(QUEUES)
        ids = self._drivers[1].job_prune(name, dict.fromkeys(states, "all"), 50)
        self.did["pruned"] += len(ids)

    def pause(self) -> None:
        """Pause for a moment."""
        name = self._chance.choice(QUEUES)
        for paused in (True, False):
            self.did["paused"] += self._drivers[0].queue_pause(name, paused)
            threading.Event().wait(0.002)

    def insert_there(self) -> None:
        """Insert a few in transactions of one's own, and take some of these back."""
        with psycopg.connect(self._conninfo) as connection:
            for _ in range(5):
                for name in self._chance.sample(QUEUES, 2):
                    chain = self._chance.choice(["a", "b", None])
                    self._g.insert_many(name, [None] * 2, chain=chain, connection=connection)
                if self._chance.random() < 0.3:
                    connection.rollback()
                connection.commit()
                self.did["inserted there"] += 1

    def run(self, seconds: float) -> None:
        """Do all of it at once for a while; raise what a deed raises."""
        over = threading.Event()

        def repeat(deed: Callable[[], None]) -> None:
            while not over.is_set():
                deed()

        deeds = [self.insert, self.insert_there, self.work, self.work_on, self.work_on]
        deeds += [self.cancel, self.cancel, self.prune, self.pause]
        end = threading.Timer(seconds, over.set)
        end.start()
        try:
            together([partial(repeat, deed) for deed in deeds], seconds + PATIENCE)
        finally:
            end.cancel()
            over.set()
