"""What does it cost a test to have its jobs in memory, and inside a transaction of PostgreSQL?"""

from __future__ import annotations

from collections.abc import Callable

from measure import EMBEDDED, arguments, report, runs, seconds

import gaffer
from gaffer.testing import ManualClock
from gaffer.testing.in_memory import MemoryStage
from gaffer.testing.jobs import Jobs
from gaffer.testing.stage import Stage
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.testing import TransactionStage


def one_test(app: gaffer.Gaffer, make: Callable[[ManualClock], Stage]) -> None:
    """Insert a job and run it, as a test does."""
    clock = ManualClock()
    with Jobs(clock, make(clock)) as jobs:
        jobs.take(app)
        app.insert("bench", 1)
        assert len(jobs.drain()) == 1


def main() -> None:
    """Measure a whole test on each stage."""
    assert __doc__ is not None
    options = arguments(__doc__, driver=EMBEDDED)
    driver = PostgresDriver.from_url(options.driver)
    driver.start()
    with gaffer.Gaffer("memory", work=False) as app, driver._connections.connect() as connection:
        connection.autocommit = False
        app.ensure_queue("bench", worker=lambda job: None)

        def in_memory() -> float:
            return 1000 * seconds(lambda: one_test(app, MemoryStage.on))

        def in_transaction() -> float:
            try:
                return 1000 * seconds(
                    lambda: one_test(app, lambda clock: TransactionStage(connection, clock=clock))
                )
            finally:
                connection.rollback()

        report("in memory", runs(options.runs, in_memory), "ms")
        report("inside a transaction", runs(options.runs, in_transaction), "ms")
    driver.stop()


if __name__ == "__main__":
    main()
