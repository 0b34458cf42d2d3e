"""Where time comes from: the only module that reads a clock.

Instants are aware UTC datetimes; durations are seconds, measured with a clock that never goes
back. Drivers take their instants from here or from their server, the core its durations.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "monotonic", "unix_ns"]


class Clock(Protocol):
    """What gaffer asks of a clock; `gaffer.testing.ManualClock` is another one."""

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; never goes back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since an arbitrary moment; never goes back."""
        return time.monotonic()


monotonic = time.monotonic
unix_ns = time.time_ns
