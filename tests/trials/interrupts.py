"""`JobTimeout` lands in the job or nowhere, however close to its end the job is shot at.

First the protocol by itself: bodies that sleep, compute or catch exceptions, of about the length
of their timeout, in threads that would notice what lands behind them. Then whole jobs: no thread
is lost, none is left over, and each attempt is settled once.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import gaffer
from gaffer.interrupt import Interrupt
from gaffer_driver_memory import MemoryDriver
from tests.rig.chance import chance
from tests.rig.shots import shots
from tests.rig.waiting import KEEP, Recorder, busy, threads, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

AFTER = 0.002
"""Seconds after which a body by itself is shot at."""
TIMEOUT = 0.01
"""The timeout of a whole job, in seconds."""
CREW = 4
OTHERS = {"gaffer:shot:runner", "gaffer:shot:pruner", "gaffer:watchdog", "gaffer:heartbeat"}


def length(timeout: float) -> float:
    """Return about *timeout*."""
    return timeout * random.uniform(0.9, 1.6)


def sleep(timeout: float) -> None:
    """Sleep for about *timeout*."""
    time.sleep(length(timeout))


def compute(timeout: float) -> None:
    """Compute for about *timeout*."""
    busy(length(timeout))


def catch(timeout: float) -> None:
    """Compute for about *timeout*, as code does that catches what it can."""
    with contextlib.suppress(ValueError):
        try:
            busy(length(timeout))
        except Exception:
            busy(timeout)
        finally:
            busy(timeout / 20)


def unshielded(body: Callable[[float], None], interrupt: Interrupt) -> None:
    """Do a body by itself."""
    body(AFTER)


def work(body: Callable[[float], None], job: gaffer.Job) -> None:
    """Do a body as a job."""
    body(TIMEOUT)


BODIES: dict[str, Callable[[float], None]] = {"sleep": sleep, "compute": compute, "catch": catch}


def run(shots: int, seed: int | None = None) -> Sequence[Figure]:
    """Shoot *shots* times that hit: half at bodies by themselves, half at jobs."""
    random.seed(chance(seed).random())
    with deaths() as dead:
        return [
            *by_itself(shots // 2),
            *in_jobs(shots // 2),
            exactly("threads that died of an exception", len(dead), 0),
        ]


def by_itself(number: int) -> list[Figure]:
    """Shoot at bodies of each kind, until *number* were hit."""
    hit = escaped = passed = 0
    for body in BODIES.values():
        found = shots(
            partial(unshielded, body),
            lambda so_far: so_far.interrupted >= number // len(BODIES),
            after=AFTER,
            timeout=600,
        )
        hit, escaped = hit + found.interrupted, escaped + found.escaped
        passed += found.done
    return [
        at_least("bodies that were hit", hit, number - len(BODIES)),
        at_least("bodies that ended before they were", passed, 1),
        exactly("shots that landed behind a body", escaped, 0),
    ]


def in_jobs(number: int) -> list[Figure]:
    """Run jobs of each kind with ``interrupt=True``, until *number* have timed out."""
    seen = Recorder()
    jobs: list[gaffer.Job] = []
    before = threads()
    with gaffer.Gaffer(MemoryDriver(), hooks=[seen]) as g:
        queue = g.ensure_queue(
            "shot",
            worker={kind: partial(work, body) for kind, body in BODIES.items()},
            interrupt=True,
            timeout=TIMEOUT,
            max_attempts=1,
            max_workers=CREW,
            max_abandoned=1000,
            prune=KEEP,
        )
        while len(seen.of(gaffer.JobFailed)) < number:
            for kind in BODIES:
                jobs += queue.insert_many([None] * 40, kind=kind)
            until(partial(ended, seen, len(jobs)), 60)
        until(lambda: queue.info().workers.abandoned == 0, 20)
        # A thread says that it is home a moment before it ends.
        until(lambda: len(threads("gaffer:shot:worker")) <= CREW, 20)
        left = [thread.name for thread in threads() if thread not in before]
    ends = Counter(
        event.job.id
        for event in seen.events
        if isinstance(event, gaffer.JobCompleted | gaffer.JobFailed)
    )
    strangers = [
        name for name in left if name not in OTHERS and not name.startswith("gaffer:shot:worker")
    ]
    wrong = sum(ends[job.id] != 1 for job in jobs)
    return [
        at_least("jobs that timed out", len(seen.of(gaffer.JobFailed)), number),
        at_least("jobs that ended in time", len(seen.of(gaffer.JobCompleted)), 1),
        exactly("jobs not settled exactly once", wrong, 0),
        at_most("threads at the end: a crew, and four others", len(left), CREW + len(OTHERS)),
        exactly("of these, threads of no known name", len(strangers), 0),
    ]


def ended(seen: Recorder, number: int) -> bool:
    """Return whether *number* jobs have ended."""
    return len(seen.of(gaffer.JobCompleted)) + len(seen.of(gaffer.JobFailed)) >= number


@contextmanager
def deaths() -> Iterator[list[str]]:
    """Give the threads that an exception ends within the block."""
    dead: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda args: dead.append(f"{args.thread}: {args.exc_value!r}")
    try:
        yield dead
    finally:
        threading.excepthook = before


TRIAL = Trial(run=run, full={"shots": 10_000}, short={"shots": 400})
