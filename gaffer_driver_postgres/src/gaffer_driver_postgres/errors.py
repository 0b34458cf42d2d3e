"""What went wrong in PostgreSQL, in gaffer's words, and whether it is worth another try."""

from __future__ import annotations

import psycopg
import psycopg_pool

from gaffer.driver import DriverError, DriverUnavailable

__all__ = ["HAS_JOBS", "REFUSED", "is_stale", "is_transient", "translated"]

REFUSED = frozenset({"GFC01", "23505"})
"""SQLSTATEs of a write that storage refuses because of what it holds."""
HAS_JOBS = "GFJ01"

_TRANSIENT = ("40001", "40P01", "57014", "55P03", "25P03", "57P05")
"""Rolled back by the server, and known to be: serialization, deadlock, and timeouts of its own."""
_STALE = ("0A000", "26000", "42P05", "25006")
"""The connection does not fit the server any more: plans of before a migration, a pooler that
hands out other sessions, a primary that has become a replica."""
_UNAVAILABLE_CLASSES = ("08", "53", "57", "25", "40", "55", "58", "XX")


def is_transient(error: psycopg.Error) -> bool:
    """Return whether the statement was rolled back for a reason that passes by itself."""
    return error.sqlstate in _TRANSIENT


def is_stale(error: psycopg.Error) -> bool:
    """Return whether another connection may do what this one could not."""
    return error.sqlstate in _STALE


def translated(error: Exception, what: str) -> DriverError:
    """Return *error* as gaffer's: `DriverUnavailable` if the same may succeed later."""
    if isinstance(error, psycopg_pool.PoolClosed):
        return DriverError(f"{what}: the pool is not open")
    state = getattr(error, "sqlstate", None)
    message = f"{what}: {_first_line(error)}"
    if state == "53100":
        return DriverUnavailable(f"{what}: the server's disk is full: {_first_line(error)}")
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | OSError)
        return DriverUnavailable(message) if lost else DriverError(message)
    if state[:2] in _UNAVAILABLE_CLASSES or state in _STALE:
        return DriverUnavailable(f"{message} ({state})")
    if state in ("3F000", "42P01", "42883"):
        message += "; is this the right database and schema, and is it migrated?"
    return DriverError(f"{message} ({state})")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or type(error).__name__
