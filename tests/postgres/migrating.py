"""Processes that migrate schemas when they are told to."""

from __future__ import annotations

import subprocess
import sys

from tests.rig.waiting import PATIENCE

PROGRAM = """
import sys
from gaffer_driver_postgres import PostgresDriver, migrations

def with_gate(known, gate):
    ups = ["CREATE TABLE {schema}.extra ()", f"SELECT pg_advisory_xact_lock({gate})"]
    first = max(known) + 1
    more = [migrations.Migration(number, "", up, "") for number, up in enumerate(ups, first)]
    return lambda: {**known, **{one.version: one for one in more}}

def migrate(schema, gate):
    known = migrations.known
    if gate:
        migrations.known = with_gate(known(), gate)
    driver = PostgresDriver(sys.argv[1], schema=schema)
    migrations.known = known
    driver.start()
    try:
        found = driver.migrations()
        return found.applied == found.all
    finally:
        driver.stop()

print("ready", flush=True)
for line in sys.stdin:
    schema, _, gate = line.strip().partition(" ")
    try:
        print(migrate(schema, gate), flush=True)
    except BaseException as error:
        print(repr(error), flush=True)
"""


class Migrating:
    """A process that migrates each schema that it is told, and answers ``"True"``."""

    def __init__(self, conninfo: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, conninfo],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, schema: str, gate: int | None = None) -> None:
        """Have it migrate *schema*; its last statement waits for the advisory lock *gate*."""
        assert self.process.stdin is not None
        self.process.stdin.write(schema if gate is None else f"{schema} {gate}")
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """Return its next answer; the first is ``"ready"``."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE)
