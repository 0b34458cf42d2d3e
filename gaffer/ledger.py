"""One queue's reads and writes: configuration, driver and hooks put together. No thread, no lock.

Here, and nowhere else, the state machine is asked, the clock read, and a job's events emitted. A
write that storage does not confirm may be repeated: see `gaffer.step`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from random import random
from typing import Any, Protocol
from uuid import UUID

from gaffer import codec, machine
from gaffer.batches import BATCH, PLAIN, batches, has_id
from gaffer.conf import NewJob, OnConflict, QueueConf, check_id, check_job
from gaffer.driver import Claim, Driver
from gaffer.errors import (
    AlreadyForwarded,
    InvalidJob,
    InvalidPayload,
    KeyHeld,
    UnknownJob,
)
from gaffer.events import (
    Actor,
    Event,
    Hook,
    JobDeleted,
    JobInserted,
    JobLate,
    JobReplaced,
    JobRescued,
    JobsClaimed,
    emit,
)
from gaffer.failures import lost
from gaffer.ids import job_id, job_ids
from gaffer.job import INCOMPLETE, Job, JobFilter, JobState, Outcome, StateStats
from gaffer.step import Step
from gaffer.tally import Tally
from gaffer.unique import Unique, exists, require_keys
from gaffer.writing import Claiming, Writing, insert_surely

__all__ = ["Ledger", "Waits"]

_log = logging.getLogger("gaffer.ledger")


class Waits(Protocol):
    """Those who wait for results here; true while there are any."""

    def __bool__(self) -> bool: ...

    def ended(self, jobs: Iterable[Job]) -> None:
        """Hear of jobs that were written; those that have not ended are of no interest."""
        ...

    def gone(self, ids: Iterable[UUID]) -> None:
        """Hear of jobs that were deleted."""
        ...


class Ledger:
    """The jobs of one queue, for one process.

    *hooks* gives the global hooks; *ledger_of* finds the ledger of a queue to forward to, or raises
    `UnknownQueue`; *waits* are told what ends, and payloads may take *max_bytes*.
    """

    def __init__(
        self,
        conf: QueueConf,
        *,
        hooks: Callable[[], tuple[Hook, ...]],
        ledger_of: Callable[[str], Ledger],
        waits: Waits | None = None,
        max_bytes: int = codec.MAX_BYTES,
    ) -> None:
        self._global_hooks = hooks
        self.ledger_of = ledger_of
        self._waits = waits
        self.max_bytes = max_bytes
        self.late = 0  # results that came too late and were dropped
        self.tally = Tally()
        self.writings = 0  # how often a step was written here: tells the pruner that there is work
        self.configure(conf)

    def configure(self, conf: QueueConf) -> None:
        """Replace the configuration as a whole."""
        self.conf = conf
        self.driver: Driver = conf.driver
        self.template = machine.template(conf)

    def emit(self, event: Event) -> None:
        """Call the hooks with *event*: the global ones, then the queue's."""
        emit((*self._global_hooks(), *self.conf.hooks), event)

    @property
    def heard(self) -> bool:
        """Whether any hook listens; events are not even made when none does."""
        return bool(self.conf.hooks) or bool(self._global_hooks())

    # -- inserting ---------------------------------------------------------------------------------

    def insert(
        self,
        payload: Any,
        options: Mapping[str, Any],
        connection: Any = None,
        on_conflict: OnConflict = "return",
    ) -> Job:
        """Insert one job."""
        checked = check_job(options) if options else {}
        new = self._new(payload, checked, job_id(), self.driver.now())
        [job] = self._insert([new], connection, on_conflict)
        return job

    def id_of(self, payload: Any, options: Mapping[str, Any]) -> UUID:
        """Return the id that an insert with these *options* gets, or is to be given as an option.

        Raise `InvalidJob` for options that it would not take.
        """
        checked = check_job(options)
        if has_id(payload):
            return check_id(payload.id)
        return checked.get("id") or job_id()

    def insert_many(
        self,
        payloads: Iterable[Any],
        options: Mapping[str, Any],
        connection: Any = None,
        on_conflict: OnConflict = "return",
    ) -> Iterator[list[Job]]:
        """Insert jobs: a sequence in one write, an iterator in batches of 1,000, which it gives."""
        for one in ("id", "unique"):
            if options.get(one) is not None:
                raise InvalidJob(f"{one}: one for many; use NewJob(payload, {one}=...)", keys=[one])
        if on_conflict == "replace":
            raise InvalidJob("on_conflict='replace': only insert replaces", keys=["on_conflict"])
        if isinstance(payloads, str | bytes | Mapping) or not isinstance(payloads, Iterable):
            raise InvalidJob(
                "insert_many takes a list or an iterator of payloads", keys=["payloads"]
            )
        checked, done = check_job(options), 0
        for batch in batches(payloads):
            yield self._insert(self._new_batch(batch, checked, done), connection, on_conflict)
            done += len(batch)

    def _new_batch(self, batch: Sequence[Any], options: Mapping[str, Any], first: int) -> list[Job]:
        made: list[Job] = []
        # Jobs of one instant are in the order of their ids; if these are not all ours, of instants.
        now = None if any(map(has_id, batch)) else self.driver.now()
        try:
            for payload, id in zip(batch, job_ids(len(batch)), strict=True):
                made.append(self._new(payload, options, id, now or self.driver.now()))
        except InvalidPayload as error:
            place = f"payloads[{first + len(made)}]"
            raise InvalidPayload(place + error.path.removeprefix("payload"), error.reason) from None
        return made

    def _new(self, payload: Any, options: Mapping[str, Any], id: UUID, now: datetime) -> Job:
        kind = type(payload)  # not isinstance: it asks the object, which may raise
        if kind in PLAIN:
            pass
        elif issubclass(kind, NewJob):
            options = {**options, **check_job(payload.options())}
            payload = payload.payload
        elif issubclass(kind, Job):
            raise InvalidJob("a Job is no payload; insert NewJob(job.payload, kind=job.kind, ...)")
        text = codec.encode(payload, limit=self.max_bytes)
        if not options:
            return machine.create(self.template, text, id=id, now=now)
        if "unique_for" in options and "unique" not in options:
            raise InvalidJob("unique_for: give the key too, as unique", keys=["unique_for"])
        return machine.create(self.template, text, **{"id": id, "now": now, **options})

    def _insert(self, jobs: list[Job], connection: Any, on_conflict: OnConflict) -> list[Job]:
        if require_keys(self.driver, jobs):
            return self._insert_unique(jobs, connection, on_conflict)
        self._write_new(jobs, connection)
        self.announce(jobs, "user")
        return jobs

    def _write_new(self, jobs: Sequence[Job], connection: Any) -> None:
        if connection is not None:
            self.driver.job_write(jobs, connection)
        elif jobs:
            insert_surely(self.driver, jobs)

    def _insert_unique(self, jobs: list[Job], connection: Any, how: OnConflict) -> list[Job]:
        unique = Unique(jobs, how, lambda batch: self._write_new(batch, connection))
        done = unique.run()
        self.announce(unique.inserted, "user")
        for job in unique.replaced:
            self.emit(JobReplaced(actor="user", job=job))
        return done

    def announce(self, jobs: Iterable[Job], actor: Actor) -> None:
        """Tell the hooks of inserted jobs."""
        if self.heard:
            for job in jobs:
                self.emit(JobInserted(actor=actor, job=job))

    def forwarded(self, job: Job) -> Job:
        """Return the job of this queue that ended *job* of another becomes."""
        return machine.create(
            self.template,
            machine.forwarded_json(job, limit=self.max_bytes),
            id=machine.forwarded_id(job, self.conf.name),
            now=self.driver.now(),
            kind=job.kind,
            hops=job.hops + 1,
        )

    # -- reading -----------------------------------------------------------------------------------

    def get(self, id: UUID) -> Job:
        """Return a job of this queue, or raise `UnknownJob`."""
        job = self.driver.job_get(check_id(id))
        if job is None or job.queue != self.conf.name:
            raise UnknownJob(self.conf.name, id)
        return job

    def stats(self) -> Mapping[JobState, StateStats]:
        """Return count, oldest and newest of each state."""
        return self.driver.job_stats(self.conf.name)

    def incomplete(self) -> bool:
        """Return whether any job is available (scheduled ones too) or executing, in any process."""
        return bool(
            self.driver.job_list(JobFilter(queue=self.conf.name, states=INCOMPLETE, limit=1))
        )

    def held(self, node: str) -> list[Job]:
        """Return the jobs that storage believes *node* to execute."""
        return self.driver.job_list(
            JobFilter(queue=self.conf.name, states=frozenset({JobState.EXECUTING}), node=node)
        )

    # -- changing ----------------------------------------------------------------------------------

    def claiming(self, limit: int | None, node: str, *, even_paused: bool = False) -> Claim:
        """Return the claim, as of now, of up to *limit* jobs for *node*; see `claimed`."""
        return Claim(
            queue=self.conf.name,
            limit=limit,
            global_max_workers=self.conf.global_max_workers,
            node=node,
            now=self.driver.now(),
            even_paused=even_paused,
        )

    def claimed(self, jobs: Sequence[Job], actor: Actor) -> None:
        """Tell the hooks of claimed jobs, when they are accounted for: a hook may claim, too."""
        if jobs and self.heard:
            self.emit(JobsClaimed(actor=actor, queue=self.conf.name, jobs=tuple(jobs)))

    def settling(
        self, job: Job, outcome: Outcome, actor: Actor, now: datetime | None = None
    ) -> Step:
        """Return the step of executing *job* that *outcome* means, as of *now* or the present."""
        now = now or self.driver.now()
        return self._step(job, machine.settle(job, outcome, now=now, roll=random()), actor)

    def releasing(self, job: Job) -> Step:
        """Return the step of executing *job* back to available, at no cost."""
        return self._step(job, machine.release(job), "runner")

    def _step(self, before: Job, after: Job, actor: Actor) -> Step:
        forward = self.conf.forward
        target = forward.get(after.state) if forward and after.state.terminal else None
        if target is not None and before.hops >= machine.MAX_HOPS:
            _log.error("job %s: not forwarded to %r after %d hops", after.id, target, before.hops)
            note = f"not forwarded to {target!r}: forwarded {before.hops} times already"
            after, target = machine.noted(after, note, now=self.driver.now()), None
        return Step(before, after, actor, target)

    def write(self, steps: Sequence[Step], claiming: Claiming | None = None) -> Writing:
        """Write *steps*, as many as can be, and tell the hooks; see `Writing`.

        Raise `DriverUnavailable` if storage does not answer; the same steps may be written again.
        """
        writing = Writing(self.driver, steps, self.ledger_of, claiming)
        writing.run()
        self.writings += 1
        self.tally.count(writing.written)
        if self._waits:
            self._waits.ended([step.after for step in writing.written])
        if self.heard or any(step.forwarding for step in writing.written):
            for step in writing.written:
                self._told(step)
        return writing

    def _told(self, step: Step) -> None:
        if step.rescued:
            self.emit(JobRescued(actor=step.actor, job=step.after))
        self.emit(step.event())
        if step.forwarding is not None:
            step.forwarding.announce(step.forwarding.job, step.actor)

    def too_late(self, job: Job, actor: Actor) -> None:
        """Count, log and tell the hooks that the result of *job*'s attempt was dropped."""
        self.late += 1
        _log.info("the result of job %s came too late and is dropped", job.id)
        self.emit(JobLate(actor=actor, job=job))

    def cancel(self, id: UUID) -> Job:
        """Cancel an available job; raise `InvalidTransition` or `UnknownJob`."""
        return self._change(id, lambda job: machine.cancel(job, now=self.driver.now()))

    def retry(self, id: UUID) -> Job:
        """Make a failed or cancelled job available; see `Gaffer.retry`."""
        try:
            return self._change(id, self._retried)
        except KeyHeld as held:
            raise exists(self.get(id), held) from None

    def _retried(self, job: Job) -> Job:
        after = machine.retry(job, now=self.driver.now())
        # Whoever forwarded it may have known more queues than are declared here.
        self._refuse_copies(job, self.driver, self.driver.queue_list())
        target = self.conf.forward.get(job.state)
        if target is not None:
            self._refuse_copies(job, self.ledger_of(target).driver, [target])
        return after

    def _refuse_copies(self, job: Job, driver: Driver, queues: Iterable[str]) -> None:
        """Raise `AlreadyForwarded` if *driver* has what ended *job* became in one of *queues*."""
        names = {machine.forwarded_id(job, name): name for name in queues}
        ended = driver.job_ended(list(names))
        for copy, name in names.items():
            if ended.get(copy, job) is not None:
                raise AlreadyForwarded(job.id, name, copy)

    def _change(self, id: UUID, change: Callable[[Job], Job]) -> Job:
        while True:
            job = self.get(id)
            writing = self.write([self._step(job, change(job), "user")])
            if writing.written:
                return writing.written[0].after
            writing.raise_if_stuck()
            # Somebody was quicker: look again.

    def delete(self, id: UUID) -> None:
        """Delete a job in whatever state; raise `UnknownJob`."""
        self.get(id)
        if not self.driver.job_delete(id):
            raise UnknownJob(self.conf.name, id)
        self.deleted([id], "user")

    def prune(self, actor: Actor) -> list[UUID]:
        """Delete what is old enough, in batches; return the ids."""
        cutoffs = machine.cutoffs(self.conf.prune, now=self.driver.now())
        pruned: list[UUID] = []
        while cutoffs:
            ids = self.driver.job_prune(self.conf.name, cutoffs, BATCH)
            self.deleted(ids, actor)
            pruned += ids
            if len(ids) < BATCH:
                break
        return pruned

    def deleted(self, ids: Iterable[UUID], actor: Actor) -> None:
        """Tell the hooks of deleted jobs."""
        if self._waits:
            ids = list(ids)
            self._waits.gone(ids)
        if self.heard:
            for id in ids:
                self.emit(JobDeleted(actor=actor, queue=self.conf.name, job_id=id))

    def rescue(self, orphans: Iterable[Job], lease: float) -> None:
        """Settle the jobs of silent nodes as failed attempts."""
        steps = [self._rescuing(job, lease) for job in orphans]
        for step in steps:
            step.rescued = True
        self.write(steps)

    def _rescuing(self, job: Job, lease: float) -> Step:
        now = self.driver.now()
        after = machine.rescued(job, lost(lease), lease, now=now, roll=random())
        return self._step(job, after, "runner")
