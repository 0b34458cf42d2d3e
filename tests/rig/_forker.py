"""A process that forks in awkward moments, and says what became of the children and of itself.

Its one argument is a JSON object: the conninfo of the server, and how many forks there are to be in
each state. Each child inserts a job and ends as a program does; the parent works all jobs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

import gaffer
from gaffer_driver_postgres import PostgresDriver

LIMIT = 30.0
"""Seconds after which a child is taken to hang."""
CREW = 4
KEEP: Any = {"interval": None}

settings: dict[str, Any] = json.loads(sys.argv[1])
go = threading.Event()
inside = threading.Semaphore(0)
read, write = os.pipe()
children: list[dict[str, Any]] = []
writing = threading.Lock()
warnings.simplefilter("ignore", DeprecationWarning)  # that threads run is the point


def work(job: gaffer.Job) -> None:
    """Hold, fork or do nothing, as the payload says."""
    if job.payload == "hold":
        inside.release()
        go.wait(10 * LIMIT)
    elif job.payload in ("exit", "return"):
        fork(f"job, {job.payload}")


def backends() -> set[int]:
    """Return the server's processes for this process."""
    with psycopg.connect(settings["conninfo"], application_name="look") as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'parent'"
        )
        return {pid for (pid,) in rows.fetchall()}


def fork(state: str) -> None:
    """Fork; note what becomes of the child."""
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        be_a_child(state, began)
        return
    code = awaited(pid)
    seconds = time.monotonic() - began
    lost = len(own - backends())
    with writing:
        children.append({"state": state, "code": code, "seconds": seconds, "lost": lost})


def be_a_child(state: str, began: float) -> None:
    """Insert a job, say how long that took, and end."""
    g.insert("work", "child")
    os.write(write, f"{time.monotonic() - began:.3f}\n".encode())
    if state == "job, exit":
        os._exit(0)
    if state != "job, return":
        sys.exit(0)


def awaited(pid: int) -> int | None:
    """Return how a child ended; `None` if it had to be killed."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


@contextmanager
def hammering() -> Iterator[None]:
    """Insert and look in some threads without a pause, until the block ends."""
    end = threading.Event()

    def hammer() -> None:
        while not end.is_set():
            g.insert("work", None)
            g.info("work")
            g.list("work", limit=1)

    hammers = [threading.Thread(target=hammer, daemon=True) for _ in range(CREW)]
    for thread in hammers:
        thread.start()
    yield
    end.set()
    for thread in hammers:
        thread.join(LIMIT)


def forks(number: int) -> None:
    """Fork in each state so many times."""
    for _ in range(number):
        fork("idle")
    with hammering():
        for _ in range(number):
            fork("hammering")
    for at in range(number):
        g.insert("work", "return" if at % 2 else "exit")
    g.flush("work", 10 * LIMIT)
    g.insert_many("work", ["hold"] * CREW)
    for _ in range(CREW):
        inside.acquire(timeout=LIMIT)
    for _ in range(number):
        fork("running")
    go.set()


driver = PostgresDriver(settings["conninfo"] + " application_name=parent")
g = gaffer.Gaffer(driver)
g.ensure_queue("work", worker=work, max_workers=CREW, timeout=10 * LIMIT, prune=KEEP)
with hammering():  # so that all connections are open
    time.sleep(1)
g.flush("work", LIMIT)
own = backends()
forks(settings["forks"])
g.flush("work", 10 * LIMIT)
stats = g.stats("work")
os.close(write)
with os.fdopen(read) as pipe:
    inserts = [float(line) for line in pipe]
worked = g.list("work", state="completed")
print(  # noqa: T201
    json.dumps(
        {
            "children": children,
            "inserts": inserts,
            "inserted by children": sum(job.payload == "child" for job in worked),
            "not completed": sum(one.count for one in stats.values())
            - stats[gaffer.JobState.COMPLETED].count,
            "sessions": len(own),
            "attempts lost": sum(job.attempt != 1 for job in worked),
        }
    ),
    flush=True,
)
g.stop()
driver.stop()
