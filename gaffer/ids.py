"""Job ids: UUIDs of version 7 (RFC 9562, section 5.7 with method 3 of section 6.2).

Within a process each id is greater than the one before, whatever the wall clock does: ids made
in order sort in order. The standard library has `uuid.uuid7` from 3.14 on only, and the packages
on PyPI either run ahead of the clock or give a forked child its parent's random numbers.
"""

from __future__ import annotations

import os
import random
import threading
from uuid import UUID

from gaffer.clock import unix_ns

__all__ = ["job_id", "job_ids"]

_NS_PER_MS = 1_000_000
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)


class _Generator:
    """Time in the upper 60 free bits (ms, then 1/4096 ms), 62 random bits below."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random()  # seeded by the system, anew in each forked child
        self._last = 0

    def __call__(self, number: int) -> list[UUID]:
        milliseconds, rest = divmod(unix_ns(), _NS_PER_MS)
        tick = milliseconds << 12 | (rest << 12) // _NS_PER_MS
        with self._lock:
            # A clock that stands still or steps back must not break the order.
            first = max(tick, self._last + 1)
            self._last = first + number - 1
            tails = [self._random.getrandbits(62) for _ in range(number)]
        return [
            UUID(int=(tick >> 12) << 80 | _VERSION_AND_VARIANT | (tick & 0xFFF) << 64 | tail)
            for tick, tail in enumerate(tails, first)
        ]


_generate = _Generator()


def job_id() -> UUID:
    """Return a new id, greater than every id that this process made before."""
    return _generate(1)[0]


def job_ids(number: int) -> list[UUID]:
    """Return so many new ids, in ascending order, in half the time."""
    return _generate(number)


def _after_fork() -> None:
    # The parent's lock may have been held, and its random numbers must not come again.
    global _generate
    _generate = _Generator()


os.register_at_fork(after_in_child=_after_fork)
