"""The server's clock, without asking it each time: an offset to our monotonic one, measured."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from gaffer.driver import SystemClock

__all__ = ["ServerClock", "monotonic"]

monotonic = SystemClock().monotonic

_BACK = timedelta(seconds=1)
"""A server whose clock steps back by less is waited for; by more, and it is followed."""
_OLD = 60.0
"""Seconds after which a measurement is replaced by any other."""


class ServerClock:
    """Tells the server's instant. The first `measured` makes it usable."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._epoch: datetime | None = None  # the server's instant at monotonic zero
        self._error = 0.0  # seconds that the epoch may be wrong by
        self._measured_at = 0.0
        self._last = datetime.min.replace(tzinfo=UTC)

    @property
    def known(self) -> bool:
        """Whether there has been a measurement."""
        return self._epoch is not None

    def measured(self, instant: datetime, before: float, after: float) -> None:
        """Note that the server's clock stood at *instant* between two monotonic moments."""
        error = (after - before) / 2
        epoch = instant.replace(tzinfo=UTC) - timedelta(seconds=before + error)
        with self._lock:
            # A slow answer tells less than a quick one of a moment ago, unless the clock was set.
            apart = self._epoch is not None and abs(epoch - self._epoch)
            credible = apart is False or apart > timedelta(seconds=error + self._error)
            if error <= 2 * self._error or credible or after - self._measured_at > _OLD:
                self._epoch, self._error, self._measured_at = epoch, error, after

    def now(self) -> datetime:
        """Return the server's instant as of now; it does not go back by less than a second."""
        with self._lock:
            if self._epoch is None:
                raise RuntimeError("the server's clock was never looked at")
            instant = self._epoch + timedelta(seconds=monotonic())
            if instant < self._last <= instant + _BACK:
                return self._last
            self._last = instant
            return instant

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()
