"""What a runner takes in: when it claims, how many, and that what was claimed begins to run.

Used in the runner's turn only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from gaffer.claims import Claims
from gaffer.clock import Clock
from gaffer.driver import Claim
from gaffer.errors import DriverUnavailable
from gaffer.execution import Execution
from gaffer.heartbeat import Heartbeat
from gaffer.job import Job
from gaffer.ledger import Ledger
from gaffer.lookout import Lookout
from gaffer.outbox import Outbox
from gaffer.pace import Pace
from gaffer.retry import Retry
from gaffer.roster import Roster
from gaffer.step import Mark
from gaffer.suspects import Suspects
from gaffer.wording import counted
from gaffer.writing import Claiming

__all__ = ["Intake"]

_log = logging.getLogger("gaffer.intake")


class Intake:
    """Claims what the free slots of *roster* and *outbox* take; *may* says whether it should.

    *failed* is told of jobs that could not be begun.
    """

    def __init__(
        self,
        ledger: Ledger,
        roster: Roster,
        outbox: Outbox,
        *,
        heartbeat: Heartbeat,
        clock: Clock,
        looks: Pace,
        suspects: Suspects,
        may: Callable[[], bool],
        failed: Callable[[Retry, Exception], None],
    ) -> None:
        self._ledger = ledger
        self._roster = roster
        self._outbox = outbox
        self._clock = clock
        self._suspects = suspects
        self._may = may
        self._failed = failed
        self.claims = Claims(ledger, heartbeat, self._tell_taken, clock)
        self.lookout = Lookout(clock, looks)
        self.retry = Retry(clock)
        self.claimed_at: float | None = None  # when storage last took a claim
        self._untold: list[Job] = []  # claimed beside a write whose hooks come first

    def held(self) -> list[Mark]:
        """Return the jobs that this queue has in hand, each at the revision it was claimed at."""
        return self._roster.held() + self._outbox.held()

    @property
    def able(self) -> bool:
        """Whether a job that is there should run here now."""
        return self._may() and self._free() > 0

    @property
    def due(self) -> bool:
        """Whether it is time to claim."""
        return self.lookout.wanted and self.able and self.retry.due

    def _free(self, settled: int = 0) -> int:
        """Return how many may be claimed; *settled* jobs of the outbox are written with it."""
        most = self._ledger.conf.max_workers
        if most is None:
            return self.claims.portion.size
        free = most - len(self._roster) - len(self._outbox) + settled
        return min(self.claims.portion.size, free)

    def beside(self) -> Claiming | None:
        """Return what claims in one go with a write, if it is time to; `tell` has to follow."""
        if not (self.lookout.wanted and self._may() and self.retry.due):
            return None
        # Who frees a place under the global limit would have it again, and other processes none.
        if self._ledger.conf.global_max_workers is not None:
            return None
        try:
            self.claims.prepare(self.held)
        except DriverUnavailable as error:
            self._failed(self.retry, error)
            return None
        return self._beside

    def _beside(self, settled: int, both: Callable[[Claim], list[Job]]) -> bool:
        limit = self._free(settled)
        if limit <= 0:
            return False
        try:
            jobs = self.claims.beside(limit, both)
        except DriverUnavailable:
            self.retry.failed()  # or the next thing would be to wait for the same storage again
            raise
        # At once: the hooks of what was written may claim, too, or take their time.
        self._begin(jobs, limit)
        self._untold += jobs
        return True

    def tell(self) -> None:
        """Tell the hooks what was claimed beside a write."""
        jobs, self._untold = self._untold, []
        self._ledger.claimed(jobs, "runner")

    def fill(self, *, even_paused: bool = False) -> set[UUID]:
        """Claim for the free slots; return the ids of what runs. Raise `DriverUnavailable`."""
        free = self._free()
        if free <= 0:
            return set()
        jobs = self.claims.make(free, self.held, even_paused=even_paused)
        began = self._begin(jobs, free)
        self._ledger.claimed(jobs, "runner")
        return {execution.job.id for execution in began}

    def _begin(self, jobs: Sequence[Job], asked: int) -> Sequence[Execution]:
        self.retry.succeeded()
        self.claimed_at = self._clock.monotonic()
        # As many as were asked for: there may be others.
        self.lookout.wanted = len(jobs) == asked
        may, suspects = self._suspects.apart(jobs)
        started, unable = self._roster.run(may, self._ledger.conf)
        self._suspects.begin(may, started)
        self._outbox.postponed(suspects, self._suspects.pause)
        self._outbox.released(unable)
        self.claims.noted()
        if unable:
            error = RuntimeError(f"no thread for {counted(len(unable))}; released")
            self._failed(self.retry, error)
        return started

    def by_hand(self) -> Job | None:
        """Claim one job for a caller who settles it."""
        return self.claims.by_hand(self.held)

    def lapsed(self) -> None:
        """Compare with storage what this node holds, after a silence. Raise `DriverUnavailable`."""
        self.claims.lapsed(self.held)

    def close(self) -> None:
        """Give back what was claimed and is not in hand."""
        self.claims.close(self.held)

    def _tell_taken(self, ids: Iterable[UUID]) -> None:
        if told := self._roster.tell(ids):
            name = self._ledger.conf.name
            _log.warning("queue %r: %d running jobs were taken by others", name, told)
