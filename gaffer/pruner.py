"""The pruner of one queue: deletes, every interval, the jobs that have been done long enough.

Queues in which nothing ends cost storage next to nothing: one of a process's is looked at each
minute, however many there are.
"""

from __future__ import annotations

import logging

from gaffer.clock import Clock
from gaffer.errors import DriverUnavailable
from gaffer.job import JobState
from gaffer.ledger import Ledger
from gaffer.pace import Pace
from gaffer.service import Service

__all__ = ["Pruner"]

_log = logging.getLogger("gaffer.pruner")

_SWEEP = 60.0
"""Seconds after which nothing is expected any more of what ended here."""


class Pruner:
    """A thread that calls `Ledger.prune` as the queue's configuration says.

    When nothing ends here it looks at the pace of *sweeps*: others may have left something.
    """

    def __init__(self, ledger: Ledger, *, clock: Clock, sweeps: Pace) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sweeps = sweeps
        self._sweep_at = sweeps.reserve()
        self._writings = -1  # of the ledger, when we last looked
        self._ended_at = clock.monotonic()
        self._pruned_at: float | None = None
        self._due = clock.monotonic()
        self.service = Service(f"gaffer:{ledger.conf.name}:pruner", self._step)

    def rearm(self) -> None:
        """Take a new configuration into account."""
        self._pruned_at = None
        self.service.poke()

    def _step(self) -> bool:
        interval = self._ledger.conf.prune.interval
        now = self._clock.monotonic()
        if interval is None:
            self.service.wait(None)
            return not self.service.stopping
        self._due = min(self._due, now + interval)
        if now < self._due:
            self.service.wait(self._due - now)
            return not self.service.stopping
        self._due = now + interval
        self.prune_if_worth()
        return not self.service.stopping

    def prune_if_worth(self) -> None:
        """Prune, if something may be old enough and the queue is not paused."""
        try:
            if self._worth() and not self._ledger.driver.queue_paused(self._ledger.conf.name):
                self._ledger.prune("pruner")
        except DriverUnavailable as error:
            _log.warning("queue %r is not pruned: %s", self._ledger.conf.name, error)

    def _worth(self) -> bool:
        ages = {state: self._ledger.conf.prune.age(state) for state in JobState}
        finite = {state: age for state, age in ages.items() if age is not None}
        if not finite:
            return False
        now = self._clock.monotonic()
        if self._writings != self._ledger.writings:
            self._writings, self._ended_at = self._ledger.writings, now
        last, self._pruned_at = self._pruned_at, now
        if last is None or any(not state.terminal for state in finite):
            return True
        # Again and again until the youngest that ended here is old enough; then now and then.
        if last <= self._ended_at + min(_SWEEP, max(finite.values())):
            return True
        if now >= self._sweep_at:
            self._sweep_at = self._sweeps.reserve()
            return True
        self._pruned_at = last
        return False
