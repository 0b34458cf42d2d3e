"""The stage in memory: what a test has unless it says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from gaffer.clock import Clock
from gaffer.driver import Driver, Job
from gaffer.testing.stage import Dying, Stage
from gaffer_driver_memory import MemoryDriver, Storage

__all__ = ["MemoryStage"]


class MemoryStage(Stage, MemoryDriver):
    """Keeps the jobs of a test in memory. A connection of the caller means nothing here."""

    @classmethod
    def on(cls, clock: Clock) -> MemoryStage:
        """Return a stage of its own, whose instants are those of *clock*."""
        return cls(Storage(clock=clock))

    def stands_in_for(self, driver: Driver | str) -> bool:
        """Return whether *driver* is in memory, too: a test must not reach a database."""
        if isinstance(driver, str):
            return driver.partition(":")[0] == "memory"
        return isinstance(driver, MemoryDriver)

    def dying(self) -> Dying:
        """Return the handle of a process that dies, on the same storage."""
        return _DyingInMemory(self._storage)

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write jobs, whether the transaction of *connection* is committed or not."""
        return super().job_write(jobs)

    def hold(self, id: UUID, node: str) -> None:
        """Have *node* hold the executing job of this *id*."""
        self._storage.holders[id.int] = node


class _DyingInMemory(Dying, MemoryStage):
    """What dies in memory."""
