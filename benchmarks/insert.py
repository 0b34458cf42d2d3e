"""How many jobs can be inserted per second, one by one and many at once?"""

from __future__ import annotations

from measure import arguments, fresh, rate, report, runs


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
            return rate(options.jobs, lambda: [queue.insert(payload) for payload in payloads])

    report("insert_many, one write", runs(options.runs, many), "jobs/s", least=60_000)
    report("insert_many, batches of 1,000", runs(options.runs, by_batches), "jobs/s", least=60_000)
    report("insert, one by one", runs(options.runs, one_by_one), "jobs/s", least=30_000)


if __name__ == "__main__":
    main()
