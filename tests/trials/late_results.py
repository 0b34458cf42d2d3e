"""A process is stopped past its lease, others take its jobs over, and then it goes on.

It notices, and tells its jobs that they were taken from it. All their results are late, and have
to be refused: while another runs the job or has ended it, and while the job still waits to be
claimed again. Two processes take turns in being stopped.
"""

from __future__ import annotations

from contextlib import suppress

from gaffer import Job, JobState
from tests.rig.fleet import Fleet, fleet
from tests.rig.processes import Worker
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, until
from tests.trials.figures import Figure, Trial, at_least, exactly


class Rounds:
    """What has become of the jobs of all rounds so far."""

    def __init__(self, nodes: Fleet) -> None:
        self._nodes = nodes
        self._queue = nodes.g.ensure_queue("q", backoff=0.0, timeout=3600.0)
        self._jobs: list[Job] = []
        self.accepted = 0

    def play(self, stopped: Worker, taker: Worker, number: int, *, waiting: bool) -> None:
        """Have *stopped* run jobs, be silent for too long, and go on when *taker* has them.

        With *waiting* nobody can claim them before it goes on.
        """
        taker.freeze()
        jobs = self._queue.insert_many(["until told once"] * number)
        self._jobs += jobs
        ids = {str(job.id) for job in jobs}
        until(lambda: ids <= {line["began"] for line in stopped.said("began")})
        if waiting:
            self._queue.pause()
        taker.thaw()
        stopped.freeze()

        until(lambda: ids <= {*taker.jobs("job.rescue")}, 2 * PATIENCE)
        if not waiting:
            until(lambda: ids <= {*taker.jobs("job.complete")})
        before = self._stored(jobs)
        stopped.thaw()
        with suppress(AssertionError):  # the figures say how many were told
            until(lambda: ids <= {line["told"] for line in stopped.said("told")})
        stopped.go()
        with suppress(AssertionError):  # and how many were offered
            until(lambda: ids <= {*stopped.jobs("job.late")})
        after = self._stored(jobs)
        self.accepted += sum(before[job.id] != after[job.id] for job in jobs)
        stopped.hold()
        stopped.call("info", "q")  # by then it holds
        if waiting:
            self._queue.resume()
        until(lambda: self._nodes.ended("q", len(self._jobs)))

    def _stored(self, jobs: list[Job]) -> dict[object, Job]:
        wanted = {job.id for job in jobs}
        return {job.id: job for job in self._queue.list() if job.id in wanted}

    def wrong(self) -> int:
        """Return how many jobs do not have the result of who took them over."""
        takers = {
            line["began"]: line["process"] for line in self._nodes.said("began") if line["attempt"]
        }
        right = [
            (job.state, job.attempt, job.result) == (JobState.COMPLETED, 2, takers.get(str(job.id)))
            for job in self._queue.list()
        ]
        return len(self._jobs) - sum(right)


def run(rounds: int, jobs: int, lease: float) -> list[Figure]:
    """Stop a process with *jobs* in each of *rounds*."""
    pulse = {"lease": lease, "beat_interval": lease / 4}
    with own_server() as server, fleet(server.conninfo, **pulse) as nodes:
        played = Rounds(nodes)
        options = {"max_workers": jobs, "backoff": 0.0}
        first, second = nodes.work(q=options), nodes.work(q=options)
        for worker in (first, second):
            worker.wait_ready()
        for number in range(rounds):
            # Of four rounds each process has one of either kind.
            played.play(first, second, jobs, waiting=number % 4 in (1, 2))
            first, second = second, first
        late = nodes.told("job.late")
        twice = sum(count > 1 for _, count in nodes.audit.ends())
        told = sum(line["stopping"] for line in nodes.said("told"))
        return [
            exactly("jobs told that others had taken them", told, rounds * jobs),
            at_least("late results offered", late.total(), rounds * jobs),
            exactly("late results accepted", played.accepted, 0),
            exactly("jobs with another result than the taker's", played.wrong(), 0),
            exactly("jobs that ended twice", twice, 0),
            exactly(
                "jobs that ran more than twice", sum(n > 2 for n in nodes.starts().values()), 0
            ),
            exactly("processes that ended", nodes.dead(), 0),
        ]


TRIAL = Trial(
    run=run,
    full={"rounds": 20, "jobs": 50, "lease": 1.0},
    short={"rounds": 2, "jobs": 10, "lease": 1.0},
)
