"""Signals that ask a worker process to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from types import FrameType

__all__ = ["Signals"]

_ASKING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """SIGTERM and SIGINT, from now on; to be made in the main thread.

    Made before anything else is done: the first process of a container gets no signal that it has
    not asked for. Until `arm` a signal ends the process at once: nothing runs yet.
    """

    def __init__(self) -> None:
        self._inbox: SimpleQueue[int | None] = SimpleQueue()
        self._armed = False
        for number in _ASKING:
            signal.signal(number, self._came)

    def _came(self, number: int, frame: FrameType | None) -> None:
        if not self._armed:
            raise SystemExit(0)  # nothing runs, and all is in order
        self._inbox.put(number)

    def arm(self) -> None:
        """Keep signals for `wait` from now on."""
        self._armed = True

    def wait(self) -> int:
        """Wait for a signal, and return its number."""
        while (number := self._inbox.get()) is None:
            pass
        return number

    def came_during(self, call: Callable[[], object]) -> bool:
        """Run *call* on a thread; return whether a signal came before its end.

        Then *call* may go on.
        """

        def run() -> None:
            try:
                call()
            finally:
                self._inbox.put(None)

        Thread(target=run, name="gaffer:ending", daemon=True).start()
        return self._inbox.get() is not None
