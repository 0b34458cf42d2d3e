"""How many jobs can be inserted per second, one by one and many at once?"""

from __future__ import annotations

from measure import arguments, bound, fresh, rate, report, runs


def main() -> None:
    """Measure both ways on a queue that nobody works."""
    assert __doc__ is not None
    options = arguments(__doc__, jobs=50_000)
    payloads = [{"to": f"user{n}@example.com", "n": n} for n in range(options.jobs)]

    def many() -> float:
        with fresh(options.driver) as app:
            queue = app.ensure_queue("bench")
            return rate(options.jobs, lambda: queue.insert_many(payloads))

    def by_batches() -> float:
        with fresh(options.driver) as app:
            queue = app.ensure_queue("bench")
            return rate(options.jobs, lambda: queue.insert_many(iter(payloads)))

    def one_by_one() -> float:
        with fresh(options.driver) as app:
            queue = app.ensure_queue("bench")
            some = payloads[: options.jobs // slower]
            return rate(len(some), lambda: [queue.insert(payload) for payload in some])

    slower = int(bound(options.driver, memory=1, postgres=10))
    least = bound(options.driver, memory=60_000, postgres=40_000)
    report("insert_many, one write", runs(options.runs, many), "jobs/s", least=least)
    report("insert_many, batches of 1,000", runs(options.runs, by_batches), "jobs/s", least=least)
    least = bound(options.driver, memory=30_000, postgres=2_000)
    report("insert, one by one", runs(options.runs, one_by_one), "jobs/s", least=least)


if __name__ == "__main__":
    main()
