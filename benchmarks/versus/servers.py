"""The servers of a run: one PostgreSQL for all, and a Redis without persistence."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from gaffer_driver_postgres import EmbeddedServer
from versus.errors import HandFailed, Missing

__all__ = ["Postgres", "redis"]

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


class Postgres:
    """A server, and databases of our own on it, each for one case only."""

    def __init__(self, driver: str | None, folder: Path) -> None:
        self._closing = ExitStack()
        if driver is None:
            driver = self._closing.enter_context(EmbeddedServer(folder))
        self._place: dict[str, Any] = conninfo_to_dict(driver)
        self._admin = self._closing.enter_context(psycopg.connect(driver, autocommit=True))
        self._numbers = iter(range(1_000_000))
        if not self._value(SQL("SELECT pg_try_advisory_lock(hashtext('gaffer_versus'))")):
            raise SystemExit("another run is on this server: they would measure each other")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._closing.close()

    def describe(self) -> str:
        """Return the version, and the settings that decide about speed."""
        shown = [f"{name} {self._value(SQL('SHOW ') + SQL(name))}" for name in SETTINGS]
        return f"PostgreSQL {self._value(SQL('SHOW server_version'))}, {', '.join(shown)}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of an empty database, which is dropped at the end of the block."""
        name = f"gaffer_versus_{next(self._numbers)}"
        drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
        self._admin.execute(drop)
        self._admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            # All in the query: libpq and asyncpg both take sockets and passwords there.
            place = {**self._place, "dbname": name}
            yield "postgresql://?" + urlencode(place, quote_via=quote)
        finally:
            self._admin.execute(drop)

    def transactions(self, url: str) -> int:
        """Return how many transactions have ended in the database of *url*."""
        return self._counted(url, SQL("xact_commit + xact_rollback"))

    def deadlocks(self, url: str) -> int:
        """Return how many deadlocks there were in the database of *url*, once nobody is in it.

        A session tells of its deadlocks at its end, if not before.
        """
        name = conninfo_to_dict(url)["dbname"]
        sessions = SQL("SELECT count(*) FROM pg_stat_activity WHERE datname = %s")
        for _ in range(200):
            if not self._value(sessions, name):
                return self._counted(url, SQL("deadlocks"))
            time.sleep(0.05)
        raise HandFailed("a session does not end: its deadlocks are not known")

    def _counted(self, url: str, what: SQL) -> int:
        query = SQL("SELECT {} FROM pg_stat_database WHERE datname = %s").format(what)
        return int(self._value(query, conninfo_to_dict(url)["dbname"]))

    def _value(self, query: Any, *values: object) -> Any:
        row = self._admin.execute(query, values or None).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def redis() -> Iterator[str]:
    """Give the URL of a new Redis, which keeps its data in memory only; or raise `Missing`."""
    program = shutil.which("redis-server")
    if program is None:
        raise Missing("no redis-server on the path")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="gaffer-versus-") as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        server = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait(10)


def ask(url: str, *command: str) -> str:
    """Send *command* to the Redis of *url*; return its answer as it is."""
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall((" ".join(command) + "\r\nQUIT\r\n").encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Missing("redis-server does not start")
