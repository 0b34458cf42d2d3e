"""The rules of the machine in `gaffer.testing.stateful` that change queues and jobs.

Rules take small numbers that choose among what there is, so that a failing run is printed as a
short program that can be pasted and run.
"""

# ruff: noqa: D102 - the names of the rules say what they do
from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gaffer import machine
from gaffer.driver import JobState
from gaffer.job import Complete, Job, Outcome, evolve
from gaffer.testing.harness import DriverHarness
from gaffer.testing.lockstep import Lockstep, New
from gaffer.testing.strategies import outcomes
from gaffer.testing.values import new_job

__all__ = [
    "NODES",
    "STEP",
    "ChangingRules",
    "any_available",
    "any_executing",
    "any_job",
    "handles",
    "nodes",
    "picks",
    "queues",
]

QUEUES = ["a", "b", "it's 100 %s \U0001f4a5"]
FAULTS = [
    "retried",
    "unknown queue",
    "id taken",
    "twice",
    "deleted",
    "same",
    "one behind",
    "two ahead",
]
NODES = ["n1", "n2", "n3"]
STEP = 100
"""Seconds that the clock moves at least; leases lie midway, far from what real clocks add."""

handles = st.sampled_from([0, 1])
queues = st.sampled_from(QUEUES)
nodes = st.sampled_from(NODES)
picks = st.integers(0, 9)
specs = st.builds(
    New,
    queue=st.sampled_from([0, 0, 0, 1, 2]),
    chain=st.sampled_from([None, None, "c", "d"]),
    priority=st.integers(-1, 1),
    due=st.sampled_from([None, None, None, -STEP, 0, STEP]),
    age=st.sampled_from([0, 0, STEP]),
    attempts=st.integers(1, 2),
    unique=st.sampled_from([None, None, "k", "l"]),
    period=st.sampled_from([None, None, STEP // 2, 3 * STEP // 2]),
)
batches = st.lists(specs, min_size=1, max_size=5)


def any_job(self: ChangingRules) -> bool:
    """Whether there is a job."""
    return bool(self.step.jobs())


def any_available(self: ChangingRules) -> bool:
    """Whether there is an available job."""
    return bool(self.step.jobs(JobState.AVAILABLE))


def any_executing(self: ChangingRules) -> bool:
    """Whether there is an executing job."""
    return bool(self.step.jobs(JobState.EXECUTING))


def any_queue(self: ChangingRules) -> bool:
    """Whether there is a queue."""
    return bool(self.step.model.queue_list())


class ChangingRules(RuleBasedStateMachine):
    """All that changes storage by name, on either of two handles, in lockstep with the model."""

    harness: DriverHarness

    @initialize(batch=batches)
    def start(self, batch: list[New]) -> None:
        self.step = Lockstep(self.harness)
        self.gone: list[Job] = []
        for queue in QUEUES[:2]:
            self.step.both(0, "queue_insert", queue)
        self.insert(0, batch)

    def teardown(self) -> None:
        if hasattr(self, "step"):
            self.step.close()

    def some(self, pick: int, *states: JobState) -> Job:
        """Return one of the jobs in *states*."""
        jobs = self.step.jobs(*states)
        return jobs[pick % len(jobs)]

    def make(self, batch: list[New]) -> list[Job]:
        """Make jobs for queues that are kept."""
        queues = self.step.model.queue_list()
        return [self.step.new(spec, queues) for spec in batch if queues]

    def settled(self, pick: int, outcome: Outcome | None, roll: float = 0.5) -> Job:
        """Return one of the executing jobs, settled or (for `None`) released."""
        job = self.some(pick, JobState.EXECUTING)
        if outcome is None:
            return machine.release(job)
        return machine.settle(job, outcome, now=self.step.clock.now(), roll=roll)

    @rule(handle=handles, queue=queues)
    def insert_queue(self, handle: int, queue: str) -> None:
        self.step.both(handle, "queue_insert", queue)

    # Seldom with jobs: a machine that is always empty finds nothing.
    @rule(handle=handles, queue=queues, jobs=st.sampled_from([False, False, True]))
    def delete_queue(self, handle: int, queue: str, jobs: bool) -> None:
        self.step.both(handle, "queue_delete", queue, jobs=jobs)

    @rule(handle=handles, queue=queues, paused=st.sampled_from([False, False, True]))
    def pause_queue(self, handle: int, queue: str, paused: bool) -> None:
        self.step.both(handle, "queue_pause", queue, paused)

    @precondition(any_queue)
    @rule(handle=handles, batch=batches)
    def insert(self, handle: int, batch: list[New]) -> None:
        self.step.both(handle, "job_write", self.make(batch))

    @precondition(any_executing)
    @rule(handle=handles, pick=picks, outcome=st.none() | outcomes(), roll=st.floats(0, 0.9))
    def settle(self, handle: int, pick: int, outcome: Outcome | None, roll: float) -> None:
        self.step.both(handle, "job_write", [self.settled(pick, outcome, roll)])

    @precondition(any_executing)
    @rule(handle=handles)
    def settle_all(self, handle: int) -> None:
        batch = [
            self.settled(pick, Complete(pick))
            for pick in range(len(self.step.jobs(JobState.EXECUTING)))
        ]
        self.step.both(handle, "job_write", batch[::-1])

    @precondition(any_executing)
    @rule(handle=handles, pick=picks, spec=specs, known=st.booleans())
    def forward(self, handle: int, pick: int, spec: New, known: bool) -> None:
        targets = self.step.model.queue_list() if known else ["unknown"]
        batch = [self.step.new(spec, targets), self.settled(pick, Complete())]
        self.step.both(handle, "job_write", batch)

    @precondition(any_available)
    @rule(handle=handles, pick=picks)
    def cancel(self, handle: int, pick: int) -> None:
        job = self.some(pick, JobState.AVAILABLE)
        self.step.both(handle, "job_write", [machine.cancel(job, now=self.step.clock.now())])

    @precondition(any_job)
    @rule(handle=handles, pick=picks)
    def delete(self, handle: int, pick: int) -> None:
        job = self.some(pick)
        assert self.step.both(handle, "job_delete", job.id)
        assert not self.step.both(handle, "job_delete", job.id)
        self.step.refused(1 - handle, [evolve(job, revision=job.revision + 1)], job.id)
        self.gone.append(job)

    # One rule for all refusals: they change nothing, and must not crowd out what does.
    @precondition(any_job)
    @rule(handle=handles, pick=picks, batch=batches, fault=st.sampled_from(FAULTS))
    def write_what_is_refused(self, handle: int, pick: int, batch: list[New], fault: str) -> None:
        job, good = self.some(pick), self.make(batch)
        if fault == "unknown queue":
            self.step.both(handle, "job_write", [*good, self.step.new(batch[0], ["unknown"])])
        elif fault == "retried":
            again = evolve(
                job,
                revision=job.revision + 1,
                state=JobState.AVAILABLE,
                max_attempts=max(job.max_attempts, job.attempt + 1),
                completed_at=None,
                failed_at=None,
                cancelled_at=None,
            )
            self.step.both(handle, "job_write", [*good, again])
        elif fault == "deleted" and self.gone:
            late = self.gone[pick % len(self.gone)]
            self.step.refused(handle, [evolve(late, revision=late.revision + 1), *good], late.id)
        elif fault == "twice" and good:
            self.step.refused(handle, [*good, good[0]], good[0].id)
        elif fault == "id taken":
            self.step.refused(handle, [new_job(job.queue, "again", id=job.id), *good], job.id)
        else:
            ahead = {"one behind": -1, "two ahead": 2}.get(fault, 0)
            # Revision 0 would be an insert: refused as well, for the id is taken.
            wrong = evolve(job, revision=max(0, job.revision + ahead), priority=7)
            self.step.refused(handle, [*good, wrong], job.id)
