"""Jobs that kill their process, beside innocent ones; whoever dies is started again.

Each death costs all jobs that ran in the process an attempt, since nobody can tell which of them
it was. The poisonous ones end after their attempts; the innocent ones have no more, and survive
since those that were lost twice run one at a time.
"""

from __future__ import annotations

import time
from contextlib import suppress
from uuid import UUID

from gaffer import Job, JobState
from tests.rig.fleet import Fleet, fleet
from tests.rig.server import own_server
from tests.rig.waiting import until
from tests.trials.figures import Figure, Trial, at_most, exactly

ATTEMPTS = 3
PILLS = ("kill", "fault")
SLOTS = 4


def supervise(nodes: Fleet, number: int, seconds: float) -> None:
    """Keep two processes at work until *number* jobs have ended, or for so many seconds."""
    options = {"max_workers": SLOTS}
    deadline = time.monotonic() + seconds

    def tended() -> bool:
        for _ in range(2 - sum(worker.lives for worker in nodes.workers)):
            nodes.work(q=options)
        return nodes.ended("q", number)

    with suppress(AssertionError):  # the figures say what is missing
        until(tended, deadline - time.monotonic())


def run(innocents: int, seconds: float, lease: float) -> list[Figure]:
    """Have two processes run *innocents* of *seconds* each, beside the poisonous jobs."""
    pulse = {"lease": lease, "beat_interval": lease / 4}
    with own_server() as server, fleet(server.conninfo, **pulse) as nodes:
        queue = nodes.g.ensure_queue("q", max_attempts=ATTEMPTS, backoff=lease / 3)
        good = queue.insert_many([seconds] * (innocents // 2))
        pills = [queue.insert(pill) for pill in PILLS]
        good += queue.insert_many([seconds] * (innocents - len(good)))
        supervise(nodes, len(good) + len(pills), 60.0 + 20 * lease)
        stored = {job.id: job for job in queue.list()}
        return [
            *deaths(nodes, pills),
            exactly("poisonous jobs that did not fail", left(stored, pills, JobState.FAILED), 0),
            exactly("innocent jobs lost or failed", left(stored, good, JobState.COMPLETED), 0),
            at_most("attempts that one of them lost", most_lost(stored, good), ATTEMPTS - 1),
            at_most("processes that died", nodes.dead(), ATTEMPTS * len(PILLS)),
        ]


def deaths(nodes: Fleet, pills: list[Job]) -> list[Figure]:
    """Return how often each of *pills* was begun."""
    starts = nodes.starts()
    return [
        at_most(f"deaths by {pill.payload!r}", starts[str(pill.id)], ATTEMPTS) for pill in pills
    ]


def left(stored: dict[UUID, Job], jobs: list[Job], state: JobState) -> int:
    """Return how many of *jobs* did not come to *state*."""
    return sum(job.id not in stored or stored[job.id].state is not state for job in jobs)


def most_lost(stored: dict[UUID, Job], jobs: list[Job]) -> int:
    """Return the most attempts that one of *jobs* lost."""
    return max(len(stored[job.id].errors) for job in jobs if job.id in stored)


TRIAL = Trial(
    run=run,
    full={"innocents": 60, "seconds": 0.5, "lease": 2.0},
    short={"innocents": 12, "seconds": 0.2, "lease": 1.0},
)
