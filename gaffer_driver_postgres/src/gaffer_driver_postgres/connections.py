"""The connections of one driver: few, and every call on them short and bounded.

A call is made again where that is safe.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import random
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool, PoolTimeout

from gaffer.driver import DriverError, DriverUnavailable
from gaffer_driver_postgres.clock import monotonic
from gaffer_driver_postgres.errors import is_stale, is_transient, translated
from gaffer_driver_postgres.guard import Guard
from gaffer_driver_postgres.options import Options
from gaffer_driver_postgres.sessions import (
    Cursor,
    Server,
    connect_options,
    cursor_of,
    look_at,
    set_up,
)

__all__ = ["Connections", "Cursor", "Line"]

_log = logging.getLogger("gaffer.postgres.connections")

T = TypeVar("T")
Work: TypeAlias = Callable[[Cursor], T]

_FOR_A_CONNECTION = 3.0
"""Seconds to wait for one of the pool: longer, and an outage would be noticed too late."""
_TRIES = 6
_parked: list[object] = []
"""The parent's pools and connections, in a forked child: never touched, and never collected."""


class Connections:
    """A pool, ours or the user's, and the calls on it."""

    def __init__(self, conninfo: str, pool: ConnectionPool[Any] | None, options: Options) -> None:
        self._conninfo = conninfo
        self._given = pool
        self._extra: dict[str, Any] = {}
        self.options = options
        self._lock = threading.Lock()
        self._own: ConnectionPool[Any] | None = None
        self._opened = False
        self.guard = Guard()
        self.server: Server | None = None
        """What is at the other end; `None` until the first call."""

    # -- life --------------------------------------------------------------------------------------

    @property
    def _pool(self) -> ConnectionPool[Any]:
        """The pool; ours opens with the first call, also in a forked child."""
        if not self._opened:
            raise DriverError("the driver is not started, or has stopped")
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None:
                self._own = self._make_pool()
                self._own.open(wait=False)
            return self._own

    def _make_pool(self) -> ConnectionPool[Any]:
        return ConnectionPool(
            self._conninfo,
            kwargs=self._connect_kwargs(),
            min_size=1,
            max_size=self.options.max_connections,
            open=False,
            configure=self._configure,
            name="gaffer:postgres",
            reconnect_timeout=_FOR_A_CONNECTION,
            max_lifetime=1800.0,
            num_workers=1,
        )

    def _connect_kwargs(self) -> dict[str, Any]:
        return {**connect_options(self._conninfo, self.options), **self._extra, "autocommit": True}

    def _configure(self, connection: psycopg.Connection) -> None:
        with self.guard.within(self.options.timeout, connection):
            self.server = set_up(connection, self.options)

    def open(self) -> None:
        """Allow calls."""
        self._opened = True

    def close(self) -> None:
        """Close our own pool; calls raise `DriverError` from now on."""
        self._opened = False
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.close(timeout=0.5)
        self.guard.stop()

    @property
    def pooled(self) -> int:
        """How many connections our own pool has; none of a given one is ours."""
        own = self._own
        return 0 if own is None else own.get_stats().get("pool_size", 0)

    def after_fork(self) -> None:
        """Forget, untouched, what belongs to the parent."""
        _parked.extend([self._own, self._given, self.guard])
        if self._given is not None:
            # Its sockets are the parent's; what it was made of makes another.
            self._conninfo, self._extra = _recipe(self._given)
            self._given = None
        self._own = None
        self._lock = threading.Lock()
        self.guard = Guard()

    @contextmanager
    def alone(self, what: str) -> Iterator[Cursor]:
        """Give a cursor for what is done now and then: no call of it is made again.

        On a connection of its own, or one of a given pool. Raise what `call` raises.
        """
        given = self._given
        try:
            if given is None:
                with self.connect() as connection:
                    yield cursor_of(connection)
            else:
                with given.connection(_FOR_A_CONNECTION) as lent, self._ready(lent):
                    yield cursor_of(lent)
        except (psycopg.Error, OSError) as error:
            raise translated(error, what) from error

    def connect(self) -> psycopg.Connection:
        """Return a new connection beside the pool, ready for use."""
        if self._given is not None:
            self._conninfo, self._extra = _recipe(self._given)
        connection = psycopg.Connection.connect(self._conninfo, **self._connect_kwargs())
        try:
            with self.guard.within(self.options.timeout, connection):
                self.server = set_up(connection, self.options)
        except BaseException:
            connection.close()
            raise
        return connection

    # -- calls -------------------------------------------------------------------------------------

    def call(
        self,
        what: str,
        work: Work[T],
        *,
        again: bool = False,
        timeout: float | None = None,
        times: int = 1,
    ) -> T:
        """Return what *work* returns for a cursor of an autocommitting connection.

        All within *timeout* seconds, or the driver's, so many *times*. What the server rolled back
        is tried again; with *again*, which is for reading, a lost connection is replaced once.
        Raise `DriverUnavailable` where the same may succeed later, `DriverError` where not;
        SQLSTATEs of gaffer's own and violated constraints are let through.
        """
        deadline = monotonic() + (timeout or self.options.timeout) * times
        for tries in range(_TRIES):
            left = deadline - monotonic()
            try:
                return self._once(work, max(left, 0.01))
            except (psycopg.Error, PoolTimeout, OSError) as error:
                if is_ours(error):
                    raise
                pause = 0.01 * 2**tries * random()
                spent = tries == _TRIES - 1 or monotonic() + pause > deadline
                if spent or not self._worth_another(error, again, tries):
                    raise translated(error, what) from error
            threading.Event().wait(pause)
        raise AssertionError("unreachable")

    def _worth_another(self, error: Exception, again: bool, tries: int) -> bool:
        if not isinstance(error, psycopg.Error) or isinstance(error, PoolTimeout):
            return False
        if is_transient(error):
            return True
        lost = error.sqlstate is None or error.sqlstate[:3] in ("57P", "080")
        if lost and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            self._replace_idle()
            return again and tries == 0
        if is_stale(error):
            self._replace_idle()
        return is_stale(error) and tries == 0

    def _replace_idle(self) -> None:
        """Replace the connections that wait in our pool: what befell one may have befallen all."""
        if self._own is not None:
            with suppress(Exception):
                self._own.drain()

    def _once(self, work: Work[T], timeout: float) -> T:
        pool, began = self._pool, monotonic()
        connection = pool.getconn(timeout=min(_FOR_A_CONNECTION, timeout))
        left = max(timeout - (monotonic() - began), 0.01)
        try:
            with self.guard.within(left, connection), self._ready(connection):
                try:
                    return self._run(connection, work)
                except psycopg.Error as error:
                    if is_stale(error):
                        connection.close()
                    raise
        finally:
            pool.putconn(connection)

    @contextmanager
    def _ready(self, connection: psycopg.Connection) -> Iterator[None]:
        """Have one of the user's connections commit by itself, and give it back as it was."""
        if self._given is None:
            yield
            return
        before = connection.autocommit, connection.isolation_level, connection.prepare_threshold
        connection.autocommit = True
        connection.isolation_level = None
        try:
            if self.server is None:
                self.server = look_at(connection, self.options)
            if self.server.pooled:
                connection.prepare_threshold = None
            yield
        finally:
            if not connection.closed:
                connection.autocommit, connection.isolation_level = before[:2]
                connection.prepare_threshold = before[2]

    def _run(self, connection: psycopg.Connection, work: Work[T]) -> T:
        cursor = cursor_of(connection)
        if self.server is None or self.server.read_committed:
            return work(cursor)
        connection.isolation_level = IsolationLevel.READ_COMMITTED
        with connection.transaction():
            return work(cursor)


class Line:
    """One connection beside the pool, for one purpose; opened when needed, and again when lost."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._lock = threading.Lock()
        self.connection: psycopg.Connection | None = None

    def call(self, what: str, work: Work[T], *, timeout: float) -> T:
        """Return what *work* returns; raise `DriverUnavailable` or `DriverError`."""
        if not self._lock.acquire(timeout=timeout):
            raise DriverUnavailable(f"{what}: an earlier call has not returned")
        try:
            return self._call(work, timeout)
        except (psycopg.Error, OSError) as error:
            self.drop()
            raise translated(error, what) from error
        except DriverError:
            self.drop()
            raise
        finally:
            self._lock.release()

    def _call(self, work: Work[T], timeout: float) -> T:
        if self.connection is None or self.connection.closed:
            self.connection = self._connections.connect()
        cursor = cursor_of(self.connection)
        with self._connections.guard.within(timeout, self.connection):
            return work(cursor)

    @property
    def open(self) -> bool:
        """Whether it has a connection now."""
        connection = self.connection
        return connection is not None and not connection.closed

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def after_fork(self) -> None:
        """Forget the parent's connection, untouched."""
        _parked.append(self.connection)
        self.connection = None
        self._lock = threading.Lock()


def is_ours(error: Exception) -> bool:
    """Return whether *error* says what storage holds, and not that something went wrong."""
    state = getattr(error, "sqlstate", None) or ""
    return state.startswith("GF") or state in ("23505", "23502")


def _recipe(pool: ConnectionPool[Any]) -> tuple[str, dict[str, Any]]:
    """Return what a pool makes its connections of; both may be given as functions."""
    conninfo: Any = pool.conninfo() if callable(pool.conninfo) else pool.conninfo
    kwargs: Any = pool.kwargs() if callable(pool.kwargs) else pool.kwargs
    return conninfo, dict(kwargs or {})
