"""Runs gaffer's conformance suite on the memory driver."""

from __future__ import annotations

from gaffer.driver import Driver
from gaffer.testing.doubles import ManualClock
from gaffer.testing.harness import DriverHarness
from gaffer_driver_memory.driver import MemoryDriver
from gaffer_driver_memory.storage import Storage

__all__ = ["MemoryHarness"]


class MemoryHarness(DriverHarness):
    """One storage on a clock that goes on only by `advance`."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.storage = Storage(clock=self.clock)

    def open(self) -> Driver:
        """Return a new handle, started."""
        driver = MemoryDriver(storage=self.storage)
        driver.start()
        return driver

    def reset(self) -> None:
        """Forget all jobs, queues and nodes."""
        self.storage.clear()

    def advance(self, seconds: float) -> None:
        """Move the clock, and have the timer look at it again."""
        self.clock.advance(seconds)
        self.storage.tick()
