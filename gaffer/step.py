"""One job's step from one revision to the next, as a value that can be written again and again.

Whether an answer of the storage was lost or not, a repeated write is the same write: the step is
computed once, the forwarded job with it, and its id is derived from what ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gaffer.driver import Driver
from gaffer.events import (
    Actor,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobScheduled,
)
from gaffer.job import Job, JobState

__all__ = ["Forwarding", "Mark", "Step", "mark"]

Mark: TypeAlias = tuple[int, int]
"""A job at one of its revisions: what an attempt, and nobody else, may go on from."""


def mark(job: Job) -> Mark:
    """Return what tells *job* from its other revisions."""
    return (job.id.int, job.revision)


JobEvent: TypeAlias = JobCompleted | JobFailed | JobCancelled | JobScheduled


@dataclass(slots=True)
class Forwarding:
    """The job that an ended one becomes: for which driver, and whom to tell when it is stored."""

    driver: Driver
    job: Job
    announce: Callable[[Job, Actor], None]
    stored: bool = False


@dataclass(slots=True)
class Step:
    """*before* becomes *after*, because of *actor*.

    *target* names the queue to forward to; `forwarding` is made of it when it is first written.
    """

    before: Job
    after: Job
    actor: Actor
    target: str | None = None
    rescued: bool = False
    forwarding: Forwarding | None = field(default=None)

    def event(self) -> JobEvent:
        """Return the event that tells of this step."""
        match self.after.state:
            case JobState.COMPLETED:
                return JobCompleted(actor=self.actor, job=self.after)
            case JobState.CANCELLED:
                return JobCancelled(actor=self.actor, job=self.after)
            case JobState.FAILED:
                return JobFailed(actor=self.actor, job=self.after)
        if self.after.attempt > self.before.attempt:
            return JobFailed(actor=self.actor, job=self.after)
        return JobScheduled(actor=self.actor, job=self.after)
