"""A thread that sleeps until the next scheduled job is due, so that nobody has to poll for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

__all__ = ["Timer", "wake_all"]

_log = logging.getLogger("gaffer.memory")

LONGEST_SLEEP = 60.0
"""Seconds after which the clock is looked at again, in case it was set."""


class Timer:
    """Calls what `wake_due` returns when `next_due` seconds have passed; both run under *lock*.

    The thread starts when there is something to wait for, and ends when there is nothing.
    """

    def __init__(
        self,
        lock: threading.Lock,
        next_due: Callable[[], float | None],
        wake_due: Callable[[], list[Callable[[], None]]],
    ) -> None:
        self._changed = threading.Condition(lock)
        self._next_due = next_due
        self._wake_due = wake_due
        self._running = False

    def look(self) -> None:
        """Look again at what is due. The caller holds the lock."""
        if self._running:
            self._changed.notify()
        elif self._next_due() is not None:
            thread = threading.Thread(target=self._run, name="gaffer:memory:timer", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads, or the interpreter is going down: runners poll
                return
            self._running = True

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._next_due()
                if due is None:
                    self._running = False
                    return
                if due > 0:
                    self._changed.wait(min(due, LONGEST_SLEEP))
                    continue
                wakes = self._wake_due()
            wake_all(wakes)


def wake_all(wakes: Iterable[Callable[[], None]]) -> None:
    """Call each of *wakes*; what one raises harms nobody."""
    for wake in wakes:
        try:
            wake()
        except Exception:
            _log.exception("a wake callback failed")
