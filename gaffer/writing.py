"""Writing to storage so that a lost answer neither loses a job nor doubles one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import Protocol, TypeAlias
from uuid import UUID

from gaffer.clock import monotonic
from gaffer.driver import Claim, Driver
from gaffer.errors import Conflict, DriverUnavailable, KeyHeld, UnknownQueue
from gaffer.events import Actor
from gaffer.job import Job
from gaffer.step import Forwarding, Step

__all__ = ["Claiming", "Writing", "insert_surely"]

_log = logging.getLogger("gaffer.writing")

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 1.0)
"""Seconds before each repetition of an insert that storage did not confirm."""
_PATIENCE = 20.0
"""Seconds after which none is begun: each may take as long as the driver waits for an answer."""


Claiming: TypeAlias = Callable[[int, Callable[[Claim], list[Job]]], bool]
"""Claims by a call that writes so many steps as well; returns false if it did not call, because
there is nothing to claim for. Whatever the call raises is raised."""


class Target(Protocol):
    """What forwarding needs to know of a queue; a ledger."""

    driver: Driver

    def forwarded(self, job: Job) -> Job:
        """Return the job that ended *job* becomes."""
        ...

    def announce(self, jobs: Sequence[Job], actor: Actor) -> None:
        """Tell the hooks of inserted jobs."""
        ...


def insert_surely(driver: Driver, jobs: Sequence[Job]) -> None:
    """Insert *jobs*; try again under the same ids while storage does not answer.

    Raise `DriverUnavailable` when it still does not; then the jobs may exist or not, and inserting
    them again with their ids is safe. Raise `Conflict` if an id is taken, `KeyHeld` if another job
    holds a key. So too for one job that is replaced.
    """
    give_up_at = monotonic() + _PATIENCE
    for pause in (*_PAUSES, None):
        try:
            driver.job_write(jobs)
            return
        except Conflict:
            # After an unknown outcome the ids may be taken by these very jobs.
            if pause == _PAUSES[0] or not all(_inserted(driver, job) for job in jobs):
                raise
            return
        except KeyHeld as held:
            # And so may the keys, even if the jobs have been pruned since.
            own = all(holder == id for id, holder in held.holders.items())
            if pause == _PAUSES[0] or not own:
                raise
            return
        except DriverUnavailable:
            if pause is None or monotonic() + pause > give_up_at:
                raise
            Event().wait(pause)


def _inserted(driver: Driver, job: Job) -> bool:
    stored = driver.job_get(job.id)
    return (
        stored is not None
        and stored.created_at == job.created_at
        and stored.payload_json == job.payload_json
    )


class Writing:
    """One try to write steps of one queue.

    Afterwards each step is in one of three lists: `written`; `late`, because storage holds another
    revision or none; `stuck`, because the queue to forward to is not known here, and the step has
    to be tried again.

    *claiming* claims in the same go, if there is room.
    """

    def __init__(
        self,
        driver: Driver,
        steps: Sequence[Step],
        target_of: Callable[[str], Target],
        claiming: Claiming | None = None,
    ) -> None:
        self._driver = driver
        self._target_of = target_of
        self._pending = list(steps)
        self.written: list[Step] = []
        self.late: list[Step] = []
        self.stuck: list[tuple[Step, UnknownQueue]] = []
        self._claiming = claiming

    def raise_if_stuck(self) -> None:
        """Raise the `UnknownQueue` of the first stuck step, if there is one."""
        for _, error in self.stuck:
            raise error

    def run(self) -> None:
        """Write; raise `DriverUnavailable` if storage does not answer."""
        self._prepare()
        while self._pending:
            try:
                self._write()
            except Conflict as conflict:
                self._resolve(conflict)
            except UnknownQueue as error:
                self._set_aside(error)
            else:
                self.written += self._pending
                return

    def _write(self) -> None:
        batch = self._batch()
        both = partial(self._driver.job_write_and_claim, batch)
        if self._claiming is None or not self._claiming(len(self._pending), both):
            self._driver.job_write(batch)

    def _batch(self) -> list[Job]:
        # The forwarded jobs of this storage are part of the same write.
        together = [
            step.forwarding.job
            for step in self._pending
            if step.forwarding is not None and not step.forwarding.stored
        ]
        return together + [step.after for step in self._pending]

    def _prepare(self) -> None:
        """Make the forwarded jobs; store those of other storages, before what they stand for."""
        steps, self._pending = self._pending, []
        for step in steps:
            try:
                if step.target is not None and step.forwarding is None:
                    step.forwarding = self._forwarding(step, step.target)
            except UnknownQueue as error:
                self.stuck.append((step, error))
                continue
            if self._elsewhere(step) and not self._forwarded_elsewhere(step):
                self.late.append(step)
            else:
                self._pending.append(step)

    def _forwarding(self, step: Step, name: str) -> Forwarding:
        target = self._target_of(name)
        return Forwarding(
            target.driver,
            target.forwarded(step.after),
            lambda job, actor: target.announce([job], actor),
        )

    def _elsewhere(self, step: Step) -> bool:
        forwarding = step.forwarding
        return (
            forwarding is not None
            and not forwarding.stored
            and forwarding.driver.storage != self._driver.storage
        )

    def _forwarded_elsewhere(self, step: Step) -> bool:
        """Store the forwarded job in the other storage, unless the step is late."""
        if not self._current(step):
            return False
        assert step.forwarding is not None
        try:
            step.forwarding.driver.job_write([step.forwarding.job])
        except Conflict:
            _log.debug("job %s was forwarded by an earlier try", step.after.id)
        step.forwarding.stored = True
        return True

    def _current(self, step: Step) -> bool:
        stored = self._driver.job_get(step.before.id)
        return stored is not None and (
            stored.revision == step.before.revision or stored == step.after
        )

    def _resolve(self, conflict: Conflict) -> None:
        """Take the steps out that storage refuses."""
        keep = []
        for step in self._pending:
            if step.after.id in conflict.ids:
                self._refused(step)
                continue
            if step.forwarding is not None and step.forwarding.job.id in conflict.ids:
                step.forwarding.stored = True
            keep.append(step)
        if len(keep) == len(self._pending) and not self._explained(conflict.ids):
            raise conflict  # names none of these jobs: the driver is at fault
        self._pending = keep

    def _set_aside(self, error: UnknownQueue) -> None:
        """Take the steps out whose target was deleted from storage by another process."""
        bound = [s for s in self._pending if s.forwarding and s.forwarding.job.queue == error.queue]
        if not bound:
            raise error
        self.stuck += [(step, error) for step in bound]
        self._pending = [step for step in self._pending if step not in bound]

    def _explained(self, ids: frozenset[UUID]) -> bool:
        return any(s.forwarding is not None and s.forwarding.job.id in ids for s in self._pending)

    def _refused(self, step: Step) -> None:
        # An earlier try may have arrived although its answer did not.
        landed = self._driver.job_get(step.after.id) == step.after
        (self.written if landed else self.late).append(step)
