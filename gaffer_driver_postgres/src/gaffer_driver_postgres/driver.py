"""The driver: each verb is one statement, and so one round trip and one transaction."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool

from gaffer.driver import (
    Claim,
    Cutoffs,
    Driver,
    DriverError,
    Job,
    JobFilter,
    JobState,
    QueueHasJobs,
    StateStats,
    UnknownQueue,
)
from gaffer_driver_postgres.caller import unwrapped
from gaffer_driver_postgres.clock import ServerClock, monotonic
from gaffer_driver_postgres.connections import Connections, Cursor, Line
from gaffer_driver_postgres.embedded import EmbeddedServer
from gaffer_driver_postgres.errors import translated
from gaffer_driver_postgres.hub import Hub
from gaffer_driver_postgres.listing import listing
from gaffer_driver_postgres.migrations import Migrations, Migrator
from gaffer_driver_postgres.options import Options, check_conninfo, from_url, path_of
from gaffer_driver_postgres.rows import claimed_job, instants, job_of, stats_of, text_array
from gaffer_driver_postgres.statements import Statements, quoted
from gaffer_driver_postgres.writing import Remembered, Writer

__all__ = ["PostgresDriver"]

_log = logging.getLogger("gaffer.postgres")

_LONG = 600.0
"""Seconds for what may delete very many jobs at once."""


class PostgresDriver(Driver):
    """Keeps jobs in a schema of a PostgreSQL database, version 13 or later.

    - *conninfo*: a URL or keywords as libpq takes them; what it leaves out, and by default all,
      comes from libpq's ``PG*`` variables;
    - *pool*: a `psycopg_pool.ConnectionPool` to use instead; it is left open. Its connections
      come back as they were;
    - *schema*: where the tables are; installations in several schemas do not touch each other;
    - *migrate*: whether `start` makes and updates the schema; else it checks it;
    - *notify*: whether inserts are announced to other processes at once; else these find them
      within their `poll_interval`;
    - *pooler*: whether a pooler such as pgbouncer stands between, so that nothing may depend on
      the session; `None` finds out;
    - *max_connections*: the most that the driver's own pool holds. A process that works jobs has
      two more: one beats, one listens;
    - *timeout*: seconds within which each call is answered, or raises `DriverUnavailable`.

    Nothing is opened before `start`. Raise `DriverError` for values out of range.
    """

    def __init__(
        self,
        conninfo: str = "",
        *,
        pool: ConnectionPool[Any] | None = None,
        schema: str = "gaffer",
        migrate: bool = True,
        notify: bool = True,
        pooler: bool | None = None,
        max_connections: int = 4,
        timeout: float = 10.0,
    ) -> None:
        if pool is not None and (conninfo or not isinstance(pool, ConnectionPool)):
            raise DriverError("give a conninfo or a psycopg_pool.ConnectionPool, not both")
        check_conninfo(conninfo, conninfo)
        self._options = Options(
            schema=schema,
            migrate=migrate,
            notify=notify,
            pooler=pooler,
            max_connections=max_connections,
            timeout=timeout,
        )
        self._server: EmbeddedServer | None = None
        self._connect(conninfo, pool)

    def _connect(self, conninfo: str, pool: ConnectionPool[Any] | None) -> None:
        """Make what works with the database; connect nothing."""
        options = self._options
        self._connections = Connections(conninfo, pool, options)
        self._sql = Statements(quoted(options.schema))
        self._clock = ServerClock()
        self._pulse = Line(self._connections)
        self._hub = Hub(
            self._connections, self._sql, channel=options.channel, notify=options.notify
        )
        self._migrator = Migrator(self._connections, options)
        self._writer = Writer(self._sql, self.now)
        self._remembered = Remembered()
        self._storage: Hashable = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a driver from a URL.

        ``postgresql://user@host/database?schema=jobs`` is libpq's, with the options of the
        constructor in the query; ``postgres+embedded:///absolute/path`` is `embedded`.
        """
        scheme, _, _ = url.partition("://")
        if scheme.endswith("+embedded"):
            _, options = from_url("postgresql:?" + url.partition("?")[2])
            return cls._embedded(path_of(url), options)
        conninfo, options = from_url(url)
        return cls._with(conninfo, options)

    @classmethod
    def _with(cls, conninfo: str, options: Options) -> Self:
        return cls(conninfo, **{name: getattr(options, name) for name in Options.__slots__})

    @classmethod
    def embedded(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Make a driver with a server of its own, which keeps its data in the directory *path*.

        For development, examples and tests: needs ``gaffer-driver-postgres[embedded]``. Processes
        that give the same path share the server; the last one stops it. *options* are those of
        the constructor.
        """
        return cls._embedded(path, Options(**options))

    @classmethod
    def _embedded(cls, path: str | os.PathLike[str], options: Options) -> Self:
        driver = cls._with("", options)
        driver._server = EmbeddedServer(path)
        return driver

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, apply pending migrations or check them, and look at the server's clock.

        Raise `DriverUnavailable`, `MigrationMismatch`, or `DriverError` for a server that cannot
        be used.
        """
        if self._storage is not None:
            return
        if self._server is not None:
            self._connect(self._server.start(), None)
        self._connections.call("connect", lambda cursor: None, again=True)
        self._migrator.ensure(migrate=self._options.migrate)
        self.resync()
        self._storage = self._connections.call("look at the database", self._place, again=True)

    def _place(self, cursor: Cursor) -> Hashable:
        """Return what tells this schema from all others in the world, as far as that goes."""
        cursor.execute(
            "SELECT system_identifier, d.oid, n.oid FROM pg_control_system(), pg_database d,"
            " pg_namespace n WHERE d.datname = current_database() AND n.nspname = %s",
            [self._options.schema],
        )
        return ("postgres", cursor.fetchone())

    def stop(self) -> None:
        """Close all connections but those of a given pool; let go of an embedded server."""
        self._hub.stop()
        self._pulse.drop()
        self._connections.close()
        self._storage = None
        if self._server is not None:
            self._server.stop()

    def after_fork(self) -> None:
        """Leave the parent's connections alone; the child opens its own when it needs them."""
        self._connections.after_fork()
        self._pulse.after_fork()
        self._hub.after_fork()
        self._clock.after_fork()
        self._remembered = Remembered()
        if self._server is not None:
            self._server.after_fork()

    @property
    def storage(self) -> Hashable:
        """The server, the database and the schema; each driver for itself before `start`."""
        return id(self) if self._storage is None else self._storage

    def now(self) -> datetime:
        """Return the server's instant: by an offset, which every beat measures anew."""
        if not self._clock.known:
            self.resync()
        return self._clock.now()

    def resync(self) -> None:
        """Measure the offset to the server's clock."""
        self._call("look at the clock", self._look_at_clock, again=True)

    def _look_at_clock(self, cursor: Cursor) -> None:
        before = monotonic()
        [(instant,)] = cursor.execute(self._sql.clock).fetchall()
        self._clock.measured(instant, before, monotonic())

    def _call(self, what: str, work: Callable[[Cursor], Any], **options: Any) -> Any:
        return self._connections.call(what, work, **options)

    def _read(self, what: str, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that may be repeated."""
        return self._call(  # type: ignore[no-any-return]
            what, lambda cursor: cursor.execute(statement, values).fetchall(), again=True
        )

    # -- migrations ----------------------------------------------------------------------------

    def migrations(self) -> Migrations:
        """Return the versions that this release knows and those that the schema has."""
        return self._migrator.status()

    def migrate(self) -> None:
        """Apply what is pending; raise `MigrationMismatch`."""
        self._migrator.ensure(migrate=True)

    def rollback(self, target: int) -> None:
        """Take back all migrations after *target*, the newest first, in one transaction.

        0 drops all tables of the schema, and the jobs with them. Raise `MigrationMismatch` for a
        version that this release does not know, `DriverError` for a target that it does not.
        """
        self._migrator.rollback(target)

    def migration_sql(self) -> str:
        """Return SQL for psql that makes the schema, for those who apply it themselves."""
        return self._migrator.script()

    # -- queues --------------------------------------------------------------------------------

    def queue_insert(self, name: str) -> None:
        """Keep the name of a queue."""
        work = {"name": name}
        self._call("keep a queue", lambda c: c.execute(self._sql.queue_insert, work), again=True)

    def queue_exists(self, name: str) -> bool:
        """Return whether the name is kept."""
        [(exists,)] = self._read("look for a queue", self._sql.queue_exists, [name])
        return bool(exists)

    def queue_list(self) -> list[str]:
        """Return all names, sorted."""
        return [name for (name,) in self._read("list queues", self._sql.queue_list)]

    def queue_delete(self, name: str, *, jobs: bool = False) -> None:
        """Forget a queue, and its jobs if asked to."""
        try:
            self._call("delete a queue", lambda c: self._delete(c, name, jobs), timeout=_LONG)
        except psycopg.Error as error:
            if error.sqlstate == "GFQ01":
                raise UnknownQueue(name) from None
            if error.sqlstate == "GFJ01":
                raise QueueHasJobs(name) from None
            raise translated(error, "delete a queue") from error

    def _delete(self, cursor: Cursor, name: str, jobs: bool) -> None:
        with cursor.connection.transaction():
            # Very many jobs take their time.
            cursor.execute("SELECT set_config('statement_timeout', '0', true)")
            cursor.execute(self._sql.queue_delete, [name, jobs])

    def queue_pause(self, name: str, paused: bool) -> bool:
        """Keep whether a queue is paused; return whether that was a change."""
        values = {"name": name, "paused": paused}
        [(changed, exists)] = self._call(
            "pause a queue", lambda c: c.execute(self._sql.queue_pause, values).fetchall()
        )
        if not exists:
            raise UnknownQueue(name)
        if changed and not paused:
            self._hub.inserted([name])
        return bool(changed)

    def queue_paused(self, name: str) -> bool:
        """Return whether a queue is paused."""
        return self._read("look at a queue", self._sql.queue_paused, [name]) == [(True,)]

    # -- jobs ----------------------------------------------------------------------------------

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none.

        *connection*: a psycopg 3 connection, ``django.db.connection``, or a SQLAlchemy
        ``Connection`` or ``Session``. The write is part of its transaction, behind a savepoint.
        """
        if not jobs:
            return []
        if connection is not None:
            self._write_there(jobs, unwrapped(connection))
            return list(jobs)
        self._writer.write(self._call, jobs, self._remembered)
        self._remembered.forget(jobs)
        self._tell(jobs)
        return list(jobs)

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Wake those who may claim one of *jobs* now."""
        new = {job.queue for job in jobs if job.revision == 0}
        if new:
            self._hub.inserted(new)

    def _write_there(self, jobs: Sequence[Job], connection: psycopg.Connection[Any]) -> None:
        cursor: Cursor = psycopg.Cursor(connection)
        queues = text_array({job.queue for job in jobs})
        try:
            with connection.transaction():
                self._writer.write_there(cursor, jobs)
                if self._options.notify:
                    notify = "SELECT pg_notify(%s, q) FROM unnest(%s::text[]) q"
                    cursor.execute(notify, [self._options.channel, queues])
        except psycopg.Error as error:
            raise translated(error, "write in the caller's transaction") from error

    def job_get(self, id: UUID) -> Job | None:
        """Return a job, or `None`."""
        rows = self._read("get a job", self._sql.job_get, [id.hex])
        return job_of(rows[0]) if rows else None

    def job_list(self, filter: JobFilter) -> list[Job]:
        """Return the jobs that meet *filter*, by (created_at, id)."""
        found = listing(self._sql.schema, filter)
        return [] if found is None else [job_of(row) for row in self._read("list jobs", *found)]

    def job_delete(self, id: UUID) -> bool:
        """Delete a job; return whether there was one."""
        [(deleted,)] = self._call(
            "delete a job", lambda c: c.execute(self._sql.job_delete, [id.hex]).fetchall()
        )
        return bool(deleted)

    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return count, oldest and newest of each state."""
        return stats_of(self._read("count jobs", self._sql.job_stats, [queue]))

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim jobs, in order."""
        values = [
            claim.queue,
            claim.limit,
            claim.global_max_workers,
            claim.node,
            claim.now.isoformat(),
            claim.even_paused,
        ]
        rows = self._call("claim jobs", lambda c: c.execute(self._sql.job_claim, values).fetchall())
        jobs = [claimed_job(row, claim.queue, claim.now.astimezone(UTC)) for row in rows]
        jobs.sort(key=lambda job: (-job.priority, job.created_at, job.id.int))
        self._remembered.add(jobs)
        return jobs

    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* old jobs; return their ids."""
        befores = [None if before == "all" else before for before in cutoffs.values()]
        values = [queue, text_array([s.value for s in cutoffs]), instants(befores), limit]
        rows = self._call("prune", lambda c: c.execute(self._sql.job_prune, values).fetchall())
        return [id for (id,) in rows]

    # -- nodes ---------------------------------------------------------------------------------

    def node_beat(self, node: str) -> None:
        """Note that *node* is alive, on a connection that nothing else can keep busy."""
        self._pulse.call("beat", lambda cursor: self._beat(cursor, node), timeout=5.0)

    def _beat(self, cursor: Cursor, node: str) -> None:
        before = monotonic()
        [(instant,)] = cursor.execute(self._sql.node_beat, [node]).fetchall()
        self._clock.measured(instant, before, monotonic())

    def node_leave(self, node: str) -> None:
        """Forget a node, and those that were silent for a day."""
        self._call("leave", lambda c: c.execute(self._sql.node_leave, [node]), again=True)

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs whose node has not beaten for *lease* seconds."""
        values = {"queue": queue, "lease": lease}
        return [job_of(row) for row in self._read("seek orphans", self._sql.orphans, values)]

    # -- waking --------------------------------------------------------------------------------

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call *wake* when a job of *queue* may have become claimable, within *interval*."""
        return self._hub.subscribe(queue, interval, wake)
