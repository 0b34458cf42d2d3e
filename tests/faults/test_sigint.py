"""Ctrl-C at any moment of a script: it ends in time, and storage is whole."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SCRIPT = '''
import atexit, json, signal, sys
from collections import Counter

returned = []

def report():
    """Runs after gaffer's own end, because it was registered before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = MemoryDriver(storage=kept)
    jobs = list(kept.jobs.values())
    states = Counter(job.state.value for job in jobs)
    stats = {s.value: one.count for s, one in driver.job_stats("q").items() if one.count}
    print(json.dumps({
        "returned": [str(id) for id in returned],
        "stored": [str(job.id) for job in jobs],
        "states": dict(states),
        "stats": stats,
        "attempts": sorted({job.attempt for job in jobs if job.state == "available"}),
    }), flush=True)

atexit.register(report)

import threading, time
import gaffer
from gaffer_driver_memory import MemoryDriver, Storage

kept = Storage()
print("ready", flush=True)

def work(job):
    until = time.monotonic() + job.payload
    while time.monotonic() < until and not gaffer.current().stopping:
        time.sleep(0.001)

with gaffer.Gaffer(MemoryDriver(storage=kept)) as g:
    queue = g.ensure_queue(
        "q", worker=work, max_workers=4, shutdown_timeout=1.0, prune={"interval": None}
    )
    for number in range(100000):
        returned.append(queue.insert(0.002).id)
        if number % 20 == 0:
            returned.extend(job.id for job in queue.insert_many([0.002] * 5))
            g.info("q"); queue.stats(); queue.list(limit=3)
        if number % 50 == 49:
            queue.drain()
            queue.resume()
        if number == 150:
            break
'''


def interrupted(script: Path, delay: float) -> tuple[float, dict[str, Any] | None, str]:
    """Send SIGINT *delay* seconds after the script has begun; return what became of it."""
    process = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    threading.Event().wait(delay)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    try:
        out, noise = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return 15.0, None, "hangs"
    line = out.strip().splitlines()[-1] if out.strip() else ""
    return time.monotonic() - sent, json.loads(line) if line else None, noise


def test_a_script_that_is_interrupted_at_any_time_ends_and_leaves_storage_whole(
    tmp_path: Path, chance: random.Random
) -> None:
    """F41."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    delays = [chance.uniform(0, 0.6) for _ in range(60)]
    ends: list[tuple[float, tuple[float, dict[str, Any] | None, str]]] = []
    todo = list(delays)

    def work() -> None:
        while todo:
            delay = todo.pop()
            ends.append((delay, interrupted(script, delay)))

    runners = [threading.Thread(target=work) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()

    for delay, (seconds, report, noise) in ends:
        where = f"after {delay:.4f} s: {noise[-3000:]}"
        assert seconds < 1.0 + 2.0, where
        assert report is not None, where
        assert len(set(report["stored"])) == len(report["stored"]), where
        assert {*report["returned"]} <= {*report["stored"]}, where
        # One call may have been struck after its write and before its return.
        assert len(report["stored"]) - len(report["returned"]) <= 5, where
        assert set(report["states"]) <= {"available", "completed"}, (where, report["states"])
        assert report["states"] == report["stats"], where
        assert report["attempts"] in ([], [0]), where
    assert len(ends) == 60


SECOND = """
import atexit, signal, sys, os
atexit.register(
    lambda: print(*(f"{job.state.value} {job.attempt}" for job in kept.jobs.values()), flush=True)
)
import threading, time
import gaffer
from gaffer_driver_memory import MemoryDriver, Storage
kept = Storage()
inside = threading.Event()

def work(job):
    inside.set()
    time.sleep(60)

g = gaffer.Gaffer(MemoryDriver(storage=kept))
g.ensure_queue("q", worker=work, shutdown_timeout=1.0, prune={"interval": None})
g.insert("q", 1)
inside.wait(5)
threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
try:
    g.stop()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_during_a_stop_does_not_leave_the_job_executing(tmp_path: Path) -> None:
    """F41."""
    script = tmp_path / "script.py"
    script.write_text(SECOND)

    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=20, check=False
    )

    assert ended.stdout.splitlines() == ["interrupted", "available 0"], ended.stderr
    assert time.monotonic() - began < 1.0 + 3.0
