"""Roles that log in to the server of the tests, with settings of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier


@contextmanager
def login(
    admin: psycopg.Connection,
    server: str,
    settings: Mapping[str, str] | None = None,
    *,
    creates: bool = True,
) -> Iterator[str]:
    """Give a conninfo of *server* with a new role, which goes at the end with all that it has.

    Whether it *creates* schemas is its only right; *settings* are the defaults of its sessions.
    """
    name, password = f"gaffer_test_{uuid4().hex[:12]}", uuid4().hex
    role, database = Identifier(name), Identifier(admin.info.dbname)
    admin.execute(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
    try:
        if creates:
            admin.execute(SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        for setting, value in (settings or {}).items():
            change = SQL("ALTER ROLE {} SET {} = {}")
            admin.execute(change.format(role, Identifier(setting), value))
        yield make_conninfo(server, user=name, password=password)
    finally:
        admin.execute(SQL("DROP OWNED BY {} CASCADE").format(role))
        admin.execute(SQL("DROP ROLE {}").format(role))
