"""Raising `JobTimeout` in another thread, so that it can land nowhere but in the job.

An asynchronous exception arrives some time after it was sent. Sent to a thread that has just ended
its job it would strike the code behind it, or the next job. So there is one *token*: whoever holds
it decides.

- The watchdog must take the token to shoot, and keeps it.
- The thread takes it when the job's code ends; if it is gone, a shot is on its way, and the thread
  waits inside `run` until it has landed.
- Within `uninterruptible` the thread holds the token; a timeout in the meantime is raised by the
  thread itself when the block ends.

No lock is held when a shot arrives, so none can be lost to it.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from gaffer.clock import monotonic
from gaffer.errors import JobTimeout
from gaffer.token import Token

__all__ = ["Interrupt"]

T = TypeVar("T")

_LANDING = 1.0
"""Seconds to wait for a shot to land; longer means that the job has swallowed it."""

_raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in.argtypes = (ctypes.c_ulong, ctypes.py_object)
_raise_in.restype = ctypes.c_int
_NOTHING = ctypes.py_object()  # a null pointer: takes back a shot that has not landed


class Interrupt:
    """The right to interrupt one attempt, once."""

    __slots__ = ("_depth", "_due", "_spent", "_thread", "_token")

    def __init__(self) -> None:
        self._token = Token()
        self._due = False  # written by the watchdog only
        self._spent = False  # no shot is on its way any more
        # The rest is the job's thread's own.
        self._thread = 0
        self._depth = 0

    def shoot(self) -> None:
        """Raise `JobTimeout` in the job's thread, now or when it may be interrupted again."""
        self._due = True  # before the look at the token: the thread looks in the other order
        if self._token.take():
            if self._thread:
                _raise_in(self._thread, JobTimeout)
            else:
                self._spent = True  # the job's code has not begun, and will not

    def landed(self) -> bool:
        """Return whether a `JobTimeout` that ended the job's code is the shot."""
        self._spent = self._due
        return self._due

    def run(self, body: Callable[[], T], interrupted: Callable[[], T]) -> T:
        """Return what *body* returns, or what *interrupted* does if a shot ended it.

        When this returns no shot is on its way any more.
        """
        self._thread = threading.get_ident()
        results: list[T] = []
        begun = False
        while True:
            try:
                if not begun and not self._due:
                    begun = True
                    results.append(body())
                if not self._token.take():
                    self._await_shot()
                break
            except JobTimeout:
                begun = self._spent = True
        return results[0] if results else interrupted()

    @contextmanager
    def uninterruptible(self) -> Iterator[None]:
        """Hold off a shot until the block ends. Blocks may be nested."""
        self._depth += 1
        if self._depth == 1 and not self._token.take():
            self._await_shot()
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0 and not self._spent:
                self._give_back()

    def breathe(self) -> None:
        """Let a shot that is due land here, inside an uninterruptible block that takes long."""
        depth = self._depth
        if depth == 0 or self._spent:
            return
        self._depth = 0
        try:
            self._give_back()
            if not self._token.take():
                self._await_shot()
        finally:
            self._depth = depth

    def _give_back(self) -> None:
        self._token.give_back()
        if self._due:
            if self._token.take():
                self._spent = True
                raise JobTimeout
            self._await_shot()

    def _await_shot(self) -> None:
        # In a `finally` that the shot itself has caused there is nothing to wait for.
        if self._spent or isinstance(sys.exception(), JobTimeout):
            self._spent = True
            return
        deadline = monotonic() + _LANDING
        while not self._spent and monotonic() < deadline:  # the shot is raised out of this loop
            time.sleep(0.001)
        self._spent = True
        _raise_in(threading.get_ident(), _NOTHING)
