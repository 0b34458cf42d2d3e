"""How much slower is a claim when very many jobs wait: due ones, and ones scheduled for later?"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime

from measure import arguments, fresh, report, seconds

import gaffer
from gaffer.driver import Claim, Driver

FAR = datetime(2100, 1, 1, tzinfo=UTC)


def claims(driver: Driver, number: int) -> list[float]:
    """Return how many microseconds each of *number* claims of ten jobs took."""

    def one() -> None:
        claim = Claim(
            queue="bench", limit=10, global_max_workers=None, node="bench", now=driver.now()
        )
        assert len(driver.job_claim(claim)) == 10

    return [seconds(one) * 1e6 for _ in range(number)]


def case(driver: str, waiting: int, scheduled: int, number: int) -> float:
    """Return the median microseconds of a claim with so many jobs waiting."""
    with fresh(driver) as app:
        queue = app.ensure_queue("bench")
        queue.insert_many({"n": n} for n in range(waiting))
        queue.insert_many(gaffer.NewJob(n, scheduled_at=FAR) for n in range(scheduled))
        return statistics.median(claims(queue.conf.driver, number))


def main() -> None:
    """Compare a small backlog with large ones, in turn, so that a slow spell hits all."""
    assert __doc__ is not None
    options = arguments(__doc__, waiting=1_000_000, claims=200)
    small: list[float] = []
    due: list[float] = []
    later: list[float] = []
    least = 10 * options.claims
    for _ in range(options.runs):
        small.append(case(options.driver, least, 0, options.claims))
        due.append(case(options.driver, options.waiting, 0, options.claims))
        later.append(case(options.driver, least, options.waiting, options.claims))
    base = report(f"claim of 10, {least:,} waiting", small, "us")
    report(f"claim of 10, {options.waiting:,} waiting", due, "us", most=2 * base)
    report(f"claim of 10, {options.waiting:,} scheduled for later", later, "us", most=2 * base)


if __name__ == "__main__":
    main()
