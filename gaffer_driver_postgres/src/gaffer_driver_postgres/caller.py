"""The connection of a caller's own transaction, whatever library it stands behind."""

from __future__ import annotations

from typing import Any

import psycopg

from gaffer.driver import DriverError

__all__ = ["unwrapped"]

_WANTED = (
    "give a psycopg 3 connection, django.db.connection, or a SQLAlchemy Connection or Session on "
    "postgresql+psycopg"
)


def unwrapped(connection: Any) -> psycopg.Connection[Any]:
    """Return the psycopg connection in *connection*, or raise `DriverError`.

    That may be a psycopg connection itself, a Django connection (``django.db.connection``), or a
    SQLAlchemy ``Connection`` or ``Session`` with the dialect ``postgresql+psycopg``.
    """
    if isinstance(connection, psycopg.AsyncConnection) or ".asyncio" in type(connection).__module__:
        raise DriverError(f"connection={_kind(connection)}: {_WANTED}; this one is asynchronous")
    found = connection
    try:
        for step in (_of_django, _of_proxy, _of_session, _of_sqlalchemy, _of_proxy):
            if isinstance(found, psycopg.Connection):
                break
            found = step(found)
    except Exception as error:  # of the library in between: closed, unbound, not begun
        raise DriverError(f"connection={_kind(connection)}: {error}") from error
    if not isinstance(found, psycopg.Connection):
        hint = "; this one is of psycopg2" if type(found).__module__.startswith("psycopg2") else ""
        raise DriverError(f"connection={_kind(connection)}: {_WANTED}{hint}")
    if found.closed:
        raise DriverError("the connection is closed")
    return found


def _of_django(value: Any) -> Any:
    if callable(getattr(value, "ensure_connection", None)):
        value.ensure_connection()
        return value.connection
    return value


def _of_session(value: Any) -> Any:
    # A Session (or a scoped one) has a method, a Connection an attribute of that name.
    method = getattr(value, "connection", None)
    if callable(method) and callable(getattr(value, "get_bind", None)):
        return method()
    return value


def _of_sqlalchemy(value: Any) -> Any:
    return getattr(value, "connection", value)


def _of_proxy(value: Any) -> Any:
    return getattr(value, "driver_connection", value)


def _kind(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
