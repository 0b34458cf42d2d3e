"""From what a driver is told to one that is started: connections, migrations, the clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, Self

import psycopg
from psycopg_pool import ConnectionPool

from gaffer.driver import Driver, DriverError, DriverHealth, Finding, SystemClock
from gaffer_driver_postgres.bounds import Bounds
from gaffer_driver_postgres.clock import ServerClock, monotonic
from gaffer_driver_postgres.connections import Connections, Line
from gaffer_driver_postgres.diagnosis import diagnosed
from gaffer_driver_postgres.embedded import EmbeddedServer
from gaffer_driver_postgres.hub import Hub
from gaffer_driver_postgres.migrations import Migrations, Migrator
from gaffer_driver_postgres.options import Options, check_conninfo, from_url, path_of
from gaffer_driver_postgres.sessions import Cursor
from gaffer_driver_postgres.statements import Statements, quoted
from gaffer_driver_postgres.writing import Remembered, Writer

__all__ = ["Opening"]


class Opening(Driver):
    """The life of a driver; `PostgresDriver` adds the verbs, and says what the options mean."""

    unique = True

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
        check_conninfo(conninfo)
        self._options = Options(
            schema=schema,
            migrate=migrate,
            notify=notify,
            pooler=pooler,
            max_connections=max_connections,
            timeout=timeout,
        )
        self._server: EmbeddedServer | None = None
        self._process = os.getpid()
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
        self._migrator = Migrator(self._connections.guard, options)
        self._writer = Writer(self._sql, self.now)
        self._remembered = Remembered()
        self._bounds = Bounds()
        self._storage: Hashable = None

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a driver from a URL.

        ``postgresql://user@host/database?schema=jobs`` is libpq's, with the options of the
        constructor in the query; ``postgres+embedded:///absolute/path`` is `embedded`.
        """
        scheme, _, _ = url.partition("://")
        if scheme.endswith("+embedded"):
            _, options = from_url("postgresql://?" + url.partition("?")[2])
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
        self._have_server()
        try:
            self._begin()
        except BaseException:
            self.stop()
            raise
        self._connections.open()

    def _have_server(self) -> None:
        """Have an embedded server run: before, there is nothing to connect to."""
        if self._server is not None and self._storage is None:
            self._connect(self._server.start(), None)

    def _begin(self) -> None:
        with self._connections.alone("start") as cursor:
            self._migrator.ensure(cursor, migrate=self._options.migrate)
            with self._connections.guard.within(self._options.timeout, cursor.connection):
                self._look_at_clock(cursor)
                self._storage = self._place(cursor)

    def _place(self, cursor: Cursor) -> Hashable:
        """Return what tells this schema from all others in the world, as far as that goes."""
        try:
            cursor.execute("SELECT system_identifier FROM pg_control_system()")
            [(system,)] = cursor.fetchall()
        except psycopg.errors.InsufficientPrivilege:  # then two names of one server are two
            info = cursor.connection.info
            system = (info.host, info.port)
        cursor.execute(
            "SELECT d.oid, n.oid FROM pg_database d, pg_namespace n"
            " WHERE d.datname = current_database() AND n.nspname = %s",
            [self._options.schema],
        )
        return ("postgres", system, *cursor.fetchall())

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
        self._process = os.getpid()  # first: of several threads that notice one does it
        self._connections.after_fork()
        self._migrator = Migrator(self._connections.guard, self._options)
        self._pulse.after_fork()
        self._hub.after_fork()
        self._clock.after_fork()
        self._remembered = Remembered()
        self._bounds = Bounds()
        if self._server is not None:
            self._server.after_fork()

    @property
    def storage(self) -> Hashable:
        """The server, the database and the schema; each driver for itself before `start`."""
        return id(self) if self._storage is None else self._storage

    def now(self) -> datetime:
        """Return the server's instant: by an offset, which every beat measures anew."""
        return self._clock.now()

    def resync(self) -> None:
        """Measure the offset to the server's clock anew, if started."""
        if self._storage is not None:
            self._call("look at the clock", self._look_at_clock, again=True)

    def _look_at_clock(self, cursor: Cursor) -> None:
        before = monotonic()
        [(instant,)] = cursor.execute(self._sql.clock).fetchall()
        self._clock.measured(instant, before, monotonic())

    def health(self, timeout: float) -> DriverHealth:
        """Return what the server and our connections say; raise `DriverUnavailable`."""
        if self._storage is None:
            raise DriverError("the driver is not started, or has stopped")
        values = {"jobs": f"{self._sql.schema}.jobs"}
        # Not on the pool's connections: to cut one off, because the answer takes too long, would
        # have all of them replaced.
        [(instant, oldest, rows, dead)] = self._pulse.call(
            "look at the server",
            lambda cursor: cursor.execute(self._sql.health, values).fetchall(),
            timeout=min(timeout, self._options.timeout),
        )
        ahead = instant.replace(tzinfo=UTC) - SystemClock().now()
        return DriverHealth(
            connections=self._connections.pooled + self._pulse.open + self._hub.open,
            listening=self._hub.listening,
            clock_offset=ahead.total_seconds(),
            oldest_transaction=oldest,
            rows=rows,
            dead_rows=dead,
        )

    @property
    def listening(self) -> bool | None:
        """Whether notifications reach us now; `None` before anybody waits for them."""
        return self._hub.listening

    def diagnose(self, timeout: float) -> list[Finding]:
        """Return what may be wrong with the server, as far as the role may see."""
        deadline = min(timeout, self._options.timeout)

        def read(what: str, statement: str, values: Any) -> list[tuple[Any, ...]]:
            return self._pulse.call(
                f"look at {what}",
                lambda cursor: cursor.execute(statement, values, prepare=False).fetchall(),
                timeout=deadline,
            )

        server = self._connections.server
        pooled = server is not None and server.pooled
        return diagnosed(read, f"{self._sql.schema}.jobs", pooled=pooled)

    def _call(self, what: str, work: Callable[[Cursor], Any], **options: Any) -> Any:
        if self._process != os.getpid():  # forked by a server that does not tell Python: uWSGI
            self.after_fork()
        return self._connections.call(what, work, **options)

    def _read(self, what: str, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that may be repeated.

        Planned each time: a plan that was made while the table was all but empty reads all of it.
        """

        def read(cursor: Cursor) -> list[tuple[Any, ...]]:
            return cursor.execute(statement, values, prepare=False).fetchall()

        return self._call(what, read, again=True)  # type: ignore[no-any-return]

    # -- migrations ----------------------------------------------------------------------------

    def migrations(self) -> Migrations:
        """Return the versions that this release knows and those that the schema has."""
        self._have_server()
        with self._connections.alone("look at the migrations") as cursor:
            return self._migrator.status(cursor)

    def migrate(self) -> None:
        """Apply what is pending; raise `MigrationMismatch`."""
        self._have_server()
        with self._connections.alone("migrate") as cursor:
            self._migrator.ensure(cursor, migrate=True)

    def rollback(self, target: int) -> None:
        """Take back all migrations after *target*, the newest first, in one transaction.

        0 drops all tables of the schema, and the jobs with them. Raise `MigrationMismatch` for a
        version that this release does not know, `DriverError` for a target that it does not.
        """
        self._have_server()
        with self._connections.alone("roll back") as cursor:
            self._migrator.rollback(cursor, target)

    def migration_sql(self) -> str:
        """Return SQL for psql that makes the schema, for those who apply it themselves."""
        return self._migrator.script()
