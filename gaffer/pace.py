"""Moments for what every queue does now and then, spread so that many cost no more than one."""

from __future__ import annotations

import threading

from gaffer.clock import Clock

__all__ = ["Pace"]


class Pace:
    """Gives each who asks a moment at least *interval* seconds after all others'.

    With fifty queues each has its turn a fiftieth as often, and the storage sees the same.
    """

    def __init__(self, clock: Clock, interval: float) -> None:
        self._clock = clock
        self._interval = interval
        self._lock = threading.Lock()
        self._last = clock.monotonic()

    def reserve(self) -> float:
        """Return a moment that nobody else has, in monotonic seconds."""
        with self._lock:
            # Moments of the past are free again.
            self._last = max(self._last, self._clock.monotonic()) + self._interval
            return self._last
