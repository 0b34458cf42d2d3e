"""Databases of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

__all__ = ["database"]


@contextmanager
def database(server: str) -> Iterator[str]:
    """Give the URL of a new database on *server*, which is gone after the block."""
    name = f"gaffer_test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            given = conninfo_to_dict(make_conninfo(server, dbname=name))
            yield "postgresql://?" + urlencode(given, quote_via=quote)
        finally:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
