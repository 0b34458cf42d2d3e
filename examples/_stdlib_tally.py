"""Counts jobs: those of which hooks have heard, and those that storage has."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias
from uuid import UUID

import gaffer

__all__ = ["Stats", "Tally", "ended", "number_in", "told"]

Stats: TypeAlias = Mapping[gaffer.JobState, gaffer.StateStats]


def told(event: gaffer.Event) -> list[tuple[str, str, UUID]]:
    """Return what happened to which jobs: a queue, a kind of event and an id for each."""
    match event:
        case gaffer.JobsClaimed(queue=queue, jobs=jobs):
            return [(queue, "claimed", job.id) for job in jobs]
        case gaffer.JobFailed(job=job) if job.state is gaffer.JobState.AVAILABLE:
            return [(job.queue, "retried", job.id)]
        case (
            gaffer.JobCompleted(job=job) | gaffer.JobFailed(job=job) | gaffer.JobCancelled(job=job)
        ):
            return [(job.queue, job.state.value, job.id)]
        case gaffer.JobInserted(job=job):
            return [(job.queue, "inserted", job.id)]
        case gaffer.JobScheduled(job=job):
            return [(job.queue, "released", job.id)]
        case gaffer.JobRescued(job=job):
            return [(job.queue, "rescued", job.id)]
        case gaffer.JobLate(job=job):
            return [(job.queue, "late", job.id)]
    return []


class Tally:
    """A hook that counts events by queue and kind.

    Hooks run in the thread that made the write: here the main thread and the runners of the
    queues. So there is a lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: gaffer.Event) -> None:
        """Count *event*."""
        for queue, kind, _ in told(event):
            self.add(queue, kind)

    def add(self, queue: str, kind: str) -> None:
        """Count an event of this kind that happened to a job of a queue."""
        with self._lock:
            self._counts[queue, kind] += 1

    def __getitem__(self, key: tuple[str, str]) -> int:
        """Return how many jobs of a queue had a kind of event so far."""
        with self._lock:
            return self._counts[key]


def number_in(stats: Stats, *states: str) -> int:
    """Return how many jobs are in these states."""
    return sum(stats[gaffer.JobState(state)].count for state in states)


def ended(stats: Stats) -> int:
    """Return how many jobs are in a terminal state."""
    return sum(stats[state].count for state in gaffer.JobState if state.terminal)
