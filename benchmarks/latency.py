"""How long does it take from the return of insert to the start of the job, in an idle queue?"""

from __future__ import annotations

import statistics
import threading
import time

from measure import arguments, fresh, report

import gaffer


def main() -> None:
    """Insert jobs one after the other, each when the one before has run."""
    assert __doc__ is not None
    options = arguments(__doc__, jobs=1_000)
    started_at = [0.0]
    started = threading.Event()

    def note(job: gaffer.Job) -> None:
        started_at[0] = time.perf_counter()
        started.set()

    def one(queue: gaffer.Queue) -> float:
        started.clear()
        queue.insert(None)
        returned = time.perf_counter()
        started.wait(10)
        time.sleep(0.001)  # let the queue become idle again
        # A job may start before insert has returned to its caller.
        return max(0.0, started_at[0] - returned) * 1000

    p50, p95, p99 = [], [], []
    with fresh(options.driver) as app:
        queue = app.ensure_queue("bench", worker=note)
        for _ in range(options.runs):
            delays = sorted(one(queue) for _ in range(options.jobs))
            percentiles = statistics.quantiles(delays, n=100)
            p50.append(percentiles[49])
            p95.append(percentiles[94])
            p99.append(percentiles[98])
    report("p50", p50, "ms", most=0.2)
    report("p95", p95, "ms")
    report("p99", p99, "ms")


if __name__ == "__main__":
    main()
