"""What does a claim on PostgreSQL cost when very much waits, and what do limits and chains add?

All queues stand in one table, and are claimed from in turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from measure import EMBEDDED, arguments, fresh, report, seconds

from gaffer import machine
from gaffer.driver import Claim, Driver, Job
from gaffer.job import Complete
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.sessions import Cursor

FILL = """
INSERT INTO {s}.jobs (
    id, queue_id, state, chain, created_at, scheduled_at, timeout, shutdown_timeout,
    max_attempts, backoff, payload
)
SELECT gen_random_uuid(), (SELECT id FROM {s}.queues WHERE name = %s), %s, %s,
    now() + n * interval '1 us', CASE WHEN %s = 'scheduled' THEN now() + interval '9 days' END,
    30, 5, 3, '[1.0]', '{"n": 1}'
FROM generate_series(1, %s) n
"""
PER_ROUND = 30


def fill(driver: PostgresDriver, queue: str, number: int, state: str, chain: str | None) -> None:
    """Put jobs into storage, faster than by inserting them."""
    driver.queue_insert(queue)
    statement = FILL.replace("{s}", driver._sql.schema)
    values = [queue, state, chain, state, number]

    def work(cursor: Cursor) -> None:
        with cursor.connection.transaction():
            cursor.execute("SELECT set_config('statement_timeout', '0', true)")
            cursor.execute(statement, values)

    driver._connections.call("fill", work, timeout=300)


def claim(driver: Driver, queue: str, limit: int, most: int | None) -> list[Job]:
    """Claim jobs, as a runner does."""
    now = driver.now()
    return driver.job_claim(
        Claim(queue=queue, limit=limit, global_max_workers=most, node="bench", now=now)
    )


def timed(driver: PostgresDriver, queue: str, limit: int, most: int | None = None) -> float:
    """Return the median milliseconds of some claims; what they claimed is settled."""
    times = []
    for _ in range(PER_ROUND):
        claimed: list[Job] = []
        times.append(seconds(lambda: claimed.extend(claim(driver, queue, limit, most))) * 1000)  # noqa: B023
        assert len(claimed) == limit
        driver.job_write([machine.settle(job, Complete(), now=driver.now()) for job in claimed])
    return statistics.median(times)


def main() -> None:
    """Measure all cases in turns."""
    assert __doc__ is not None
    options = arguments(__doc__, EMBEDDED, waiting=1_000_000, scheduled=300_000, chain=100_000)
    with fresh(options.driver) as app:
        driver = app.ensure_queue("small").conf.driver
        assert isinstance(driver, PostgresDriver)
        fill(driver, "large", options.waiting, "available", None)
        fill(driver, "later", options.scheduled, "scheduled", None)
        fill(driver, "chain", 1, "available", "c")  # the first in line
        fill(driver, "chain", options.chain - 1, "chained", "c")
        measure(driver, options.runs)


def measure(driver: PostgresDriver, number: int) -> None:
    """Take the cases in turns, and report."""
    cases: dict[str, Callable[[], float]] = {
        "small": lambda: timed(driver, "small", 10),
        "large": lambda: timed(driver, "large", 10),
        "later": lambda: timed(driver, "later", 10),
        "limit": lambda: timed(driver, "small", 10, 1000),
        "chain": lambda: timed(driver, "chain", 1),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(number):
        fill(driver, "small", 2 * 10 * PER_ROUND + 1000, "available", None)
        fill(driver, "later", 10 * PER_ROUND, "available", None)
        for name, case in cases.items():
            times[name].append(case())
    base = report("claim of 10, 1,000 waiting", times["small"], "ms")
    report("claim of 10, 1,000,000 waiting", times["large"], "ms", most=2 * base)
    report("claim of 10, 300,000 scheduled", times["later"], "ms", most=base + 1)
    report("claim of 10, a finite global limit", times["limit"], "ms", most=1.1 * base)
    report("claim of 1, a chain of 100,000", times["chain"], "ms", most=5)


if __name__ == "__main__":
    main()
