"""A process with too many open files: what is stored stays stored, and work resumes by itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

import gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.proxy import Proxy
from tests.rig.scripts import Ended, run
from tests.rig.waiting import KEEP

PRELUDE = """
import os, resource, sys, threading
import gaffer
from gaffer_driver_postgres import PostgresDriver

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

def limit(files):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))

def go():
    print("ready", flush=True)
    sys.stdin.readline()

NONE = 3
PLENTY = min(4096, hard)
limit(PLENTY)
driver = PostgresDriver(sys.argv[1], schema=sys.argv[2], timeout=float(sys.argv[3]))
failed = threading.Event()

def hook(event):
    if isinstance(event, gaffer.RunnerFailed):
        failed.set()

g = gaffer.Gaffer(driver, hooks=[hook], work=False)
"""


def script(
    folder: Path,
    conninfo: str,
    schema: str,
    body: str,
    *,
    timeout: float = 10.0,
    then: Callable[[], object] = lambda: None,
) -> Ended:
    """Run a script."""
    path = folder / "script.py"
    path.write_text(PRELUDE + body)
    return run(Path(sys.executable), path, conninfo, schema, str(timeout), then=then)


def test_an_insert_is_kept_although_no_file_can_be_had_to_announce_it(
    tmp_path: Path, server: str, driver: PostgresDriver, schema: str
) -> None:
    """F44."""
    body = """
queue = g.ensure_queue("q")
limit(NONE)
print(queue.insert(1).id)
limit(PLENTY)
go()
"""

    ended = script(tmp_path, server, schema, body)

    assert ended.code == 0, ended.noise
    with gaffer.Gaffer(driver, work=False) as g:
        [job] = g.ensure_queue("q").list()
    assert ended.out.split() == [str(job.id), "ready"]


def test_a_call_into_silence_ends_although_no_file_can_be_had_to_cut_it_off(
    tmp_path: Path, server: str, driver: PostgresDriver, schema: str
) -> None:
    """F14, F44."""
    body = """
g.ensure_queue("q")
go()
limit(NONE)
try:
    g.list("q")
except gaffer.DriverUnavailable:
    print("unavailable", flush=True)
os._exit(0)
"""

    with Proxy(server) as proxy:
        ended = script(tmp_path, proxy.conninfo, schema, body, timeout=1.0, then=proxy.silence)

    assert (ended.code, ended.out.split()) == (0, ["ready", "unavailable"]), ended.noise


def test_work_resumes_when_there_are_files_again(
    tmp_path: Path, server: str, admin: psycopg.Connection, driver: PostgresDriver, schema: str
) -> None:
    """F44: what ran goes on, what was claimed or inserted meanwhile runs once."""
    body = """
inside, gate = threading.Event(), threading.Event()

def work(job):
    if job.payload == "hold":
        inside.set()
        gate.wait(60)

g.start()
queue = g.ensure_queue("q", worker=work, max_workers=2, max_attempts=1, prune={"interval": None})
queue.insert("hold")
inside.wait(30)
limit(NONE)
go()
try:
    while True:
        queue.insert("mine")
except gaffer.DriverUnavailable:
    print("unavailable", flush=True)
gate.set()
print(failed.wait(30))
limit(PLENTY)
queue.flush(30)
print(*(f"{state.value}:{one.count}" for state, one in queue.stats().items() if one.count))
print({job.attempt for job in queue.list()})
g.stop()
driver.stop()
"""
    conninfo = make_conninfo(server, application_name=schema)

    def end_sessions() -> None:
        with gaffer.Gaffer(driver, work=False) as g:
            g.ensure_queue("q", prune=KEEP).insert_many(["theirs"] * 5)
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [schema],
        )

    ended = script(tmp_path, conninfo, schema, body, then=end_sessions)

    assert ended.code == 0, ended.noise
    [ready, unavailable, failed, states, attempts] = ended.out.splitlines()
    assert (ready, unavailable, failed, attempts) == ("ready", "unavailable", "True", "{1}")
    assert states.startswith("completed:")
    assert int(states.partition(":")[2]) >= 6


def test_queues_are_woken_in_a_process_with_more_files_than_select_knows(
    tmp_path: Path, server: str, driver: PostgresDriver, schema: str
) -> None:
    """F44."""
    body = """
many = [os.open(os.devnull, os.O_RDONLY) for _ in range(min(1100, PLENTY - 100))]
done = threading.Event()
g.start()
queue = g.ensure_queue("q", worker=lambda job: done.set(), prune={"interval": None})
queue.insert(1, delay=0.3)
print(done.wait(30))
print("gaffer:postgres:hub" in {thread.name for thread in threading.enumerate()})
go()
g.stop()
driver.stop()
"""

    ended = script(tmp_path, server, schema, body)

    assert (ended.code, ended.out.split()) == (0, ["True", "True", "ready"]), ended.noise
