"""The load: inserts of all kinds, and the account of which of them were acknowledged.

It works a little, too: jobs claimed by hand.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg

from gaffer import Conflict, DriverUnavailable, Event, Gaffer, InvalidTransition, NewJob, UnknownJob
from gaffer.driver import JobFilter
from gaffer.ids import job_id
from gaffer.job import INCOMPLETE
from tests.chaos.queues import end_of
from tests.rig.history import Scribe

__all__ = ["Load"]

MOST_WAITING = 150
"""Jobs that are not done, beyond which no more are inserted: the chaos is no test of speed."""
BY_HAND = ("limited", "chained", "letters", "orders")
_WEIGHTS = {
    "limited": 5,
    "chained": 5,
    "letters": 4,
    "orders": 4,
    "timed": 1,
    "poison": 0.1,
}

Job = tuple[Any, dict[str, Any]]


class Load:
    """Inserts through *g*, and through connections of its own, until *over*.

    Two threads insert, one claims by hand, and writes what it does by *scribe*.
    """

    def __init__(
        self, g: Gaffer, conninfo: str, scribe: Scribe, over: threading.Event, seed: int
    ) -> None:
        self.g = g
        self._scribe = scribe
        self._conninfo = conninfo
        self._over = over
        inserts = [self._one, self._one, self._one, self._many, self._transaction]
        self._threads = [
            threading.Thread(
                target=self._run, args=[deeds, random.Random(f"{seed} load {n}")], daemon=True
            )
            for n, deeds in enumerate([inserts, inserts, [self._by_hand]])
        ]
        # Ids, to which the threads and the nemeses add:
        self.tried: set[UUID] = set()
        self.acknowledged: set[UUID] = set()
        self.rolled_back: set[UUID] = set()
        self.deleted: set[UUID] = set()
        self.unordered: set[UUID] = set()
        self.recent: list[tuple[str, UUID]] = []
        self.told: list[tuple[UUID, str]] = []
        self.errors: list[BaseException] = []
        g.configure(hooks=[self._tell])

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def _tell(self, event: Event) -> None:
        if (end := end_of(event)) is not None:
            self.told.append(end)

    def join(self) -> None:
        """Wait until the last call has returned."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "an insert or a claim does not return"

    def _run(self, deeds: Sequence[Callable[[random.Random], None]], rng: random.Random) -> None:
        try:
            while not self._over.wait(rng.uniform(0.0, 0.3)):
                with suppress(DriverUnavailable, psycopg.OperationalError):
                    if self.waiting() < MOST_WAITING:
                        rng.choice(deeds)(rng)
        except BaseException as error:
            self.errors.append(error)
            raise

    def waiting(self) -> int:
        """Return how many jobs are not done, but not of very many."""
        driver = self.g.get_queue("dead").driver
        return len(driver.job_list(JobFilter(states=INCOMPLETE, limit=MOST_WAITING)))

    def _by_hand(self, rng: random.Random) -> None:
        self.work_by_hand(rng.choice(BY_HAND), rng.choice([0.0, 0.1, 0.5]))

    def work_by_hand(self, queue: str, seconds: float = 0.0) -> None:
        """Claim a job, and do it, in so many seconds."""
        with suppress(Conflict, ValueError), self.g.claim(queue) as job:
            if job is not None:
                self._scribe.write(job.job, "start")
                self._over.wait(seconds)
                if job.payload["do"] == "raise" and job.attempt < job.payload["times"]:
                    raise ValueError("as I was told")
                self._scribe.write(job.job, "end")

    def _one(self, rng: random.Random) -> None:
        queue, payload, options = _some(rng)
        id = self._trying(1)[0]
        self.g.insert(queue, payload, id=id, **options)
        self._stored(queue, [id])

    def _many(self, rng: random.Random) -> None:
        queue, _, _ = _some(rng)
        jobs = [_job(rng, queue) for _ in range(rng.randint(2, 12))]
        ids = self._trying(len(jobs))
        self.g.insert_many(
            queue, [NewJob(p, id=id, **options) for id, (p, options) in zip(ids, jobs, strict=True)]
        )
        self._stored(queue, ids)

    def _transaction(self, rng: random.Random) -> None:
        """Insert in a transaction of our own, and commit it or not."""
        ids = self._trying(rng.randint(1, 3))
        self.unordered.update(ids)
        commits = rng.random() < 0.6
        queue = rng.choice(["limited", "chained", "orders"])
        if not commits:
            self.rolled_back.update(ids)  # whatever happens, a commit is never sent
        with psycopg.connect(self._conninfo, connect_timeout=5) as connection:
            for id in ids:
                payload, options = _job(rng, queue)
                self.g.insert(queue, payload, id=id, connection=connection, **options)
            self._over.wait(rng.choice([0.0, 0.0, 0.2]))
            if not commits:
                connection.rollback()
                return
            connection.commit()
        self._stored(queue, ids)

    def _trying(self, number: int) -> list[UUID]:
        ids = [job_id() for _ in range(number)]
        self.tried.update(ids)
        return ids

    def _stored(self, queue: str, ids: list[UUID]) -> None:
        self.acknowledged.update(ids)
        self.recent = [*self.recent[-30:], *((queue, id) for id in ids)]

    # -- for the nemeses ---------------------------------------------------------------------------

    def cancel_some(self, rng: random.Random) -> None:
        """Cancel some of the jobs that came last, if they may be."""
        for queue, id in rng.sample(self.recent, min(5, len(self.recent))):
            with suppress(InvalidTransition, UnknownJob):
                self.g.cancel(queue, id)

    def delete_some(self, rng: random.Random) -> None:
        """Delete some of the jobs that came last."""
        for queue, id in rng.sample(self.recent, min(2, len(self.recent))):
            self.deleted.add(id)
            with suppress(UnknownJob):
                self.g.delete(queue, id)


def _some(rng: random.Random) -> tuple[str, Any, dict[str, Any]]:
    [queue] = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    return (queue, *_job(rng, queue))


def _job(rng: random.Random, queue: str) -> Job:
    """Return a payload and options."""
    options: dict[str, Any] = {}
    if rng.random() < 0.15:
        options["delay"] = rng.uniform(0.1, 3.0)
    if rng.random() < 0.3:
        options["priority"] = rng.randint(-2, 2)
    if queue == "chained" and rng.random() < 0.9:
        options["chain"] = f"chain {rng.randrange(6)}"
    if queue == "timed":
        return {"do": "hang", "seconds": rng.choice([0.1, 0.8, 2.0])}, options
    if queue == "poison":
        return {"do": "poison"}, options
    if queue == "letters" and rng.random() < 0.5:
        return {"do": "raise", "times": rng.randint(1, 3)}, options
    match rng.randrange(12):
        case 0:
            return {"do": "raise", "times": 1}, options
        case 1:
            return {"do": "again", "delay": rng.uniform(0.0, 0.5)}, options
        case 2:
            return {"do": "cancel"}, options
        case 3:
            # Not interrupted: it outlives its attempt, and its result comes too late.
            return {"do": "hang", "seconds": 0.9}, {
                **options,
                "timeout": 0.6,
                "max_attempts": 2,
            }
    return {"do": "work", "seconds": rng.choice([0.0, 0.01, 0.05, 0.2])}, options
