"""The ways in which a caller may have a transaction: by psycopg, by Django, by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row, scalar_row
from psycopg_pool import ConnectionPool
from sqlalchemy.orm import Session, scoped_session, sessionmaker

Execute: TypeAlias = Callable[[str], Any]
Way: TypeAlias = Callable[[str], AbstractContextManager["Transaction"]]


@dataclass(frozen=True)
class Transaction:
    """A transaction of the caller: what `insert` takes, and how to do something else in it."""

    connection: Any
    execute: Execute


def django_db(conninfo: str) -> Any:
    """Return the module ``django.db``, whose default connection leads to *conninfo*."""
    settings = import_module("django.conf").settings
    if not settings.configured:
        given = conninfo_to_dict(conninfo)
        names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST"}
        database = {names[name]: given.pop(name) for name in names if name in given}
        engine = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": given}
        settings.configure(DATABASES={"default": {**engine, **database}}, USE_TZ=True)
        import_module("django").setup()
    import_module("django.db.transaction")
    return import_module("django.db")


@contextmanager
def engine_on(conninfo: str) -> Iterator[sqlalchemy.Engine]:
    """Give an engine of SQLAlchemy."""
    made = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo)
    )
    try:
        yield made
    finally:
        made.dispose()


# -- psycopg ---------------------------------------------------------------------------------------


def _implicit(**settings: Any) -> Way:
    @contextmanager
    def begin(conninfo: str) -> Iterator[Transaction]:
        with psycopg.connect(conninfo, **settings) as connection:
            yield Transaction(connection, lambda text: connection.execute(text.encode()))

    return begin


@contextmanager
def _begun(conninfo: str) -> Iterator[Transaction]:
    with psycopg.connect(conninfo) as connection:
        connection.execute("SELECT 1")
        yield Transaction(connection, lambda text: connection.execute(text.encode()))


def _block(*, autocommit: bool, depth: int = 1) -> Way:
    @contextmanager
    def begin(conninfo: str) -> Iterator[Transaction]:
        with psycopg.connect(conninfo, autocommit=autocommit) as connection, ExitStack() as stack:
            for _ in range(depth):
                stack.enter_context(connection.transaction())
            yield Transaction(connection, lambda text: connection.execute(text.encode()))

    return begin


@contextmanager
def _pipeline(conninfo: str) -> Iterator[Transaction]:
    with psycopg.connect(conninfo) as connection, connection.pipeline():
        yield Transaction(connection, lambda text: connection.execute(text.encode()))


@contextmanager
def _lent(conninfo: str) -> Iterator[Transaction]:
    pool = ConnectionPool(conninfo, min_size=1, max_size=1, open=True)
    with pool, pool.connection() as connection:
        yield Transaction(connection, lambda text: connection.execute(text.encode()))


@contextmanager
def _named_cursor(conninfo: str) -> Iterator[Transaction]:
    with psycopg.connect(conninfo) as connection, connection.cursor("named") as cursor:
        cursor.execute("SELECT generate_series(1, 1000)")
        cursor.fetchone()
        yield Transaction(connection, lambda text: connection.execute(text.encode()))
        assert cursor.fetchone() == (2,)


# -- others ----------------------------------------------------------------------------------------


def _django(depth: int) -> Way:
    @contextmanager
    def begin(conninfo: str) -> Iterator[Transaction]:
        db = django_db(conninfo)
        try:
            with ExitStack() as stack:
                for _ in range(depth):
                    stack.enter_context(db.transaction.atomic())
                yield Transaction(db.connection, lambda text: db.connection.cursor().execute(text))
        finally:
            db.connection.close()

    return begin


@contextmanager
def _alchemy_connection(conninfo: str) -> Iterator[Transaction]:
    with engine_on(conninfo) as engine, engine.begin() as connection:
        yield Transaction(connection, lambda text: connection.execute(sqlalchemy.text(text)))


def _alchemy_session(*, nested: bool = False) -> Way:
    @contextmanager
    def begin(conninfo: str) -> Iterator[Transaction]:
        with engine_on(conninfo) as engine, Session(engine) as session, ExitStack() as stack:
            for block in [session.begin, session.begin_nested][: 1 + nested]:
                stack.enter_context(block())
            yield Transaction(session, lambda text: session.execute(sqlalchemy.text(text)))

    return begin


@contextmanager
def _alchemy_scoped(conninfo: str) -> Iterator[Transaction]:
    with engine_on(conninfo) as engine:
        session = scoped_session(sessionmaker(engine))
        try:
            with session.begin():
                yield Transaction(session, lambda text: session.execute(sqlalchemy.text(text)))
        finally:
            session.remove()


WAYS: dict[str, Way] = {
    "psycopg, implicit": _implicit(),
    "psycopg, begun": _begun,
    "psycopg, block": _block(autocommit=False),
    "psycopg, block in autocommit": _block(autocommit=True),
    "psycopg, nested blocks": _block(autocommit=True, depth=2),
    "psycopg, rows as dicts": _implicit(row_factory=dict_row),
    "psycopg, scalar rows": _implicit(row_factory=scalar_row),
    "psycopg, client cursors": _implicit(cursor_factory=psycopg.ClientCursor),
    "psycopg, raw cursors": _implicit(cursor_factory=psycopg.RawCursor),
    "psycopg, never prepared": _implicit(prepare_threshold=None),
    "psycopg, always prepared": _implicit(prepare_threshold=0),
    "psycopg, pipeline": _pipeline,
    "psycopg, lent by a pool": _lent,
    "psycopg, beside a named cursor": _named_cursor,
    "django": _django(1),
    "django, nested": _django(2),
    "sqlalchemy, connection": _alchemy_connection,
    "sqlalchemy, session": _alchemy_session(),
    "sqlalchemy, nested": _alchemy_session(nested=True),
    "sqlalchemy, scoped session": _alchemy_scoped,
}
