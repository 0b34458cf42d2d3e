"""A driver inside one transaction of somebody else's, for tests: gone when that is rolled back.

Every call is a savepoint on the one connection. The tables are made there, too, in a schema of
their own: nobody else ever sees them, and no job that is really there is touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar
from uuid import uuid4

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from gaffer.driver import Clock, DriverError, Job
from gaffer_driver_postgres.caller import unwrapped
from gaffer_driver_postgres.connections import Connections, Cursor, Line, Work
from gaffer_driver_postgres.driver import PostgresDriver
from gaffer_driver_postgres.errors import translated
from gaffer_driver_postgres.options import Options
from gaffer_driver_postgres.sessions import cursor_of

__all__ = ["TransactionDriver"]

T = TypeVar("T")

_CLOCK = """
CREATE OR REPLACE FUNCTION {s}.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS $$ SELECT current_setting('gaffer.now')::timestamptz $$
"""
_NOW = "SELECT set_config('gaffer.now', %s, true)"
_GONE = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
)
_ENDED = "the test's transaction was rolled back or committed: its jobs belong to that alone"


class _Inside(Connections):
    """Calls on a connection that is lent: each a savepoint of the transaction that is open."""

    def __init__(
        self, connection: psycopg.Connection[Any], now: Callable[[], datetime], options: Options
    ) -> None:
        super().__init__("", None, options)
        self._lent = connection
        self._now = now
        self._owner = threading.get_ident()
        self.begun = False  # whether the tables were made in the transaction

    @property
    def mine(self) -> bool:
        """Whether the caller's thread is the one that lent the connection."""
        return threading.get_ident() == self._owner

    def _once(self, work: Work[T], timeout: float) -> T:
        try:
            with self._savepoint() as cursor:
                return work(cursor)
        except _GONE as error:
            raise DriverError(_ENDED) from error

    @contextmanager
    def alone(self, what: str) -> Iterator[Cursor]:
        """Give a cursor; raise what `call` raises."""
        try:
            with self._savepoint() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise translated(error, what) from error

    @contextmanager
    def _savepoint(self) -> Iterator[Cursor]:
        if not self.mine:
            # Savepoints of two threads would not be nested.
            raise DriverError("jobs inside a test's transaction are for the thread of the test")
        self._check(self._lent.info.transaction_status)
        with self._lent.transaction():
            cursor = cursor_of(self._lent)
            cursor.execute(_NOW, [self._now().isoformat()])
            yield cursor

    def _check(self, status: TransactionStatus) -> None:
        if self._lent.closed:
            raise DriverError("the connection of the test is closed")
        if status is TransactionStatus.INERROR:
            raise DriverError("the test's transaction has failed: go back to a savepoint first")
        if status is TransactionStatus.IDLE:
            if self.begun:
                raise DriverError(_ENDED)
            if self._lent.autocommit:
                raise DriverError(
                    "no transaction is open on the test's connection: begin one, to be rolled back"
                )
            self._lent.execute("SELECT 1")  # else the savepoint would be all, and be committed


class _SameLine(Line):
    """The line for beats: the same connection, which stays open."""

    def __init__(self, inside: _Inside) -> None:
        super().__init__(inside)
        self._inside = inside

    def call(self, what: str, work: Work[T], *, timeout: float) -> T:
        """Return what *work* returns."""
        return self._inside.call(what, work)


class TransactionDriver(PostgresDriver):
    """Keeps jobs inside the transaction that is open on *connection*; for tests.

    *connection* is one of psycopg 3, ``django.db.connection``, or of SQLAlchemy. Whoever lends it
    begins the transaction, READ COMMITTED, and rolls it back. Instants are *clock*'s. Calls belong
    to the thread that makes this; other threads hear that nothing has happened, or `DriverError`.
    *schema* is of another such driver, to see its jobs.
    """

    def __init__(self, connection: Any, *, clock: Clock, schema: str | None = None) -> None:
        self._lent = unwrapped(connection)
        self._manual = clock
        super().__init__("", schema=schema or f"gaffer_test_{uuid4().hex[:12]}", notify=False)

    def _connect(self, conninfo: str, pool: ConnectionPool[Any] | None) -> None:
        super()._connect(conninfo, pool)
        self._inside = _Inside(self._lent, self.now, self._options)
        self._connections = self._inside
        self._pulse = _SameLine(self._inside)

    def _begin(self) -> None:
        with self._connections.alone("start") as cursor:
            [(isolation,)] = cursor.execute(
                "SELECT current_setting('transaction_isolation')"
            ).fetchall()
            if isolation != "read committed":
                raise DriverError(
                    f"the test's transaction is {isolation.upper()}; gaffer needs READ COMMITTED"
                )
            if not self._migrator.status(cursor).applied:
                self._migrator.apply(cursor_of(self._lent, binary=False))
                cursor.execute(_CLOCK.format(s=self._sql.schema))
            self._storage = self._place(cursor)
        self._inside.begun = True

    def drop(self) -> None:
        """Drop the tables, should the transaction be committed; if it has failed, they are gone."""
        usable = (TransactionStatus.INTRANS, TransactionStatus.IDLE)
        if self._storage is None or self._lent.info.transaction_status not in usable:
            return
        # Not behind the checks of a call: where the test has committed, this is to be, too.
        with self._lent.transaction():
            cursor = cursor_of(self._lent)
            cursor.execute("SET LOCAL client_min_messages = warning")
            cursor.execute(f"DROP SCHEMA IF EXISTS {self._sql.schema} CASCADE")

    def now(self) -> datetime:
        """Return the clock's instant."""
        return self._manual.now()

    def resync(self) -> None:
        """Do nothing: the clock is the test's."""

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none; *connection* can only be the test's."""
        if connection is not None and unwrapped(connection) is not self._lent:
            raise DriverError(
                "connection= is not the connection of the test: a job would be where the queue "
                "cannot be seen"
            )
        return super().job_write(jobs)

    # What threads of gaffer's own ask for now and then:

    def node_beat(self, node: str) -> None:
        """Note that *node* is alive; nobody waits for the beats of other threads."""
        if self._inside.mine:
            super().node_beat(node)

    def node_leave(self, node: str) -> None:
        """Forget a node, unless it is forgotten with the transaction."""
        with suppress(DriverError):
            super().node_leave(node)

    def node_tell(self, node: str, about: str) -> None:
        """Keep what a node says of itself, if the thread of the test tells it."""
        if self._inside.mine:
            super().node_tell(node, about)

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the jobs of silent nodes to the thread of the test, and none to others."""
        return super().job_orphans(queue, lease) if self._inside.mine else []

    def job_ended(self, ids: Sequence[Any]) -> dict[Any, Job | None]:
        """Return what has ended to the thread of the test; others hear of it when it ends."""
        return super().job_ended(ids) if self._inside.mine else {}

    def subscribe(self, queue: str, interval: float, wake: Callable[[], None]) -> None:
        """Refuse: who subscribes is a thread of gaffer's own that is about to start."""
        raise DriverError(
            f"queue {queue!r} cannot be worked by threads: jobs inside a test's transaction are "
            "for the thread of the test; run them by gaffer_jobs or poll()"
        )
