"""How long from the return of insert in one process to the start of the job in another?"""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time

from measure import EMBEDDED, arguments, fresh, report

import gaffer
from gaffer.driver import JobState


def work(url: str) -> None:
    """Be the other process: work until the standard input is closed."""
    with gaffer.Gaffer(url) as app:
        app.ensure_queue("bench", worker=lambda job: time.monotonic(), prune={"interval": None})
        print("ready", flush=True)
        sys.stdin.read()


def one(queue: gaffer.Queue) -> float:
    """Return the milliseconds that one job waited."""
    job = queue.insert(None)
    returned = time.monotonic()  # of the machine, not of the process
    while (now := queue.get(job.id)).state is not JobState.COMPLETED:
        threading.Event().wait(0.005)
    assert isinstance(now.result, float)
    return max(0.0, now.result - returned) * 1000


def main() -> None:
    """Insert jobs one after the other into an idle queue that another process works."""
    assert __doc__ is not None
    options = arguments(__doc__, EMBEDDED, jobs=300)
    p50: list[float] = []
    p95: list[float] = []
    p99: list[float] = []
    with fresh(options.driver) as app:
        queue = app.ensure_queue("bench", prune={"interval": None})
        script = [sys.executable, __file__, "--work", options.driver]
        with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdout.readline()
            for _ in range(options.runs):
                delays = sorted(one(queue) for _ in range(options.jobs))
                percentiles = statistics.quantiles(delays, n=100)
                for all_, value in zip((p50, p95, p99), (49, 94, 98), strict=True):
                    all_.append(percentiles[value])
            other.stdin.close()
    report("p50", p50, "ms", most=2.0)
    report("p95", p95, "ms")
    report("p99", p99, "ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
