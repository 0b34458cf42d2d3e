"""Runs gaffer's conformance suite on PostgreSQL: on an embedded server, or one that is named.

The environment's ``GAFFER_POSTGRES_DSN`` names a server and a database, in which the suite makes a
schema of its own, and drops it at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from uuid import uuid4
from weakref import WeakSet

import psycopg

from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from gaffer_driver_postgres.driver import PostgresDriver
from gaffer_driver_postgres.embedded import EmbeddedServer

__all__ = ["VARIABLE", "PostgresHarness"]

VARIABLE = "GAFFER_POSTGRES_DSN"

# The clock of all processes, which a test can move.
_CLOCK = """
CREATE TABLE {schema}.test_clock (ahead interval NOT NULL);
INSERT INTO {schema}.test_clock VALUES ('0');
CREATE OR REPLACE FUNCTION {schema}.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT clock_timestamp() + c.ahead FROM {schema}.test_clock c';
"""


class PostgresHarness(DriverHarness):
    """A schema of its own, in which the clock can be moved."""

    durable = True

    def __init__(self) -> None:
        self.schema = f"gaffer_test_{uuid4().hex[:12]}"
        self.conninfo = ""
        self._place: str | None = None
        self._server: EmbeddedServer | None = None
        self._admin: psycopg.Connection | None = None
        self._open: WeakSet[PostgresDriver] = WeakSet()

    def setup(self) -> None:
        """Start a server unless one is named, and make the schema."""
        self.conninfo = os.environ.get(VARIABLE, "")
        if not self.conninfo:
            self._place = tempfile.mkdtemp(prefix="gaffer-pg-")
            self._server = EmbeddedServer(os.path.join(self._place, "data"))
            self.conninfo = self._server.start()
        driver = self.make()
        driver.start()
        driver.stop()
        self._admin = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None)
        # What a failed test has left locked fails its end, and does not hang all that follow.
        self._execute("SET lock_timeout = '30s'")
        self._execute(_CLOCK)

    def make(self) -> PostgresDriver:
        """Return a new handle, not started."""
        return PostgresDriver(self.conninfo, schema=self.schema)

    def open(self) -> Driver:
        """Return a new handle, started."""
        driver = self.make()
        driver.start()
        self._open.add(driver)
        return driver

    def reset(self) -> None:
        """Forget all jobs, queues and nodes."""
        # Quicker than TRUNCATE, which makes new files.
        self._execute(
            "DELETE FROM {schema}.jobs; DELETE FROM {schema}.queues; DELETE FROM {schema}.nodes;"
            "DELETE FROM {schema}.keys"
        )

    def advance(self, seconds: float) -> None:
        """Move the clock, and have the handles look at it again."""
        self._execute(
            f"UPDATE {{schema}}.test_clock SET ahead = ahead + interval '{seconds!r} seconds'"
        )
        for driver in self._open:
            driver.resync()

    def teardown(self) -> None:
        """Drop the schema, and stop the server if it is ours."""
        if self._admin is not None:
            self._execute("DROP SCHEMA IF EXISTS {schema} CASCADE")
            self._admin.close()
        if self._server is not None:
            self._server.stop()
        if self._place is not None:
            shutil.rmtree(self._place, ignore_errors=True)

    def _execute(self, script: str) -> None:
        assert self._admin is not None
        self._admin.execute(script.replace("{schema}", f'"{self.schema}"').encode())
