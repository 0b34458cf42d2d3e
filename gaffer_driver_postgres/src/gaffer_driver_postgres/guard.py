"""A deadline for every call: a connection that does not answer in time is cut off.

Keepalives and ``tcp_user_timeout`` do not notice a peer that still acknowledges, so the socket is
shut down from outside; the thread that waits for it gets an `OperationalError`.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg

from gaffer_driver_postgres.clock import monotonic

__all__ = ["Guard"]

_log = logging.getLogger("gaffer.postgres.guard")

_GLANCE = 0.25
"""Seconds between looks at what is under way: how exact the deadlines are."""
_REST = 5.0
"""Seconds without a call, after which the thread sleeps until there is one."""


class _Call:
    """A call under way: until when, and on which socket."""

    __slots__ = ("connection", "deadline", "inode")

    def __init__(self, connection: psycopg.Connection, deadline: float, inode: int) -> None:
        self.connection = connection
        self.deadline = deadline
        self.inode = inode

    def cut(self) -> None:
        """Shut the socket down, if it still is the one that the call began on."""
        with suppress(OSError, psycopg.Error):
            number = self.connection.pgconn.socket
            descriptor = _held(number)
            ours = socket.socket(fileno=descriptor)
            try:
                # libpq may have closed it, and its number may be somebody else's by now.
                if os.fstat(descriptor).st_ino == self.inode:
                    ours.shutdown(socket.SHUT_RDWR)
            finally:
                ours.detach()
                if descriptor != number:
                    os.close(descriptor)


def _held(number: int) -> int:
    """Return a descriptor that nobody else closes; the same if there are no more files."""
    try:
        return os.dup(number)
    except OSError:
        return number


class Guard:
    """Watches the calls of one driver. Its thread starts with the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inodes: WeakKeyDictionary[psycopg.Connection, int] = WeakKeyDictionary()
        # Under the lock:
        self._calls: set[_Call] = set()
        self._thread: threading.Thread | None = None
        self._resting = False
        self._stopping = False
        self._began = 0  # calls, ever
        self._wakeup = threading.Event()

    @contextmanager
    def within(self, seconds: float, connection: psycopg.Connection) -> Iterator[None]:
        """Cut *connection* off if the block takes longer than *seconds*."""
        inode = self._inodes.get(connection)
        if inode is None:  # once for each: asking for it lets other threads run
            inode = self._inodes[connection] = os.fstat(connection.pgconn.socket).st_ino
        call = _Call(connection, monotonic() + seconds, inode)
        with self._lock:
            self._calls.add(call)
            self._began += 1
            if self._thread is None or not self._thread.is_alive():
                self._start()
            if self._resting:
                self._resting = False
                self._wakeup.set()
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(call)

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="gaffer:postgres:guard", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had, or the interpreter ends: unguarded for now
            return
        self._thread = thread

    def cut_all(self) -> None:
        """Cut off all calls under way: nobody waits for them any more."""
        with self._lock:
            for call in self._calls:
                call.cut()

    def stop(self) -> None:
        """End the thread; calls that come later start another."""
        with self._lock:
            self._stopping, thread, self._thread = True, self._thread, None
            self._wakeup.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(1.0)
        with self._lock:
            self._stopping, self._resting = False, False
            self._wakeup.clear()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._watch()
            except BaseException:  # whatever it was: without this thread no call has a deadline
                with suppress(BaseException):  # a filter of the user's log may raise again
                    _log.exception("the guard failed and goes on")
                self._wakeup.wait(_GLANCE)

    def _watch(self) -> None:
        seen, idle = -1, 0.0
        while not self._stopping:
            with self._lock:
                idle = 0.0 if self._calls or self._began != seen else idle + _GLANCE
                seen = self._began
                self._resting = resting = idle >= _REST
                self._wakeup.clear()
                late = [call for call in self._calls if call.deadline <= monotonic()]
                for call in late:
                    call.cut()
                    self._calls.discard(call)
            for call in late:
                _log.warning("no answer from the server in time; %s is cut off", call.connection)
            if not self._stopping:
                self._wakeup.wait(None if resting else _GLANCE)
