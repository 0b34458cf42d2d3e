"""Who waits for jobs of a queue, and what is to be announced of one. The hub keeps both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

__all__ = ["News", "Watch", "wake"]

_log = logging.getLogger("gaffer.postgres.watches")

_NEAREST, _FARTHEST = 0.005, 0.05
"""Seconds between two announcements of one queue: as a rule, and while inserts come faster."""


@dataclass(slots=True)
class Watch:
    """One subscription: whom to wake, and when to look next."""

    queue: str
    interval: float
    wake: Callable[[], None]
    due: float = 0.0
    ended: bool = False


def wake(watches: Iterable[Watch]) -> None:
    """Wake all of *watches* that have not ended, whatever one of them raises."""
    for watch in watches:
        if watch.ended:
            continue
        try:
            watch.wake()
        except Exception:
            _log.exception("a wake callback failed")


@dataclass(slots=True)
class News:
    """The announcements of one queue. Guarded by the hub's lock."""

    at: float | None = None  # when to announce; None: there is nothing
    inserts: int = 0  # since the last one
    sent: float = 0.0
    apart: float = _NEAREST

    def add(self, now: float) -> bool:
        """Note an insert; return whether the thread has to know."""
        self.inserts += 1
        if self.at is not None:
            return False
        self.at = max(now, self.sent + self.apart)
        return True

    def take(self, now: float, *, at_once: bool) -> bool:
        """Return whether to announce now; of a busy queue less and less often."""
        if self.at is None or (self.at > now and not at_once):
            return False
        self.apart *= 2.0 if self.inserts > 1 else 0.5
        self.apart = min(max(self.apart, _NEAREST), _FARTHEST)
        self.at, self.inserts, self.sent = None, 0, now
        return True
