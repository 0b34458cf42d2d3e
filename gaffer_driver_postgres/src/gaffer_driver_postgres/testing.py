"""For the tests of programs: their jobs inside the transaction of a test.

A fixture called ``gaffer_stage`` that returns a `TransactionStage` has ``gaffer_jobs`` use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from gaffer.driver import Driver, Job
from gaffer.testing.stage import Dying, Stage
from gaffer_driver_postgres.driver import PostgresDriver
from gaffer_driver_postgres.transaction import TransactionDriver

__all__ = ["TransactionStage"]

_IN_MEMORY = "gaffer_driver_memory"
_NAMES = frozenset({"memory", "postgres", "postgresql"})


class TransactionStage(Stage, TransactionDriver):
    """Keeps the jobs of a test in PostgreSQL, inside the transaction of the test.

    *connection* is the test's: of psycopg 3, Django or SQLAlchemy; the transaction is open there,
    READ COMMITTED, and whoever began it rolls it back. *clock* is the fixture ``gaffer_clock``.
    Raise `DriverError` for a connection that cannot be used.
    """

    def start(self) -> None:
        """Make the tables, and one of what was inserted: it forgets what is rolled back."""
        super().start()
        make = f"CREATE TABLE IF NOT EXISTS {self._sql.schema}.noted (id uuid)"
        self._call("make a table", lambda c: c.execute(make))

    @property
    def inserted(self) -> list[Job]:
        """The jobs that were inserted, in order, but for those that the program rolled back."""
        if self._storage is None:
            return []
        rows = self._read("look for what was inserted", f"SELECT id FROM {self._sql.schema}.noted")
        there = {id for (id,) in rows}
        return [job for job in super().inserted if job.id in there]

    def note(self, jobs: Sequence[Job]) -> None:
        """Note that *jobs* were inserted, in the transaction that they are part of."""
        super().note(jobs)
        note = f"INSERT INTO {self._sql.schema}.noted SELECT unnest(%s::uuid[])"
        ids = [job.id for job in jobs]
        if ids:
            self._call("note a job", lambda c: c.execute(note, [ids]))

    def stands_in_for(self, driver: Driver | str) -> bool:
        """Return whether *driver* keeps jobs in memory or in PostgreSQL; neither is touched."""
        if isinstance(driver, str):
            return driver.partition(":")[0].partition("+")[0] in _NAMES
        named = type(driver).__module__.partition(".")[0]
        return isinstance(driver, PostgresDriver) or named == _IN_MEMORY

    def dying(self) -> Dying:
        """Return the handle of a process that dies, on the same tables."""
        return _DyingThere(self._lent, clock=self._manual, schema=self._options.schema)

    def hold(self, id: UUID, node: str) -> None:
        """Have *node* hold the executing job of this *id*."""
        held = f"UPDATE {self._sql.schema}.jobs SET node = %s WHERE id = %s"
        self._call("hold a job", lambda c: c.execute(held, [node, id]))

    def close(self) -> None:
        """Drop the tables, should the test commit what it does."""
        self.drop()
        self.stop()


class _DyingThere(Dying, TransactionStage):
    """What dies in the transaction."""
