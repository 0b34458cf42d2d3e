"""Processes are killed at random: what they ran is rescued in time, and nothing is lost or stuck.

Another of the same name takes the place of the killed one at once.
"""

from __future__ import annotations

import random
import time
from contextlib import suppress

from gaffer import Job, JobState
from tests.rig.fleet import Fleet, fleet
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, until
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

PROCESSES = 3
OPTIONS = {"max_workers": 4, "backoff": 0.0, "max_attempts": 100}


class Rounds:
    """What has become of the jobs of all rounds so far."""

    def __init__(self, nodes: Fleet, chance: random.Random) -> None:
        self._nodes = nodes
        self._chance = chance
        self._queue = nodes.g.ensure_queue("q", backoff=0.0, max_attempts=100)
        self._jobs: list[Job] = []
        self.rescues: list[float] = []

    def play(self, number: int, seconds: float) -> None:
        """Kill a process in the middle of *number* jobs of *seconds* each."""
        self._jobs += self._queue.insert_many([seconds] * number)
        moment = len(self._jobs) - self._chance.randint(number // 4, number)
        until(lambda: len(self._nodes.starts()) > moment)
        alive = [worker for worker in self._nodes.workers if worker.lives]
        killed_at = time.monotonic()
        self._chance.choice(alive).kill()
        self._nodes.work(q=OPTIONS)
        with suppress(AssertionError):  # the figures say what is missing
            until(lambda: self._nodes.ended("q", len(self._jobs)), 3 * PATIENCE)
        lines = self._nodes.said("event", "job.rescue")
        self.rescues += [line["at"] - killed_at for line in lines if line["at"] > killed_at]

    def unfinished(self) -> int:
        """Return how many jobs have not completed."""
        done = [job for job in self._queue.list() if job.state is JobState.COMPLETED]
        return len({job.id for job in self._jobs} - {job.id for job in done})

    def unknown(self) -> int:
        """Return how many jobs have another number of attempts than of begins."""
        starts = self._nodes.starts()
        return sum(job.attempt < starts[str(job.id)] for job in self._queue.list())


def run(
    rounds: int, jobs: int, seconds: float, lease: float, seed: int | None = None
) -> list[Figure]:
    """Kill one of three processes in each of *rounds*."""
    seed = random.randrange(2**32) if seed is None else seed
    pulse = {"lease": lease, "beat_interval": lease / 4, "name": "always the same"}
    with own_server() as server, fleet(server.conninfo, **pulse) as nodes:
        played = Rounds(nodes, random.Random(seed))
        for worker in [nodes.work(q=OPTIONS) for _ in range(PROCESSES)]:
            worker.wait_ready()
        ripe_at = time.monotonic() + 1.5 * lease  # who has beaten for so long may rescue
        until(lambda: time.monotonic() > ripe_at)
        for _ in range(rounds):
            played.play(jobs, seconds)
        longest = max(played.rescues, default=0.0)
        ends = nodes.audit.ends()
        return [
            Figure("the seed of the moments and victims", str(seed), "any", True),
            exactly("processes that were killed", nodes.dead(), rounds),
            at_least("jobs that were rescued", len(played.rescues), 1),
            at_most("the longest until one was", longest, lease + 2 * lease / 4 + 2.0, " s"),
            exactly("jobs that did not complete", played.unfinished(), 0),
            exactly("jobs that execute at the end", nodes.audit.executing(), 0),
            exactly("jobs that ended twice", sum(count > 1 for _, count in ends), 0),
            exactly("jobs that began without an attempt", played.unknown(), 0),
        ]


TRIAL = Trial(
    run=run,
    full={"rounds": 20, "jobs": 40, "seconds": 1.0, "lease": 2.0},
    short={"rounds": 1, "jobs": 30, "seconds": 0.2, "lease": 2.0},
)
