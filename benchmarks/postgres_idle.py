"""What does a process cost the server that waits for jobs, with one queue and with fifty?"""

from __future__ import annotations

import threading
import time

from measure import EMBEDDED, arguments, fresh, report

from gaffer_driver_postgres import PostgresDriver

SECONDS = 10.0
SETTLE = 15.0
"""Until what the start has cost is told: an idle session reports its statistics after ten."""
NOT_OURS = 2
"""Transactions of the measurement itself."""


def count(driver: PostgresDriver) -> tuple[int, int]:
    """Return the transactions so far, and the connections of this process."""
    statement = """
        SELECT pg_stat_force_next_flush(), xact_commit, (
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'gaffer%%'
        ) FROM pg_stat_database WHERE datname = current_database()
    """
    [(_, commits, connections)] = driver._read("count", statement)
    return commits, connections


def case(url: str, queues: int) -> tuple[float, float, int]:
    """Return statements per second, CPU percent of this process, and its connections."""
    with fresh(url) as app:
        for number in range(queues):
            queue = app.ensure_queue(f"idle-{number}", worker=lambda job: None, max_workers=10)
        driver = queue.conf.driver
        assert isinstance(driver, PostgresDriver)
        threading.Event().wait(SETTLE)
        before, _ = count(driver)
        began, cpu = time.monotonic(), time.process_time()
        threading.Event().wait(SECONDS)
        after, connections = count(driver)
        elapsed = time.monotonic() - began
        percent = (time.process_time() - cpu) / elapsed * 100
        return (after - before - NOT_OURS) / elapsed, percent, connections


def main() -> None:
    """Measure both, in turns."""
    assert __doc__ is not None
    options = arguments(__doc__, EMBEDDED)
    found: dict[int, list[tuple[float, float, int]]] = {1: [], 50: []}
    for _ in range(options.runs):
        for queues, cases in found.items():
            cases.append(case(options.driver, queues))
    for queues, cases in found.items():
        report(f"{queues} idle queues", [rate for rate, _, _ in cases], "statements/s")
        report("  CPU of the process", [percent for _, percent, _ in cases], "%")
        report("  connections", [float(number) for _, _, number in cases], "")


if __name__ == "__main__":
    main()
