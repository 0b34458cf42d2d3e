"""One thread that ends attempts whose time is up, whatever their runner is waiting for.

It does no input or output and calls no code of a user.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from weakref import ref

from gaffer.clock import Clock
from gaffer.execution import Execution, Why
from gaffer.service import Service

__all__ = ["Watchdog"]

_SLACK = 256


class Watchdog:
    """A heap of deadlines and the thread ``gaffer:watchdog``, which starts with the first one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # By weak references: an attempt that has ended must not live on until its deadline.
        self._heap: list[tuple[float, int, ref[Execution], Why]] = []
        self._ticks = count()
        self._tidy_at = _SLACK
        self._service = Service("gaffer:watchdog", self._step)

    def watch(self, executions: Sequence[Execution], why: Why = "timeout") -> None:
        """End each of *executions* at its deadline, if it has not ended by then.

        Raise `RuntimeError` if the thread cannot be had.
        """
        if not executions:
            return
        with self._lock:
            first = self._heap[0][0] if self._heap else None
            for execution in executions:
                entry = (execution.deadline, next(self._ticks), ref(execution), why)
                heappush(self._heap, entry)
            sooner = bool(self._heap) and (first is None or self._heap[0][0] < first)
            if len(self._heap) > self._tidy_at:
                self._tidy()
        if sooner or not self._service.running:
            self._service.start()
            self._service.poke()

    def _tidy(self) -> None:
        # Most attempts end in time; their entries would stay until the deadline.
        self._heap = [entry for entry in self._heap if _runs(entry[2]())]
        heapify(self._heap)
        self._tidy_at = 2 * len(self._heap) + _SLACK

    def check(self) -> float | None:
        """End what is due now; return the seconds to the next deadline, or `None`."""
        while True:
            with self._lock:
                if not self._heap:
                    return None
                first = self._heap[0]
            deadline, _, reference, why = first
            pause = deadline - self._clock.monotonic()
            execution = reference()
            if pause > 0 and _runs(execution):
                return pause
            if pause <= 0 and execution is not None:
                execution.expire(why)
            self._pop(first)  # after that: an exception may end this step anywhere

    def _pop(self, entry: tuple[float, int, ref[Execution], Why]) -> None:
        with self._lock:
            if self._heap and self._heap[0] is entry:
                heappop(self._heap)

    def _step(self) -> bool:
        self._service.wait(self.check())
        return not self._service.stopping

    def stop(self) -> None:
        """End the thread; attempts that still run are not watched any more."""
        self._service.stop()
        self._service.join(1.0)


def _runs(execution: Execution | None) -> bool:
    return execution is not None and not execution.ended
