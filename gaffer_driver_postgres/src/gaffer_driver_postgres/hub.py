"""Wakes whoever waits for jobs: one thread and one connection for all queues of a driver.

Every interval it asks, in one statement for all its queues, which have jobs that a claim might
take. In between it listens for what other processes announce, and announces what is inserted here:
as a hint, after the commit, and not more often than every 5 ms for each queue, or every 50 ms while
it is busy, since notifications go through one lock of the server.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from itertools import count
from random import random
from typing import TypeVar

import psycopg

from gaffer.driver import DriverError
from gaffer_driver_postgres.clock import monotonic
from gaffer_driver_postgres.connections import Connections, Line
from gaffer_driver_postgres.rows import text_array
from gaffer_driver_postgres.sessions import Cursor
from gaffer_driver_postgres.statements import Statements
from gaffer_driver_postgres.watches import News, Watch, wake

__all__ = ["Hub"]

_log = logging.getLogger("gaffer.postgres.hub")

T = TypeVar("T")

_MOST_NEWS = 1000
_LIVENESS = 10.0
"""Seconds after which a silent connection is asked for a sign of life."""
_TIMEOUT = 5.0
_LONGEST_PAUSE = 5.0
_FOR_THE_END = 0.5
"""Seconds for what is still to be announced when the driver stops."""
_REST = 30.0
"""Seconds without anything to do, after which the thread ends."""


class Hub:
    """The subscriptions and announcements of one driver.

    With *notify* false it neither announces nor listens, and asks through the pool.
    """

    def __init__(
        self, connections: Connections, sql: Statements, *, channel: str, notify: bool
    ) -> None:
        self._connections = connections
        self._sql = sql
        self._channel = channel
        self._notify = notify
        self._line = Line(connections)
        self._open()

    def _open(self) -> None:
        self._lock = threading.Lock()
        # Under the lock:
        self._watches: dict[int, Watch] = {}
        self._news: dict[str, News] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._numbers = count()
        self._bell: tuple[int, int] | None = None
        # The thread's own:
        self._listening: psycopg.Connection | None = None
        self._heard_at = 0.0
        self._failures = 0

    # -- for all threads ---------------------------------------------------------------------------

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Have *wake* called; return what ends that, or `None` if there is no thread to be had."""
        number = next(self._numbers)
        with self._lock:
            self._watches[number] = Watch(queue, interval, wake)
            if not self._run_thread():
                del self._watches[number]
                return None
        return lambda: self._end(number)

    def _end(self, number: int) -> None:
        with self._lock:
            watch = self._watches.pop(number, None)
            if watch is not None:
                watch.ended = True  # the thread may have it in hand

    def inserted(self, queues: Iterable[str]) -> None:
        """Wake the watches here, and announce *queues* to the other processes."""
        names = set(queues)
        with self._lock:
            here = [watch for watch in self._watches.values() if watch.queue in names]
            if self._announces:
                now = monotonic()
                news = [self._news.setdefault(queue, News()).add(now) for queue in names]
                if any(news):
                    self._run_thread()
        wake(here)

    @property
    def _announces(self) -> bool:
        server = self._connections.server
        return self._notify and not (server is not None and server.pooled)

    @property
    def open(self) -> bool:
        """Whether it has a connection now."""
        return self._line.open

    @property
    def listening(self) -> bool | None:
        """Whether it hears what others announce; `None` if it may not, or nobody waits here."""
        if not self._announces or not self._watches:
            return None
        return self.open and self._listening is not None

    def stop(self) -> None:
        """Announce what waits, and end the thread."""
        with self._lock:
            self._stopping, thread = True, self._thread
            self._ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FOR_THE_END)
            if thread.is_alive():  # in a call that nobody answers
                self._connections.guard.cut_all()
                thread.join(_FOR_THE_END)
        with self._lock:
            self._watches.clear()
            self._stopping = False
        if thread is None:
            self._line.drop()

    def after_fork(self) -> None:
        """Forget what belongs to the parent; its subscriptions too."""
        if self._bell is not None:
            for end in self._bell:
                with suppress(OSError):
                    os.close(end)
        self._line.after_fork()
        self._open()

    def _run_thread(self) -> bool:
        """Start the thread or wake it; the caller holds the lock. Return whether it runs."""
        if self._thread is not None:
            self._ring()
            return True
        if self._stopping:
            return False
        thread = threading.Thread(target=self._run, name="gaffer:postgres:hub", daemon=True)
        try:
            with ExitStack() as undo:
                bell = os.pipe()
                for end in bell:
                    undo.callback(os.close, end)
                thread.start()
                undo.pop_all()
        except (RuntimeError, OSError) as error:  # there are no more threads, or files
            _log.warning("no thread for waking, queues poll by themselves: %s", error)
            return False
        self._bell, self._thread = bell, thread
        for end in bell:
            os.set_blocking(end, False)
        return True

    def _ring(self) -> None:
        if self._bell is not None:
            with suppress(BlockingIOError):
                os.write(self._bell[1], b"!")

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                return self._repeat()
            except BaseException:  # in the telling of another, or right behind it
                with suppress(BaseException):  # a filter of the user's log may raise again
                    _log.exception("the hub failed and goes on")
            if self._thread is not threading.current_thread():
                return None
            threading.Event().wait(0.1)

    def _repeat(self) -> None:
        quiet_since = monotonic()
        while True:
            try:
                busy = self._step()
            except (DriverError, psycopg.Error, OSError) as error:
                self._failed(error)
                busy = True
            except BaseException:
                _log.exception("waking failed")
                self._failed(None)
                busy = True
            now = monotonic()
            quiet_since = now if busy else quiet_since
            if self._ended(now - quiet_since > _REST):
                return

    def _ended(self, quiet: bool) -> bool:
        """Return whether the thread has to end, and put away what it used."""
        with self._lock:
            if not self._stopping and not (quiet and not self._watches and not self._announcing()):
                return False
            self._thread = None
            bell, self._bell = self._bell, None
        self._line.drop()
        self._listening = None
        for end in bell or ():
            os.close(end)
        return True

    def _announcing(self) -> bool:
        return any(news.at is not None for news in self._news.values())

    def _step(self) -> bool:
        """Announce, look, listen; return whether there are watches or was anything to do."""
        now = monotonic()
        with self._lock:
            stopping = self._stopping
            watches = list(self._watches.values())
            taken = [
                queue for queue, news in self._news.items() if news.take(now, at_once=stopping)
            ]
            if len(self._news) > _MOST_NEWS:  # of very many queues, forget those at rest
                self._news = {q: news for q, news in self._news.items() if news.at is not None}
        if taken and self._announces:
            self._announce(taken)
        if stopping:
            return False
        if watches:
            self._listen(watches)
            self._look(watches, now)
        self._failures = 0
        self._wait(self._patience(watches))
        return bool(watches or taken)

    def _patience(self, watches: list[Watch]) -> float:
        now = monotonic()
        with self._lock:
            moments = [watch.due for watch in watches]
            moments += [news.at for news in self._news.values() if news.at is not None]
        return max(0.0, min([now + _REST, *moments]) - now)

    def _announce(self, queues: list[str]) -> None:
        try:
            self._ask(
                "announce",
                lambda cursor: cursor.execute(
                    "SELECT pg_notify(%s, q) FROM unnest(%s::text[]) q",
                    [self._channel, text_array(queues)],
                ),
            )
        except DriverError as error:
            _log.info("not announced, others find it by polling: %s", error)

    def _ask(self, what: str, work: Callable[[Cursor], T]) -> T:
        """Ask on our own connection, if we listen on one; else on the pool's."""
        if self._line.connection is not None:
            return self._line.call(what, work, timeout=_TIMEOUT)
        return self._connections.call(what, work)

    def _listen(self, watches: list[Watch]) -> None:
        """Listen, if we may; after a gap wake all, since something may have been missed."""
        connection = self._line.connection
        if not self._announces or (connection is not None and connection is self._listening):
            return
        if not self._line.call("listen", self._begin_to_listen, timeout=_TIMEOUT):
            self._line.drop()
            return
        self._listening = self._line.connection
        self._heard_at = monotonic()
        wake(watches)

    def _begin_to_listen(self, cursor: Cursor) -> bool:
        if not self._announces:  # by now we know that it is a pooler, behind which we are deaf
            return False
        cursor.execute(f'LISTEN "{self._channel}"', prepare=False)
        cursor.connection.add_notify_handler(self._notified)
        return True

    def _notified(self, notification: psycopg.Notify) -> None:
        connection = self._listening
        if connection is not None and notification.pid == connection.info.backend_pid:
            return  # our own: woken already
        with self._lock:
            watches = [w for w in self._watches.values() if w.queue == notification.payload]
        wake(watches)

    def _look(self, watches: list[Watch], now: float) -> None:
        """Wake those whose queue has something to claim, if it is time to look."""
        # Those that are due soon come along, and stay together from then on: one statement for all.
        slack = min(watch.interval for watch in watches)
        due = [watch for watch in watches if watch.due <= now + slack]
        if not any(watch.due <= now for watch in due):
            if now - self._heard_at > _LIVENESS and self._line.connection is not None:
                self._line.call("look", lambda cursor: cursor.execute("SELECT 1"), timeout=_TIMEOUT)
                self._heard_at = now
            return
        names = text_array({watch.queue for watch in due})
        found = self._ask("look for jobs", lambda cursor: self._ready(cursor, names))
        self._heard_at = monotonic()
        new = [watch for watch in due if not watch.due]  # which may have missed something
        early = 0.9 + 0.1 * random()  # other processes look at other moments
        for watch in due:
            watch.due = self._heard_at + watch.interval * early
        wake(watch for watch in due if watch.queue in found or watch in new)

    def _ready(self, cursor: Cursor, names: str) -> set[str]:
        cursor.execute(self._sql.ready, [names])
        return {name for (name,) in cursor.fetchall()}

    def _wait(self, seconds: float) -> None:
        """Wait for a notification or the bell."""
        with self._lock:
            bell = self._bell
        if bell is None:
            return
        connection = self._line.connection
        listened = [] if connection is None or connection.closed else [connection.fileno()]
        seconds = min(seconds, _LIVENESS) if listened else seconds
        poll = select.poll()  # not `select`, which knows the first 1,024 files only
        for file in (bell[0], *listened):
            poll.register(file, select.POLLIN)
        ready = {file for file, _ in poll.poll(seconds * 1000)}
        if bell[0] in ready:
            with suppress(BlockingIOError):
                os.read(bell[0], 4096)
        if connection is not None and ready & set(listened):
            self._heard_at = monotonic()
            connection.pgconn.consume_input()
            while (notify := connection.pgconn.notifies()) is not None:
                queue = notify.extra.decode()
                self._notified(psycopg.Notify(self._channel, queue, notify.be_pid))

    def _failed(self, error: BaseException | None) -> None:
        """Drop the connection, and wait a while that grows; others wait for other whiles."""
        self._line.drop()
        self._listening = None
        pause = min(0.1 * 2.0**self._failures, _LONGEST_PAUSE) * (0.5 + random() / 2)
        self._failures = min(self._failures + 1, 10)
        if error is not None:
            _log.warning("waking pauses for %.1f s: %s", pause, error)
        until = monotonic() + pause
        while (left := until - monotonic()) > 0 and not self._stopping:
            self._wait(left)  # each insert rings, too
