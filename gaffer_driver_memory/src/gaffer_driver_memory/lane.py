"""A priority queue for entries that mostly come in their order, as jobs do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from gaffer.driver import Job

__all__ = ["Lane", "Ranked"]

Ranked: TypeAlias = tuple[int, datetime, int, int, Job]
"""Negated priority, created_at, id, and a unique number, so that jobs are never compared."""


class Lane:
    """Gives entries in ascending order.

    One that comes behind all others costs the same however many there are; the rest go to a heap.
    """

    def __init__(self) -> None:
        self._run: deque[Ranked] = deque()
        self._heap: list[Ranked] = []

    def __len__(self) -> int:
        return len(self._run) + len(self._heap)

    def push(self, entry: Ranked) -> None:
        """Put an entry in its place."""
        if not self._run or self._run[-1] < entry:
            self._run.append(entry)
        else:
            heappush(self._heap, entry)

    def pop(self) -> Job:
        """Take the job of the first entry out; there must be one."""
        if not self._heap or (self._run and self._run[0] < self._heap[0]):
            return self._run.popleft()[-1]
        return heappop(self._heap)[-1]

    def keep(self, wanted: Callable[[Job], bool]) -> None:
        """Drop all entries but those of *wanted* jobs."""
        self._run = deque(entry for entry in self._run if wanted(entry[-1]))
        self._heap = [entry for entry in self._heap if wanted(entry[-1])]
        heapify(self._heap)
