"""Whose turn it is to run a queue: its runner's thread, or a caller while that does not run.

Others wait here: for an answer out of the turn, or until what runs is settled. No lock is held
between two steps of the waiting, where a job that waits may be interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, RLock
from typing import TypeVar

from gaffer.asking import Asking
from gaffer.clock import Clock
from gaffer.errors import Stopped
from gaffer.execution import breathe
from gaffer.service import Service

__all__ = ["TURN", "Turn"]

T = TypeVar("T")

TURN = 30.0
"""Seconds within which the turn comes, or `ask` gives up."""
_GLANCE = 0.1


class Turn:
    """The turn of the runner whose thread is *service*.

    *send* puts a message into its inbox; *drive* does a step in its place, waiting up to so many
    seconds for a message.
    """

    def __init__(
        self,
        service: Service,
        send: Callable[[Callable[[], object]], object],
        drive: Callable[[float], object],
        clock: Clock,
    ) -> None:
        self.lock = RLock()
        self._service = service
        self._send = send
        self._drive = drive
        self._clock = clock
        self._quiet = Condition()
        self.moments = 0
        """How many times `notify` was called."""

    @property
    def _elsewhere(self) -> bool:
        return self._service.running and not self._service.inside

    def take(self, patience: float) -> None:
        """Do a step in place of the thread, which does not run."""
        with self.lock:
            self._drive(patience)

    def ask(
        self,
        call: Callable[[], T],
        timeout: float = TURN,
        undo: Callable[[T], object] | None = None,
    ) -> T:
        """Have *call* run in the turn; return what it returns, raise what it raises.

        Raise `DriverUnavailable` if the turn does not come within *timeout* seconds. If the caller
        is interrupted meanwhile, *undo* is called with what *call* returns, in the turn.
        """
        if not self._elsewhere:
            with self.lock:
                self._drive(0.0)
                return call()
        asking = Asking(call)
        try:
            return asking.answer(timeout, self._send_and_breathe, lambda: self._service.running)
        except BaseException:
            if undo is not None:
                asking.give_up(lambda value: self._send(lambda: undo(value)))
            raise

    def _send_and_breathe(self, message: Callable[[], object]) -> None:
        self._send(message)
        breathe()

    def wait(self, done: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until *done*, which settling may make true; return whether it is.

        Raise `Stopped` if the queue stops meanwhile.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while not done():
            breathe()
            left = _GLANCE if deadline is None else deadline - self._clock.monotonic()
            if left <= 0:
                return False
            if not self._elsewhere and self._service.stopping:
                raise Stopped(f"{self._service.name} has stopped")
            self._wait_step(min(_GLANCE, left))
        return True

    def wait_quiet(self, timeout: float, since: int) -> None:
        """Wait up to *timeout* seconds for a moment in which nothing runs.

        One that has come since `moments` was read as *since* counts.
        """
        if self._elsewhere:
            with self._quiet:
                self._quiet.wait_for(lambda: self.moments != since, timeout)
        else:
            self.wait(lambda: False, timeout)

    def _wait_step(self, seconds: float) -> None:
        if self._elsewhere:
            with self._quiet:
                self._quiet.wait(seconds)
        else:
            self.take(seconds)

    def notify(self) -> None:
        """Say that nothing runs, or that something somebody waits for is settled."""
        with self._quiet:
            self.moments += 1
            self._quiet.notify_all()
