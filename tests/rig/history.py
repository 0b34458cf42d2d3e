"""What jobs did, as they wrote it themselves: a table in a database that no fault strikes.

Each attempt writes when it begins and when it has done its work, by its job's id and the revision
that it was claimed at. The connection is the jobs' own and commits by itself, so that a line stays
whatever becomes of the process and of the server that holds the jobs.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import psycopg

import gaffer

__all__ = ["Effect", "History", "Phase", "Scribe"]

Phase = Literal["start", "end"]

_TABLE = """
CREATE TABLE effects (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job uuid NOT NULL,
    revision integer NOT NULL,
    attempt integer NOT NULL,
    process integer NOT NULL,
    phase text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_WRITE = "INSERT INTO effects (job, revision, attempt, process, phase) VALUES (%s, %s, %s, %s, %s)"
_READ = "SELECT job, revision, attempt, process, phase, at FROM effects ORDER BY place"


@dataclass(frozen=True, slots=True)
class Effect:
    """One line: the attempt of *job* that was claimed at *revision* was there."""

    job: UUID
    revision: int
    attempt: int
    process: int
    phase: Phase
    at: datetime


class History:
    """The table, as the test makes and reads it."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(_TABLE)

    def effects(self) -> list[Effect]:
        """Return all lines, oldest first."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            return [Effect(*row) for row in connection.execute(_READ).fetchall()]


def _undisturbed() -> AbstractContextManager[None]:
    try:
        return gaffer.current().uninterruptible()
    except gaffer.GafferError:  # claimed by hand: it has no timeout
        return nullcontext()


class Scribe(threading.local):
    """Writes for the jobs of one process; each thread has a connection."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: psycopg.Connection | None = None

    def write(self, job: gaffer.Job, phase: Phase) -> None:
        """Write a line for the attempt that runs *job*."""
        with _undisturbed():  # a timeout would tear the connection apart
            if self._connection is None:
                self._connection = psycopg.connect(self._conninfo, autocommit=True)
            values = (job.id, job.revision, job.attempt + 1, os.getpid(), phase)
            self._connection.execute(_WRITE, values)
