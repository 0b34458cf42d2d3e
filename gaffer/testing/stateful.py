"""The machine that does to a driver and to the model what a whole deployment might do."""

# ruff: noqa: D102 - the names of the rules say what they do
from __future__ import annotations

import os
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from gaffer import machine
from gaffer.driver import Claim, Job, JobFilter, JobState
from gaffer.job import Outcome, evolve
from gaffer.testing.harness import DriverHarness
from gaffer.testing.rules import (
    NODES,
    QUEUES,
    STEP,
    ChangingRules,
    any_available,
    any_executing,
    any_job,
    handles,
    nodes,
    picks,
    queues,
)
from gaffer.testing.strategies import outcomes

__all__ = ["DriverMachine", "driver_machine", "examples", "machine_settings"]

leases = st.sampled_from([0.5 * STEP, 1.5 * STEP, 2.5 * STEP])
states = st.frozensets(st.sampled_from(JobState))
cutoffs = st.dictionaries(
    st.sampled_from(JobState), st.sampled_from([0, 0, STEP, "all"]), min_size=1, max_size=3
)


def examples(default: int = 50) -> int:
    """Return how many examples to try: the environment's ``GAFFER_EXAMPLES``, or *default*."""
    return int(os.environ.get("GAFFER_EXAMPLES", default))


def machine_settings() -> settings:
    """Return the settings that the suite runs the machine with."""
    return settings(
        max_examples=examples(),
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def driver_machine(harness: DriverHarness) -> type[DriverMachine]:
    """Return the machine for the driver of *harness*."""
    return type("DriverMachine", (DriverMachine,), {"harness": harness})


class DriverMachine(ChangingRules):
    """Every verb, on either of two handles, in lockstep with the model."""

    def claimed(self, handle: int, queue: str, node: str, **limits: Any) -> list[Job]:
        """Claim on both, as of now."""
        limits = {"limit": None, "global_max_workers": None, **limits}
        claim = Claim(queue=queue, node=node, now=self.step.clock.now(), **limits)
        return self.step.claim(handle, claim)

    @precondition(any_available)
    @rule(
        handle=handles,
        pick=picks,
        limit=st.sampled_from([None, None, 0, 1, 2]),
        most=st.sampled_from([1, 1, 2, 3, None]),
        node=nodes,
        even_paused=st.booleans(),
    )
    def claim(
        self,
        handle: int,
        pick: int,
        limit: int | None,
        most: int | None,
        node: str,
        even_paused: bool,
    ) -> None:
        queue = self.some(pick, JobState.AVAILABLE).queue
        limits = {"limit": limit, "global_max_workers": most, "even_paused": even_paused}
        self.claimed(handle, queue, node, **limits)

    @precondition(any_executing)
    @rule(
        handle=handles,
        pick=picks,
        number=st.sampled_from([1, 1, 2, 3]),
        outcome=st.none() | outcomes(),
        late=st.sampled_from([False, False, True]),
        limit=st.sampled_from([None, None, 1]),
        most=st.sampled_from([None, None, 1, 2]),
        node=nodes,
    )
    def settle_and_claim(
        self,
        handle: int,
        pick: int,
        number: int,
        outcome: Outcome | None,
        late: bool,
        limit: int | None,
        most: int | None,
        node: str,
    ) -> None:
        queue, executing = self.some(pick, JobState.EXECUTING).queue, JobState.EXECUTING
        number = min(number, len(self.step.jobs(executing)))
        batch = [self.settled(pick + place, outcome) for place in range(number)]
        if late:
            batch[-1] = evolve(batch[-1], revision=batch[-1].revision + 1)
        now = self.step.clock.now()
        claim = Claim(queue=queue, limit=limit, global_max_workers=most, node=node, now=now)
        self.step.write_and_claim(handle, batch, claim)

    @precondition(any_available)
    @rule(handle=handles, pick=picks, node=nodes)
    def claim_all(self, handle: int, pick: int, node: str) -> None:
        self.claimed(handle, self.some(pick, JobState.AVAILABLE).queue, node)

    @precondition(any_available)
    @rule(handle=handles, pick=picks, resume=st.booleans())
    def pause_and_claim(self, handle: int, pick: int, resume: bool) -> None:
        queue = self.some(pick, JobState.AVAILABLE).queue
        self.step.both(handle, "queue_pause", queue, True)
        assert self.claimed(1 - handle, queue, NODES[0]) == []
        if resume:
            self.step.both(handle, "queue_pause", queue, False)

    @precondition(any_available)
    @rule(handle=handles, pick=picks, node=nodes, outcome=outcomes())
    def work_one(self, handle: int, pick: int, node: str, outcome: Outcome) -> None:
        queue = self.some(pick, JobState.AVAILABLE).queue
        for job in self.claimed(handle, queue, node, limit=1):
            ended = machine.settle(job, outcome, now=self.step.clock.now())
            self.step.both(handle, "job_write", [ended])

    @rule(handle=handles, queue=queues)
    def look_at_queue(self, handle: int, queue: str) -> None:
        self.step.both(handle, "queue_exists", queue)
        self.step.both(handle, "queue_paused", queue)
        self.step.both(handle, "job_stats", queue)

    @precondition(any_job)
    @rule(handle=handles, pick=picks)
    def get(self, handle: int, pick: int) -> None:
        self.step.both(handle, "job_get", self.some(pick).id)
        self.step.both(handle, "job_get", UUID(int=pick))

    @rule(handle=handles, number=st.integers(0, 5), strangers=st.integers(0, 2))
    def look_for_ended(self, handle: int, number: int, strangers: int) -> None:
        ids = [job.id for job in self.step.jobs()[:number]]
        ids += [UUID(int=stranger) for stranger in range(strangers)]
        self.step.both(handle, "job_ended", ids)

    @rule(
        handle=handles,
        queue=st.none() | queues,
        states=st.none() | states,
        limit=st.none() | st.integers(0, 5),
        after=st.none() | picks,
        node=st.none() | nodes,
    )
    def list(self, handle: int, after: int | None, **conditions: Any) -> None:
        behind = None
        if after is not None and any_job(self):
            job = self.some(after)
            behind = (job.created_at, job.id)
        self.step.both(handle, "job_list", JobFilter(after=behind, **conditions))

    @rule(handle=handles, queue=queues, ages=cutoffs, limit=st.sampled_from([1, 2, 1000]))
    def prune(self, handle: int, queue: str, ages: dict[JobState, Any], limit: int) -> None:
        now = self.step.clock.now()
        before = {
            state: age if age == "all" else now - timedelta(seconds=age)
            for state, age in ages.items()
        }
        self.step.prune(handle, queue, before, limit)

    @rule(handle=handles, node=nodes, alive=st.booleans())
    def beat_or_leave(self, handle: int, node: str, alive: bool) -> None:
        self.step.both(handle, "node_beat" if alive else "node_leave", node)
        self.step.both(handle, "job_list", JobFilter(node=node))

    @rule(handle=handles, queue=st.sampled_from([None, *QUEUES]), lease=leases)
    def look_for_orphans(self, handle: int, queue: str | None, lease: float) -> None:
        self.step.both(handle, "job_orphans", queue, lease)

    @rule(steps=st.integers(1, 2))
    def advance(self, steps: int) -> None:
        self.step.advance(steps * STEP)

    @rule(handle=handles, both=st.booleans())
    def reopen(self, handle: int, both: bool) -> None:
        # Where nothing is durable, one handle keeps the storage alive.
        which = (0, 1) if both and self.harness.durable else (handle,)
        self.step.reopen(*which)

    @invariant()
    def the_driver_is_where_the_model_is(self) -> None:
        if hasattr(self, "step"):
            self.step.check()
