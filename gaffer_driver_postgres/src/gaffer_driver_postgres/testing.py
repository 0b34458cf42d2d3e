"""For the tests of programs: their jobs inside the transaction of a test.

A fixture called ``gaffer_stage`` that returns a `TransactionStage` has ``gaffer_jobs`` use it.
"""

from __future__ import annotations

from uuid import UUID

from gaffer.driver import Claim, Driver, Job, JobState, claim
from gaffer.testing.stage import Dying, Stage
from gaffer_driver_postgres.driver import PostgresDriver
from gaffer_driver_postgres.transaction import TransactionDriver

__all__ = ["TransactionStage"]

_IN_MEMORY = "gaffer_driver_memory"


class TransactionStage(Stage, TransactionDriver):
    """Keeps the jobs of a test in PostgreSQL, inside the transaction of the test.

    *connection* is the test's: of psycopg 3, Django or SQLAlchemy; the transaction is open there,
    READ COMMITTED, and whoever began it rolls it back. *clock* is the fixture ``gaffer_clock``.
    Raise `DriverError` for a connection that cannot be used.
    """

    def stands_in_for(self, driver: Driver | str) -> bool:
        """Return whether *driver* keeps jobs in memory or in PostgreSQL; neither is touched."""
        if isinstance(driver, str):
            return driver.partition(":")[0].partition("+")[0] in (
                "memory",
                "postgres",
                "postgresql",
            )
        named = type(driver).__module__.partition(".")[0]
        return isinstance(driver, PostgresDriver) or named == _IN_MEMORY

    def dying(self) -> Dying:
        """Return the handle of a process that dies, on the same tables."""
        return _DyingThere(self._lent, clock=self._manual, schema=self._options.schema)

    def take(self, id: UUID, wanted: Claim) -> list[Job]:
        """Claim the job of this *id*, if it is available."""
        job = self.job_get(id)
        if job is None or job.state is not JobState.AVAILABLE:
            return []
        taken = claim(job, now=wanted.now)
        TransactionDriver.job_write(self, [taken])
        self._call("claim a job", lambda c: c.execute(self._held, [wanted.node, id]))
        return [taken]

    @property
    def _held(self) -> str:
        return f"UPDATE {self._sql.schema}.jobs SET node = %s WHERE id = %s"

    def close(self) -> None:
        """Drop the tables, should the test commit what it does."""
        self.drop()
        self.stop()


class _DyingThere(Dying, TransactionStage):
    """What dies in the transaction."""
