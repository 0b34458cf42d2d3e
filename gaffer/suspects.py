"""Jobs that may be what kills their processes: one of them runs in a process at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from weakref import ref

from gaffer import machine
from gaffer.clock import Clock
from gaffer.execution import Execution
from gaffer.job import Job

__all__ = ["Suspects"]

_LONGEST = 60.0
_PROMISE = 10.0
"""Seconds for which a suspect that was let through counts as running, until it does."""


class Suspects:
    """The one suspect that runs, over all queues of a Gaffer. Any runner's thread may call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # Under the lock:
        self._running: ref[Execution] | None = None
        self._promised_until = 0.0  # to one that is about to begin, unless something goes wrong
        self._waiting = 0  # met since the last one began

    def _take(self) -> bool:
        """Return whether one more may begin, which is the caller's then for a while."""
        with self._lock:
            running = None if self._running is None else self._running()
            now = self._clock.monotonic()
            if now < self._promised_until or (running is not None and not running.ended):
                return False
            self._promised_until = now + _PROMISE
            return True

    def apart(self, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return those of *jobs* that may run now, and suspects that would run beside another.

        `begin` has to follow.
        """
        if not any(map(machine.suspect, jobs)):  # nearly always
            return list(jobs), []
        free = self._take()
        may: list[Job] = []
        wait: list[Job] = []
        for job in jobs:
            if not machine.suspect(job):
                may.append(job)
            elif free:
                may.append(job)
                free = False
            else:
                wait.append(job)
        return may, wait

    def begin(self, may: Sequence[Job], executions: Sequence[Execution]) -> None:
        """Note that of the jobs that *may* run these *executions* begin now."""
        if not any(map(machine.suspect, may)):
            return
        with self._lock:
            self._promised_until = 0.0
            for execution in executions:
                if machine.suspect(execution.job):
                    self._running = ref(execution)
                    self._waiting = 0

    def pause(self) -> float:
        """Return how many seconds one more has to wait: the more there are, the longer."""
        with self._lock:
            self._waiting += 1
            return min(float(self._waiting), _LONGEST)
