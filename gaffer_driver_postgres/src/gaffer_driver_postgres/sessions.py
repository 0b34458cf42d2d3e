"""How our connections are opened, and what they are told first."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import tuple_row

from gaffer.driver import DriverError
from gaffer_driver_postgres.options import Options

__all__ = [
    "Cursor",
    "Server",
    "connect_options",
    "cursor_of",
    "look_at",
    "read_committed",
    "set_up",
]

_log = logging.getLogger("gaffer.postgres.sessions")

_LOOK = """
SELECT pg_backend_pid(), current_setting('server_version_num')::int,
    current_setting('server_encoding'), current_setting('default_transaction_isolation')
"""
Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]


def cursor_of(connection: psycopg.Connection[Any], *, binary: bool = True) -> Cursor:
    """Return a plain cursor, whatever kind of rows and cursors *connection* is set to."""
    cursor = psycopg.Cursor(connection, row_factory=tuple_row)
    cursor.format = psycopg.pq.Format.BINARY if binary else psycopg.pq.Format.TEXT
    return cursor


# Those that this server knows; a pooler would hand them to strangers.
_SETTINGS = """
SELECT set_config(name, wanted.setting, false)
FROM pg_settings JOIN (VALUES
    ('default_transaction_isolation', 'read committed'),
    ('statement_timeout', %(timeout)s),
    ('lock_timeout', '0'),
    ('idle_in_transaction_session_timeout', %(timeout)s),
    ('idle_session_timeout', '0'),
    ('transaction_timeout', '0'),
    ('TimeZone', 'UTC'),
    ('array_nulls', 'on')
) AS wanted (name, setting) USING (name)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What is at the other end of a connection."""

    version: int
    """As PostgreSQL's ``server_version_num``: 150018 for 15.18."""
    pooled: bool
    """Whether a pooler stands between, which may hand each transaction to another session."""
    read_committed: bool
    """Whether transactions are READ COMMITTED unless told otherwise."""


def connect_options(conninfo: str, options: Options) -> dict[str, Any]:
    """Return what our connections are opened with, unless *conninfo* or the environment says it."""
    given = {*conninfo_to_dict(conninfo), *_of_environment()}
    wanted: Mapping[str, Any] = {
        "application_name": f"gaffer {socket.gethostname()}-{os.getpid()}"[:63],
        "connect_timeout": max(2, min(5, int(options.timeout))),  # less is not to be had
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15000,
        "target_session_attrs": "read-write",
    }
    chosen = {name: value for name, value in wanted.items() if name not in given}
    return {**chosen, "client_encoding": "utf8"}


def _of_environment() -> set[str]:
    """Return the options that libpq finds in its ``PG*`` variables."""
    return {
        option.keyword.decode()
        for option in psycopg.pq.Conninfo.get_defaults()
        if option.envvar and option.envvar.decode() in os.environ
    }


def read_committed(cursor: Cursor) -> None:
    """Have the transaction that has just begun see what others commit, whatever the default."""
    cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", prepare=False)


def look_at(connection: psycopg.Connection, options: Options) -> Server:
    """Return what *connection* leads to; raise `DriverError` if it cannot be used."""
    row = cursor_of(connection).execute(_LOOK).fetchone()
    assert row is not None
    process, version, encoding, isolation = row
    if version < 130000:
        raise DriverError(f"the server is PostgreSQL {version // 10000}; gaffer needs 13 or later")
    if encoding != "UTF8":
        raise DriverError(f"the database is encoded in {encoding}; gaffer needs UTF8")
    pooled = options.pooler
    if pooled is None:
        # A pooler makes process numbers of its own.
        pooled = process != connection.info.backend_pid
    return Server(version, pooled, isolation == "read committed")


def set_up(connection: psycopg.Connection, options: Options) -> Server:
    """Make a connection of our own ready; return what it leads to."""
    server = look_at(connection, options)
    if server.pooled:
        connection.prepare_threshold = None
        return server
    connection.prepare_threshold = 0
    milliseconds = str(max(1, int(options.timeout * 1000)))
    cursor_of(connection).execute(_SETTINGS, {"timeout": milliseconds})
    return Server(server.version, pooled=False, read_committed=True)
