"""A process that works one queue until its input ends; `hammer.py` starts it, many times.

Its argument is a JSON object: where, and the options of the queue.
"""

from __future__ import annotations

import json
import sys
import threading
from random import random
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

import gaffer
from gaffer_driver_postgres import PostgresDriver

LONGEST = 0.003
"""Seconds that a job takes at most."""


class Own(threading.local):
    """What each thread has for itself."""

    connection: psycopg.Connection | None = None


class Work:
    """Takes a moment; jobs of chains write down when they began and ended."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._table = Identifier(schema, "runs")
        self._own = Own()

    def __call__(self, job: gaffer.Job) -> None:
        """Work a job."""
        if job.chain is None:
            threading.Event().wait(random() * LONGEST)
            return
        if self._own.connection is None:
            self._own.connection = psycopg.connect(self._dsn, autocommit=True)
        begin = SQL("INSERT INTO {} (chain) VALUES (%s) RETURNING place").format(self._table)
        row = self._own.connection.execute(begin, [job.chain]).fetchone()
        threading.Event().wait(random() * LONGEST)
        end = SQL("UPDATE {} SET ended = clock_timestamp() WHERE place = %s").format(self._table)
        self._own.connection.execute(end, row)


def main() -> None:
    """Work until the input ends."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    dsn, schema = settings["dsn"], settings["schema"]
    driver = PostgresDriver(dsn, schema=schema)
    with gaffer.Gaffer(driver) as app:
        app.ensure_queue("hammered", worker=Work(dsn, schema), **settings["options"])
        sys.stdin.read()
    driver.stop()


if __name__ == "__main__":
    main()
