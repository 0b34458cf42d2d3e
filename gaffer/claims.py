"""A node's claims on one queue, and the account of those whose fate is unknown.

A claim whose answer is lost may have been made. Storage then believes that this node executes the
jobs, and while it lives nobody else will free them: so it asks what it holds, and gives back what
it does not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from uuid import UUID

from gaffer.clock import Clock
from gaffer.driver import Claim
from gaffer.errors import Conflict, DriverUnavailable, UnknownQueue
from gaffer.heartbeat import Heartbeat
from gaffer.job import Job
from gaffer.ledger import Ledger
from gaffer.portion import Portion
from gaffer.step import Mark, mark

__all__ = ["Claims"]

_log = logging.getLogger("gaffer.claims")

_MOST = 100
"""Jobs per claim; a queue without a limit claims again until there are no more."""

_LANDED = 30.0
"""Seconds after which a claim that was given up has been made by storage, or never will be."""


class Claims:
    """Claims for the node of *heartbeat*. Used in the runner's turn only, but `out_of_hand`.

    *taken* is called with the jobs that the caller knows, and that storage does not hold for it.
    """

    def __init__(
        self,
        ledger: Ledger,
        heartbeat: Heartbeat,
        taken: Callable[[Iterable[UUID]], object],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._taken = taken
        self.portion = Portion(_MOST)
        self._doubt = False
        self._held: set[Mark] = set()  # claimed by hand, and not settled
        self._again_at: float | None = None  # when to look once more for a claim that was given up
        self._let_go = False  # of a job by hand, unsettled; written by any thread
        self.by_hand_ever = False

    def make(
        self, limit: int, known: Callable[[], Iterable[Mark]], *, even_paused: bool
    ) -> list[Job]:
        """Claim up to *limit* jobs; `noted` has to follow when the caller has a hold of them.

        *known* gives the jobs that this node knows to execute. Raise `DriverUnavailable`.
        """
        self.prepare(known)
        return self.beside(limit, self._ledger.driver.job_claim, even_paused=even_paused)

    def prepare(self, known: Callable[[], Iterable[Mark]]) -> None:
        """See to it that this node lives, and that no claim is in doubt."""
        self._heartbeat.ensure()
        again = self._again_at is not None and self._clock.monotonic() >= self._again_at
        if self._doubt or self._let_go or again:
            self._doubt, self._let_go = True, False
            self._reconcile({*known(), *self._held})
            self._again_at = None if again else self._again_at

    def beside(
        self, limit: int, call: Callable[[Claim], list[Job]], *, even_paused: bool = False
    ) -> list[Job]:
        """Claim up to *limit* jobs by *call*, which may write too; after `prepare`, before `noted`.

        Raise what *call* raises.
        """
        self._doubt = True
        try:
            jobs = call(self._ledger.claiming(limit, self._heartbeat.node, even_paused=even_paused))
        except (Conflict, UnknownQueue):
            self._doubt = False  # the write was refused, and nothing claimed
            raise
        except DriverUnavailable:
            # Storage may still make it, even after the next look.
            self._again_at = self._clock.monotonic() + _LANDED
            self.portion.failed(limit)
            raise
        self.portion.succeeded()
        return jobs

    def noted(self) -> None:
        """Note that the caller has a hold of what the last claim returned."""
        self._doubt = False

    def by_hand(self, known: Callable[[], Iterable[Mark]]) -> Job | None:
        """Claim one job for a caller who settles it."""
        self.by_hand_ever = True
        jobs = self.make(1, known, even_paused=False)
        self._held.update(map(mark, jobs))
        self.noted()
        self._ledger.claimed(jobs, "user")
        return jobs[0] if jobs else None

    def put_back(self, job: Job | None) -> None:
        """Release a job claimed by hand that nobody got."""
        if job is not None:
            self._held.discard(mark(job))
            self._doubt = True  # so that the next claim finds it if this write fails
            self._ledger.write([self._ledger.releasing(job)])

    def out_of_hand(self, job: Job, settled: bool) -> None:
        """Note that nobody has a job claimed by hand any more; unsettled, it is put back."""
        self._held.discard(mark(job))
        if not settled:
            self._let_go = True

    def lapsed(self, known: Callable[[], Iterable[Mark]]) -> None:
        """Compare with storage what this node holds, after a silence. Raise `DriverUnavailable`."""
        self._doubt = True  # so that the next claim does it if this cannot
        self._reconcile({*known(), *self._held})

    def _reconcile(self, known: set[Mark]) -> None:
        held = [job for node in self._heartbeat.nodes for job in self._ledger.held(node)]
        self._taken(UUID(int=number) for number, _ in known - set(map(mark, held)))
        unknown = [job for job in held if mark(job) not in known]
        if unknown:
            _log.warning(
                "%d claimed jobs are released: answers lost, or held by hand", len(unknown)
            )
            self._ledger.write([self._ledger.releasing(job) for job in unknown])
        self._doubt = False

    def close(self, known: Callable[[], Iterable[Mark]]) -> None:
        """Give back all that is not *known*: soon nobody beats for it any more."""
        if not self._held and not self._doubt and not self._let_go and self._again_at is None:
            return
        try:
            self._reconcile(set(known()))
        except DriverUnavailable as error:
            _log.warning("claimed jobs could not be released: %s", error)
