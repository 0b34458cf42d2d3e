"""The seam: what gaffer asks of storage. The one module of gaffer that a driver imports.

A driver keeps jobs as values and knows no transition: it writes a batch all or nothing, and only
over what the batch was computed from; it claims; it prunes. The conformance suite in
`gaffer.testing` checks every sentence here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from gaffer.clock import Clock, SystemClock
from gaffer.codec import dump_backoff, dump_errors, load_backoff, load_errors
from gaffer.errors import (
    Conflict,
    DriverError,
    DriverUnavailable,
    KeyHeld,
    MigrationMismatch,
    QueueHasJobs,
    UnknownQueue,
)
from gaffer.health import DriverHealth, Finding
from gaffer.job import (
    INCOMPLETE,
    Backoff,
    Exponential,
    Job,
    JobError,
    JobFilter,
    JobState,
    StateStats,
    evolve,
    restored,
)
from gaffer.machine import Ahead, Cutoffs, ahead, claim

__all__ = [
    "Ahead",
    "Backoff",
    "Claim",
    "Clock",
    "Conflict",
    "Cutoffs",
    "Driver",
    "DriverError",
    "DriverHealth",
    "DriverUnavailable",
    "Exponential",
    "Finding",
    "Job",
    "JobError",
    "JobFilter",
    "JobState",
    "KeyHeld",
    "MigrationMismatch",
    "Node",
    "QueueHasJobs",
    "StateStats",
    "SystemClock",
    "UnknownQueue",
    "ahead",
    "claim",
    "dump_backoff",
    "dump_errors",
    "evolve",
    "load_backoff",
    "load_errors",
    "restored",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Which jobs to claim, and for whom.

    At most *limit* jobs of *queue* (`None`: all that can be had), so that at most
    *global_max_workers* of it are executing (`None`: no limit), for *node*, as of *now*. With
    *even_paused* a paused queue gives jobs too.
    """

    queue: str
    limit: int | None
    global_max_workers: int | None
    node: str
    now: datetime
    even_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A process life, as storage knows it: when it last beat, and what it says of itself.

    *about* is JSON text, or `None`.
    """

    name: str
    beat_at: datetime
    about: str | None = None


class Driver(ABC):
    """Keeps queues and jobs.

    Every method may be called from many threads at once, and raises `DriverUnavailable` when the
    storage does not answer within the driver's deadline. The constructor does no input or output.
    Jobs go in and come out equal in all fields: the JSON texts to the letter, instants to the
    microsecond. What a driver hands out from `job_get`, `job_ended`, `job_list` and `job_claim`
    shares nothing that can be changed with what it keeps.
    """

    unique = False
    """Whether `job_write` sees to keys. Without it gaffer hands over no job that has one."""

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a driver from *url*, whose scheme (up to a ``+``) is the driver's name.

        Raise `DriverError` if it cannot be understood. A driver that takes no URL leaves this out.
        """
        raise DriverError(f"{url!r}: {cls.__name__} takes no URL")

    # -- life ----------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Make ready: connect, migrate. Called before any other method; again does nothing."""

    @abstractmethod
    def stop(self) -> None:
        """Release what `start` took. Again, or without a start, does nothing."""

    def after_fork(self) -> None:  # noqa: B027 - most drivers need nothing here
        """Become usable in a forked child, without touching what belongs to the parent.

        Called in the child, once, before anything else is.
        """

    @property
    def storage(self) -> Hashable:
        """What is kept where: drivers with equal values see the same jobs.

        A write to several queues of one storage is one `job_write`, and so atomic. Two handles on
        one place must be equal here: the default, which is each driver for itself, is right only
        where that cannot be.
        """
        return id(self)

    @property
    def listening(self) -> bool | None:
        """Whether this process hears at once of jobs that others insert; `None`: does not apply.

        From what is known: nobody is asked.
        """
        return None

    def health(self, timeout: float) -> DriverHealth:
        """Return what the storage says of itself, asked now; within *timeout* seconds if it can.

        Raise `DriverUnavailable` if it does not answer.
        """
        self.queue_exists("gaffer")  # whether it is there: what counts is the answer
        return DriverHealth()

    def diagnose(self, timeout: float) -> list[Finding]:
        """Return what is wrong with the storage itself, or may be; within *timeout* seconds.

        For people, now and then. Raise `DriverUnavailable` if it does not answer.
        """
        return []

    def now(self) -> datetime:
        """Return the storage's present instant: the one clock of all its processes."""
        return SystemClock().now()

    # -- queues --------------------------------------------------------------------------------

    @abstractmethod
    def queue_insert(self, name: str) -> None:
        """Keep the name of a queue; again does nothing. A new queue is not paused."""

    @abstractmethod
    def queue_exists(self, name: str) -> bool:
        """Return whether the name is kept."""

    @abstractmethod
    def queue_list(self) -> list[str]:
        """Return all names, sorted by code point."""

    @abstractmethod
    def queue_delete(self, name: str, *, jobs: bool = False) -> None:
        """Forget a queue; with *jobs* all its jobs too, whatever their state.

        Raise `UnknownQueue` if it is not kept, `QueueHasJobs` if it has any job and *jobs* is
        false. All or nothing.
        """

    @abstractmethod
    def queue_pause(self, name: str, paused: bool) -> bool:
        """Keep whether a queue is paused, for every process; return whether that was a change.

        Raise `UnknownQueue`.
        """

    @abstractmethod
    def queue_paused(self, name: str) -> bool:
        """Return whether a queue is paused; false if it is not kept."""

    # -- jobs ----------------------------------------------------------------------------------

    @abstractmethod
    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none; return them as stored, in the same order.

        A job at revision 0 is inserted; one at revision n replaces revision n - 1. Raise
        `Conflict` with the ids of all jobs for which storage holds anything else, or of all that
        stand in *jobs* twice; else raise `UnknownQueue` if the queue of a job at revision 0 is
        not kept. The id, the queue, the chain, the key and `created_at` of a job never change. A
        job written in another state than executing belongs to no node any more; one rewritten as
        executing keeps its node.

        A job with a key (`Job.unique`) holds it in its queue while it is available or executing,
        and, with `Job.unique_until`, at least until then by `now()`: even if it has ended or was
        pruned, but not if it or its queue was deleted. Else, raise `KeyHeld` for all jobs that
        would be available or executing and whose key another holds, as storage is after what
        *jobs* replace; of new ones with one key the first can have it. A job at revision 0 is
        refused even if one of its own id, which was pruned, holds the key. Exact under
        concurrency.

        With *connection* the write is part of the caller's transaction there; raise `DriverError`
        for a connection that is not of this driver's kind, and if it has no such thing.
        """

    @abstractmethod
    def job_get(self, id: UUID) -> Job | None:
        """Return a job, or `None`."""

    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        """Return those of the jobs *ids* that have ended, by id, and `None` for each that is gone.

        Ended jobs are completed, failed or cancelled; gone is what `job_get` would not find. Those
        that are available or executing are left out. Asked again and again, for up to 1,000 ids at
        once, by whoever waits for results: a driver that can do this with one question to its
        storage overrides it.
        """
        found = {id: self.job_get(id) for id in ids}
        return {id: job for id, job in found.items() if job is None or job.state.terminal}

    @abstractmethod
    def job_list(self, filter: JobFilter) -> list[Job]:
        """Return the jobs that meet *filter*, by (created_at, id)."""

    @abstractmethod
    def job_delete(self, id: UUID) -> bool:
        """Delete a job in whatever state; return whether there was one."""

    @abstractmethod
    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return the number of jobs in each of the five states, and their oldest and newest.

        These are instants of `Job.entered_at`. Of available jobs, also since when one is due.
        """

    @abstractmethod
    def job_claim(self, claim: Claim) -> list[Job]:
        """Write `gaffer.machine.claim` of jobs, keep their node, and return them in order.

        The order is priority (highest first), `created_at`, id. A job can be claimed when it is
        available, its `scheduled_at` is `None` or not after ``claim.now``, and, if it has a chain,
        it is the first of that chain's available jobs in its queue (those that wait for their time
        included) and none of them is executing. Exact under concurrency: no job is claimed twice,
        no limit exceeded at any committed instant. Nothing is claimed from a paused queue (but see
        `Claim`) or one that is not kept.
        """

    def job_write_and_claim(self, jobs: Sequence[Job], claim: Claim) -> list[Job]:
        """Do `job_write` of *jobs*, then `job_claim`; return what was claimed.

        What the write has freed, a place under a limit or a chain, can be claimed. Raise what these
        two raise: after `Conflict` and `UnknownQueue` nothing was written and nothing claimed,
        after `DriverUnavailable` each may have been done. A driver that can do both in one
        transaction, and so in half the time, overrides this.
        """
        self.job_write(jobs)
        return self.job_claim(claim)

    @abstractmethod
    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* jobs of *queue*, and return their ids, in any order.

        Those in a state that *cutoffs* names, whose `Job.entered_at` is before its instant, or all
        of them for ``"all"``.
        """

    def job_ahead(self, job: Job) -> Ahead:
        """Return what stands before available *job*, as of `now()`; see `gaffer.machine.ahead`.

        For people who ask why it does not run. This looks at all jobs of the queue; a driver that
        can count overrides it.
        """
        others = self.job_list(JobFilter(queue=job.queue, states=INCOMPLETE))
        return ahead(job, others, now=self.now())

    # -- schedules: optional --------------------------------------------------------------------

    def schedule_last(self, queue: str, name: str) -> datetime | None:
        """Return the last slot that was kept for a schedule of *queue*; `None` for none.

        Raise `DriverError` if this storage keeps no schedules: then queues cannot have them.
        """
        raise DriverError(f"{type(self).__name__} keeps no schedules")

    def schedule_advance(
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep *slot* as the last one of a schedule and insert *jobs*, if the last is *expected*.

        One step: of many that expect the same, one is true. Else, and when it raises, nothing has
        changed. The jobs are at revision 0 and of *queue*. Raise `Conflict` for ids that are taken,
        `UnknownQueue`. A queue that is deleted forgets its schedules.
        """
        raise DriverError(f"{type(self).__name__} keeps no schedules")

    # -- nodes: one process life each ------------------------------------------------------------

    @abstractmethod
    def node_beat(self, node: str) -> None:
        """Note that *node* is alive at `now()`."""

    @abstractmethod
    def node_leave(self, node: str) -> None:
        """Forget a node. What it still executes can be rescued at once."""

    def node_tell(self, node: str, about: str) -> None:  # noqa: B027 - not every storage has room
        """Keep what *node*, which has beaten, says of itself; a node that has not is passed over.

        JSON text of a few kilobytes. Told when it changes, not at each beat. For `node_list`.
        """

    def node_list(self) -> list[Node] | None:
        """Return the nodes that have beaten and not left, by name, the silent ones too.

        `None`: this storage does not tell.
        """
        return None

    @abstractmethod
    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs of *queue* whose node last beat *lease* seconds ago or earlier.

        Or never has, or has left. `None`: of all queues. By (created_at, id). Changes nothing. A
        beat that is ahead of `now()` by more than *lease* may count as none: a clock was set back.
        """

    # -- waking ----------------------------------------------------------------------------------

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call *wake* soon after a job of *queue* may have become claimable, whatever made it so.

        An insert here or elsewhere, its time, a resume, a slot or a chain that was freed: within
        *interval* seconds at the latest, from any thread, holding no lock. A wake too many does no
        harm. Return a function that ends the subscription, or `None` if this driver cannot do it:
        then each runner polls by itself.
        """
        return None
