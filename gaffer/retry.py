"""When to try again: after pauses that grow, spread at random so that nodes do not move in step."""

from __future__ import annotations

from random import random

from gaffer.clock import Clock

__all__ = ["Retry"]

_FIRST = 0.1
_LONGEST = 2.5
"""So short that with what a driver waits for a connection, 3 s at most, an outage is over for
everybody within 5 s."""


class Retry:
    """Pauses of 0.1 s, doubling to 2.5 s, each shortened by up to a half. One thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self.since: float | None = None
        """Since when it fails, in the clock's monotonic seconds; `None`: it does not."""
        self.at: float | None = None
        """When to try again, in the clock's monotonic seconds; `None`: any time."""

    @property
    def due(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.at is None or self._clock.monotonic() >= self.at

    def failed(self) -> float:
        """Note a failure; return the seconds to wait."""
        pause = min(_FIRST * 2.0**self._failures, _LONGEST) * (0.5 + random() / 2)
        self._failures = min(self._failures + 1, 10)
        now = self._clock.monotonic()
        self.since = now if self.since is None else self.since
        self.at = now + pause
        return pause

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self.at = self.since = None
