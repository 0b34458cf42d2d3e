"""A call that one thread makes in the turn of another, and waits for."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from gaffer.clock import monotonic
from gaffer.errors import DriverUnavailable, Stopped
from gaffer.token import Token

__all__ = ["Asking"]

T = TypeVar("T")

_GLANCE = 0.5
"""Seconds between looks whether the other thread still lives."""


class Asking(Generic[T]):
    """A message that carries a call. Either it is answered, or whoever asked has given up."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._answers: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()
        self._open = Token()
        self._undo: Callable[[T], object] | None = None

    def __call__(self) -> None:
        """Make the call, unless nobody waits for it any more."""
        if not self._open.take():
            return
        try:
            self._answers.put((self._call(), None))
        except BaseException as error:
            self._answers.put((None, error))
        if self._undo is not None:
            self._undo_answer(self._undo)

    def give_up(self, undo: Callable[[T], object]) -> None:
        """Do not wait any more; *undo* what the call returned, or is about to return."""
        self._undo = undo
        if not self._open.take():
            self._undo_answer(undo)

    def _undo_answer(self, undo: Callable[[T], object]) -> None:
        try:
            value, error = self._answers.get_nowait()  # one of the two threads gets it
        except Empty:
            return
        if error is None:
            undo(value)  # type: ignore[arg-type]

    def answer(
        self, timeout: float, send: Callable[[Asking[T]], object], alive: Callable[[], bool]
    ) -> T:
        """*send* this, and return what the call returned, or raise what it raised.

        Sent again every now and then: an exception may end the step that has received it. Raise
        `DriverUnavailable` if its turn does not come within *timeout* seconds, `Stopped` if the
        other thread is not *alive* any more.
        """
        deadline = monotonic() + timeout
        while True:
            send(self)
            try:
                value, error = self._answers.get(timeout=min(timeout, _GLANCE))
            except Empty:
                late, dead = monotonic() >= deadline, not alive()
                if (late or dead) and self._open.take():
                    raise (Stopped if dead else DriverUnavailable)(
                        "the queue has stopped" if dead else f"no turn within {timeout:g} s"
                    ) from None
                continue
            if error is not None:
                raise error
            return value  # type: ignore[return-value]
