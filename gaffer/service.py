"""A daemon thread that repeats one step until it is told to stop.

Guarantees:

- it never dies of an exception: what a step raises is logged and reported, and the next step
  follows after a growing pause of at most five seconds;
- `start` and `stop` may be called in any order, any number of times, from any thread; once
  stopped, it stays stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from gaffer.clock import monotonic

__all__ = ["Service", "in_service"]

_log = logging.getLogger("gaffer.service")

_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_own = threading.local()


def in_service() -> bool:
    """Return whether the calling thread is that of a service: the caller is a hook, most likely."""
    return getattr(_own, "inside", False)


class Service:
    """Repeats *step* on a thread called *name* for as long as it returns true.

    *failed* is told of every exception; *nudge* wakes a step that waits for something else than
    `wait`.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool],
        *,
        failed: Callable[[BaseException], None] | None = None,
        nudge: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._step = step
        self._failed = failed
        self._nudge = nudge
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wakeup = threading.Event()
        # Not `Thread.is_alive`: a join that a Ctrl-C interrupts takes the thread for dead.
        self._ended = threading.Event()
        self.stopping = False

    @property
    def began(self) -> bool:
        """Whether the thread was ever started."""
        return self._thread is not None

    @property
    def running(self) -> bool:
        """Whether the thread was started and has not ended."""
        return self._thread is not None and not self._ended.is_set()

    @property
    def inside(self) -> bool:
        """Whether the caller is this service's own thread."""
        return self._thread is threading.current_thread()

    def start(self) -> None:
        """Start the thread, once; raise `RuntimeError` if the system gives none."""
        with self._lock:
            if self._thread is None and not self.stopping:
                # Known before it runs: a Ctrl-C may end `start` when it does already.
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # there are no more threads
                    self._thread = None
                    raise

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self.stopping = True
        self.poke()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for the thread's end; return whether it has ended."""
        deadline = monotonic() + timeout
        # A start that is under way counts. It may hang: the system decides when a thread runs.
        if not self._lock.acquire(timeout=max(0.0, timeout)):
            return False
        started = self._thread is not None
        self._lock.release()
        if started and not self.inside:
            self._ended.wait(max(0.0, deadline - monotonic()))
        return not self.running

    def poke(self) -> None:
        """End the present `wait`, or the next one."""
        self._wakeup.set()
        if self._nudge is not None:
            self._nudge()

    def wait(self, seconds: float | None) -> None:
        """Wait for *seconds* (`None`: without end), a `poke` or a `stop`."""
        self._wakeup.wait(seconds)
        self._wakeup.clear()

    def _run(self) -> None:
        _own.inside = True
        while True:
            try:
                self._repeat()
                self._ended.set()
                return
            except BaseException:  # a second one, right behind the first
                with suppress(BaseException):  # a filter of the user's log may raise again
                    _log.debug("%s goes on", self.name)

    def _repeat(self) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            try:
                if not self._step():
                    return
                pause = _SHORTEST_PAUSE
            except BaseException as error:  # nothing may end the thread, SystemExit included
                self._report(error)
                if self.stopping and pause >= _LONGEST_PAUSE:
                    return
                self._wakeup.wait(pause)
                self._wakeup.clear()
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _report(self, error: BaseException) -> None:
        _log.error("%s failed and goes on", self.name, exc_info=error)
        if self._failed is not None:
            try:
                self._failed(error)
            except BaseException:
                _log.exception("%s: reporting a failure failed", self.name)
