"""What the libraries on PostgreSQL share: the look whether all jobs are recorded as finished."""

from __future__ import annotations

from typing import LiteralString

import psycopg

__all__ = ["Look"]


class Look:
    """One connection, kept, and a statement that answers whether a job is unfinished."""

    def __init__(self, url: str, condition: LiteralString) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._statement: LiteralString = f"SELECT EXISTS (SELECT FROM {condition})"

    def __call__(self) -> bool:
        """Look once."""
        row = self._connection.execute(self._statement).fetchone()
        assert row is not None
        return bool(row[0])
