"""How each mode is measured: on empty storage, by processes of `act`, one case at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from versus.arithmetic import Starts, account, delays, fairness, percentile
from versus.errors import HandFailed
from versus.hand import Hand
from versus.peer import WARM
from versus.plan import LIBRARIES, Profile
from versus.servers import Postgres, redis

__all__ = ["Figure", "Stage", "drain", "insert", "insert1", "latency"]

STALL = 30.0
"""Seconds without a start after which a drain is given up; what has not started is lost."""
WARM_UP = 5
"""Jobs before those whose latency counts."""
GAP = 0.01
"""Seconds between two jobs whose latency is measured."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One value; *lost* and *extra* count jobs that did not run, and runs that were too many."""

    case: str
    unit: str
    value: float
    lost: int = 0
    extra: int = 0


@dataclass
class Stage:
    """A library in a profile, and the servers: where a case takes place."""

    postgres: Postgres
    python: str
    peer: str
    profile: Profile
    news: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def storage(self) -> Iterator[str]:
        """Give the URL of empty storage."""
        store = LIBRARIES[self.peer].store
        with redis() if store == "redis" else self.postgres.database() as url:
            yield url

    def hand(self, url: str, act: str, **task: Any) -> Hand:
        """Start a process that will *act* on the storage at *url*."""
        settings = {**self.profile.settings, **task.pop("settings", {})}
        whole = {"peer": self.peer, "url": url, "settings": settings, "act": act, **task}
        return Hand(self.python, self.news, whole)


def insert(stage: Stage, jobs: int) -> Iterator[Figure]:
    """Insert *jobs* and a first call that does not count, 1000 a call."""
    with stage.storage() as url, stage.hand(url, "bulk", install=True, jobs=jobs + 1000) as hand:
        hand.go()
        yield Figure(case="1000 a call", unit="jobs/s", value=jobs / hand.expect("seconds"))


def insert1(stage: Stage, jobs: int) -> Iterator[Figure]:
    """Insert one by one, from one client and from eight."""
    for clients, case in ((1, "1 thread"), (8, "8 threads")):
        with (
            stage.storage() as url,
            stage.hand(
                url, "each", install=True, jobs=jobs + WARM * clients, clients=clients
            ) as hand,
        ):
            hand.go()
            value = hand.expect("jobs") / hand.expect("seconds")
            yield Figure(case=case, unit="jobs/s", value=value)


def drain(
    stage: Stage,
    jobs: int,
    case: str = "no-op",
    *,
    processes: int = 1,
    pad: int = 0,
    nap: float = 0.0,
) -> Iterator[Figure]:
    """Let a backlog drain, from the first start to the last row that is recorded as finished.

    *pad* is the payload's size in bytes, *nap* how many seconds each job sleeps.
    """
    with stage.storage() as url:
        with stage.hand(url, "bulk", install=True, jobs=jobs, pad=pad) as hand:
            hand.go().expect("seconds")
        starts, finished = _drained(stage, url, jobs, processes, nap)
        lost, extra = account(starts, range(jobs))
        first = min(instant for made in starts for _, instant in made[:1])
        rate = (jobs - lost) / (finished - first)
        yield Figure(case=case, unit="jobs/s", value=rate, lost=lost, extra=extra)
        if processes > 1:
            share = fairness(starts)
            yield Figure(case=f"{case}, busiest/idlest", unit="times", value=share)
            locks = stage.postgres.deadlocks(url)
            yield Figure(case=f"{case}, deadlocks", unit="", value=locks)


def _drained(
    stage: Stage, url: str, jobs: int, processes: int, nap: float
) -> tuple[list[Starts], float]:
    """Return the starts of each process, and the instant when all was recorded as finished."""
    task = {"expected": jobs, "alone": processes == 1, "nap": nap}
    with ExitStack() as stack:
        watch = stack.enter_context(stage.hand(url, "watch"))
        workers = [stack.enter_context(stage.hand(url, "work", **task)) for _ in range(processes)]
        for hand in (watch, *workers):  # what takes long, before the first has a job
            hand.expect("ready")
        if not watch.expect("sees"):
            raise HandFailed("the watch is blind: it sees no unfinished job before the first start")
        for hand in workers:
            hand.go()
        _until_started(stage.news, workers, jobs)
        # Not before: to look costs the server something, and the faster a library, the more of it.
        finished = watch.go().expect("finished")
        for hand in workers:
            hand.say()
        return [hand.expect("starts") for hand in workers], finished


def _until_started(news: threading.Event, workers: list[Hand], jobs: int) -> None:
    """Wait until all jobs have started, or nothing has for long."""
    before, since = 0, time.monotonic()
    while (count := sum(hand.facts["count"] for hand in workers)) < jobs:
        if count > before:
            before, since = count, time.monotonic()
        for hand in workers:
            hand.check()
        if time.monotonic() - since > STALL:
            raise HandFailed(f"{jobs - count} of {jobs} jobs do not start")
        news.wait(0.5)
        news.clear()


def latency(stage: Stage, jobs: int) -> Iterator[Figure]:
    """Insert into an idle queue, from the process that works it and from another."""
    client = {"jobs": jobs + WARM_UP, "first": 1, "gap": GAP}
    for case, where in (("same process", {"client": client}), ("other process", {})):
        with stage.storage() as url, stage.hand(url, "bulk", install=True, jobs=1) as first:
            first.go().expect("seconds")
            with stage.hand(url, "work", expected=1, **where) as worker:
                worker.go()
                _until_started(stage.news, [worker], 1)
                if where:
                    returned = worker.expect("returned")
                else:
                    time.sleep(0.5)
                    with stage.hand(url, "paced", **client) as other:
                        returned = other.go().expect("returned")
                time.sleep(0.5)
                worker.say()
                starts = worker.expect("starts")
        lost, extra = account([starts], range(jobs + WARM_UP + 1))
        if lost:
            raise HandFailed(f"{lost} jobs have not started half a second later")
        waited = delays(returned, 1, starts)[WARM_UP:]
        for percent in (50, 95, 99):
            yield Figure(
                case=f"{case}, p{percent}", unit="ms", value=percentile(waited, percent),
                lost=lost, extra=extra,
            )  # fmt: skip
