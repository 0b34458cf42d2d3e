"""How many jobs per second go through a queue, from claim to completed, with a no-op worker?"""

from __future__ import annotations

from measure import arguments, bound, fresh, rate, report, runs

import gaffer


def nothing(job: gaffer.Job) -> None:
    """Do nothing."""


def main() -> None:
    """Let a backlog drain, for several numbers of workers."""
    assert __doc__ is not None
    options = arguments(__doc__, jobs=50_000)
    bounds = {10: bound(options.driver, memory=25_000, postgres=5_000)}

    def drain(workers: int) -> float:
        with fresh(options.driver) as app:
            queue = app.ensure_queue("bench", worker=nothing, max_workers=workers)
            queue.pause()
            queue.insert_many(range(options.jobs))

            def work() -> None:
                queue.resume()
                queue.flush()

            return rate(options.jobs, work)

    for workers in (1, 2, 10, 50, 100):
        values = runs(options.runs, lambda workers=workers: drain(workers))  # type: ignore[misc]
        report(f"max_workers={workers}", values, "jobs/s", least=bounds.get(workers))


if __name__ == "__main__":
    main()
