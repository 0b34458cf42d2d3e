"""How fast several processes together drain one queue."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from measure import fresh

import gaffer

__all__ = ["WORKERS", "drain"]

WORKERS = 100
"""`max_workers` of each process."""
SETTLE = 1.0
"""Seconds for the processes to find that the queue is paused, and to wait."""
PATIENCE = 60.0


def drain(url: str, processes: int, jobs: int) -> float:
    """Return how many jobs per second are done, from the resume of a queue to its last job."""
    with fresh(url) as app:
        queue = app.ensure_queue("bench")
        queue.pause()
        queue.insert_many(range(jobs))
        with _crowd(url, processes) as crowd:
            threading.Event().wait(SETTLE)
            began = time.monotonic()  # of the machine, not of the process
            queue.resume()
            queue.flush(timeout=PATIENCE)
            ends = [_end(process) for process in crowd]
    done = sum(number for number, _ in ends)
    assert done == jobs, f"{done} of {jobs} were done"
    return jobs / (max(last for _, last in ends) - began)


@contextmanager
def _crowd(url: str, number: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Give so many processes that work the queue; they end when they are asked for their end."""
    command = [sys.executable, __file__, url]
    crowd = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    try:
        for process in crowd:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield crowd
    finally:
        for process in crowd:
            process.communicate(timeout=PATIENCE)


def _end(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Return how many jobs a process has done, and when the last one ran."""
    answer, _ = process.communicate(timeout=PATIENCE)
    number, last = answer.split()
    return int(number), float(last)


def main() -> None:
    """Be one of the processes: work until the standard input is closed."""
    ran: list[float] = []

    def work(job: gaffer.Job) -> None:
        ran.append(time.monotonic())

    with gaffer.Gaffer(sys.argv[1]) as app:
        app.ensure_queue("bench", worker=work, max_workers=WORKERS)
        print("ready", flush=True)
        sys.stdin.read()
    print(len(ran), max(ran, default=0.0))


if __name__ == "__main__":
    main()
