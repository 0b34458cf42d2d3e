"""Timeouts are settled in time, whatever the job does, and cost the queue neither slot nor thread.

Jobs sleep in Python, block in C, compute, or swallow whatever is thrown at them; of each kind half
are interrupted. All of them outlive their timeout, so that their threads are abandoned for a while.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import gaffer
from gaffer.driver import Driver
from gaffer_driver_memory import MemoryDriver
from gaffer_driver_postgres import EmbeddedServer, PostgresDriver
from tests.rig.chance import chance
from tests.rig.waiting import KEEP, Gate, Recorder, busy, threads, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly, percentile

LONGEST = 0.4
"""The longest timeout, in seconds; the shortest is a quarter of it."""
CREWS = {"sleeps": 6, "blocks": 6, "computes": 1, "swallows": 3}
"""The kinds of jobs, and how many of each may run at once."""


def sleeps(end: float) -> None:
    """Sleep until *end*, waking again and again."""
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))


def blocks(end: float) -> None:
    """Sleep until *end* in one call, into which nothing gets."""
    time.sleep(max(0.0, end - time.monotonic()))


def computes(end: float) -> None:
    """Run bytecode until *end*."""
    busy(end - time.monotonic())


def swallows(end: float) -> None:
    """Go on until *end*, whatever is raised."""
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            sleeps(end)


WORK: dict[str, Callable[[float], None]] = {
    "sleeps": sleeps,
    "blocks": blocks,
    "computes": computes,
    "swallows": swallows,
}


class Account:
    """When attempts were due, and when their timeout was settled."""

    def __init__(self, over: float) -> None:
        self.over = over
        self.due: dict[UUID, float] = {}
        self.settled: dict[UUID, float] = {}
        self.seen = Recorder()

    def work(self, kind: str) -> Callable[[gaffer.Job], None]:
        """Return a worker that outlives its timeout in the way of *kind*."""

        def work(job: gaffer.Job) -> None:
            self.due[job.id] = time.monotonic() + gaffer.current().remaining()
            WORK[kind](self.due[job.id] + self.over)

        return work

    def hook(self, event: gaffer.Event) -> None:
        """Note when a failure was written."""
        if isinstance(event, gaffer.JobFailed):
            self.settled[event.job.id] = time.monotonic()
            self.seen(event)


def run(
    jobs: int,
    late: float,
    over: float = 0.2,
    drivers: Sequence[str] = ("memory", "postgres"),
    seed: int | None = None,
) -> Sequence[Figure]:
    """Let *jobs* time out on each driver; 99 of 100 at most *late* seconds after their deadline.

    They go on for *over* seconds: what ends before anybody could notice is no timeout.
    """
    dice = chance(seed)
    figures: list[Figure] = []
    for name in drivers:
        with opened(name) as driver:
            figures += on(driver, name, jobs, Account(over), late, dice)
    return figures


@contextmanager
def opened(name: str) -> Iterator[Driver]:
    """Give a started driver on new storage."""
    if name == "memory":
        yield MemoryDriver()
        return
    with tempfile.TemporaryDirectory(prefix="gaffer-rig-", ignore_cleanup_errors=True) as place:
        server = EmbeddedServer(Path(place) / "data")
        driver = PostgresDriver(server.start())
        try:
            yield driver
        finally:
            driver.stop()
            server.stop()


def on(
    driver: Driver, name: str, number: int, account: Account, late: float, dice: random.Random
) -> list[Figure]:
    """Let *number* jobs time out on one driver."""
    most = 0
    with gaffer.Gaffer(driver) as g:
        queues = [
            g.ensure_queue(
                f"{kind}{' interrupted' if interrupt else ''}",
                worker=account.work(kind),
                hooks=[account.hook],
                interrupt=interrupt,
                max_workers=crew,
                max_abandoned=1000,
                max_attempts=1,
                prune=KEEP,
            )
            for kind, crew in CREWS.items()
            for interrupt in (False, True)
        ]
        made = [
            queues[at % len(queues)].insert(None, timeout=dice.uniform(LONGEST / 4, LONGEST))
            for at in range(number)
        ]
        deadline = time.monotonic() + 60 + number
        while len(account.settled) < number and time.monotonic() < deadline:
            most = max(most, sum(queue.info().workers.abandoned for queue in queues))
            threading.Event().wait(0.2)
        until(lambda: not any(queue.info().workers.abandoned for queue in queues), 60)
        slots = sum(map(free_slots, queues))
        stored = {job.id: job for queue in queues for job in queue.list(state="failed")}
    after = [account.settled[id] - due for id, due in account.due.items() if id in account.settled]
    ends = Counter(event.job.id for event in account.seen.of(gaffer.JobFailed))
    once = [
        ends[job.id] == stored[job.id].attempt == len(stored[job.id].errors) == 1
        for job in made
        if job.id in stored
    ]
    return [
        exactly(f"{name}: attempts settled once, as timed out", sum(once), number),
        at_most(f"{name}: lateness, 99 of 100", percentile(after, 0.99), late, " s"),
        at_most(f"{name}: lateness, the most", max(after), 4 * late, " s"),
        at_least(f"{name}: most threads counted as abandoned", most, 1),
        exactly(f"{name}: slots that work afterwards", slots, 2 * sum(CREWS.values())),
    ]


def free_slots(queue: gaffer.Queue) -> int:
    """Return how many jobs of *queue* can run at once, after all that has happened to it."""
    gate = Gate()
    most = queue.conf.max_workers
    assert most is not None
    queue.update(worker=gate)
    queue.insert_many([None] * (most + 2), timeout=60)
    gate.wait(most)
    running = queue.info().workers.active
    crew = len(threads(f"gaffer:{queue.name}:worker"))
    gate.open.set()
    queue.flush(60)
    return running if crew == most else 0


TRIAL = Trial(
    run=run,
    full={"jobs": 1000, "late": 0.25},
    # Only in full, on a quiet machine, is it about a quarter of a second.
    short={"jobs": 48, "late": 5.0, "over": 1.5},
)
