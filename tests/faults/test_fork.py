"""A fork at any moment: the child may insert at once and works when told to; the parent goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from uuid import UUID

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Gate, Recorder, states, threads

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

LIMIT = 2.0
"""Seconds that a child has."""


def forked(child: Callable[[], object]) -> int:
    """Run *child* in a forked process; return its pid. It exits 0 if *child* returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        child()
    except BaseException:
        os._exit(1)
    os._exit(0)


def exit_code(pid: int, limit: float = LIMIT) -> int | None:
    """Return how a child ended, or `None` if it had to be killed after *limit* seconds."""
    deadline = time.monotonic() + limit
    pause = threading.Event()
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        pause.wait(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def check(condition: object) -> None:
    assert condition


def test_a_child_of_an_idle_parent_inserts_at_once(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F39."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)

    def child() -> None:
        job = queue.insert("child")
        check(queue.get(job.id).state is gaffer.JobState.AVAILABLE)
        check(not threads())

    assert exit_code(forked(child)) == 0
    queue.insert("parent")
    seen.wait(gaffer.JobCompleted)


def test_a_child_works_only_after_start(g: gaffer.Gaffer) -> None:
    """F39."""
    ran: list[object] = []
    queue = g.ensure_queue("q", worker=lambda job: ran.append(job.payload), prune=KEEP)

    def child() -> None:
        job = queue.insert("child")
        check(not queue.info().workers.active)
        threading.Event().wait(0.15)
        check(queue.get(job.id).state is gaffer.JobState.AVAILABLE)
        g.start()
        queue.flush(1)
        check(ran == ["child"])
        g.stop()

    assert exit_code(forked(child)) == 0
    assert ran == []


def test_a_child_polls_by_itself(g: gaffer.Gaffer) -> None:
    """F39."""
    ran: list[object] = []
    queue = g.ensure_queue("q", worker=lambda job: ran.append(job.payload), prune=KEEP)

    def child() -> None:
        queue.insert("child")
        check(queue.poll() == 1)
        check(ran == ["child"])

    assert exit_code(forked(child)) == 0


def test_a_fork_while_jobs_run_disturbs_none_of_them(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F39."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, max_workers=8, prune=KEEP)
    queue.insert_many(range(8))
    gate.wait(8)

    def child() -> None:
        queue.insert("child")
        check(queue.info().workers.active == 0)
        g.stop(timeout=0)

    codes = [exit_code(forked(child)) for _ in range(5)]

    gate.open.set()
    seen.wait(gaffer.JobCompleted, 8)
    assert codes == [0] * 5
    assert states(driver, "q") == {"completed": 8}


def test_forks_while_four_threads_insert_never_hang(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F39."""
    queue = g.ensure_queue("q", worker=lambda job: None, max_workers=2, prune=KEEP)
    done = threading.Event()
    inserted: list[list[UUID]] = [[], [], [], []]

    def hammer(mine: list[UUID]) -> None:
        while not done.is_set():
            mine.append(queue.insert(len(mine)).id)
            g.info("q")
            done.wait(0.0005)

    hammers = [threading.Thread(target=hammer, args=[mine], daemon=True) for mine in inserted]
    for thread in hammers:
        thread.start()

    def child() -> None:
        job = queue.insert("child")
        check(queue.get(job.id))
        g.ensure_queue("another")

    codes = [exit_code(forked(child)) for _ in range(60)]

    done.set()
    for thread in hammers:
        thread.join(5)
    assert codes == [0] * 60
    queue.flush(20)
    assert states(driver, "q") == {"completed": sum(map(len, inserted))}


def test_a_job_may_fork(g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder) -> None:
    """F39."""

    def child(job: gaffer.Job) -> None:
        g.insert("q", "grandchild")
        check(g.get("q", job.id).state is gaffer.JobState.EXECUTING)
        check(g.info("q").workers.active == 0)

    def work(job: gaffer.Job) -> int | None:
        return exit_code(forked(lambda: child(job)))

    queue = g.ensure_queue("q", worker=work, max_workers=2, prune=KEEP)

    jobs = queue.insert_many(range(6))

    seen.wait(gaffer.JobCompleted, 6)
    assert [queue.get(job.id).result for job in jobs] == [0] * 6
    assert states(driver, "q") == {"completed": 6}


def test_the_child_of_a_job_that_returns_ends_and_settles_nothing(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F39."""
    children: list[int] = []

    def work(job: gaffer.Job) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            children.append(pid)
            return "parent"
        # As a driver does for its connections; nobody ends it.
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return "child"

    queue = g.ensure_queue("q", worker=work, prune=KEEP)

    job = queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    assert exit_code(children[0]) == 0
    assert queue.get(job.id).result == "parent"


def test_ids_made_after_a_fork_differ(g: gaffer.Gaffer) -> None:
    """F39, F50."""
    queue = g.ensure_queue("q", prune=KEEP)
    read, write = os.pipe()

    def child() -> None:
        ids = [queue.insert(number).id for number in range(50)]
        os.write(write, b"".join(id.bytes for id in ids))

    pids = [forked(child) for _ in range(4)]
    mine = [queue.insert(number).id for number in range(50)]

    assert [exit_code(pid) for pid in pids] == [0] * 4
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        raw = pipe.read()
    theirs = [UUID(bytes=raw[at : at + 16]) for at in range(0, len(raw), 16)]
    assert len(theirs) == 200
    assert len({*mine, *theirs}) == 250


def test_a_child_may_stop_and_begin_anew(g: gaffer.Gaffer) -> None:
    """F39, F40."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, prune=KEEP)
    queue.insert(1)
    gate.wait()

    def child() -> None:
        queue.insert("child")
        g.stop()
        with pytest.raises(gaffer.Stopped):
            queue.insert("child")
        g.start()
        g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
        g.stop()

    assert exit_code(forked(child)) == 0
    gate.open.set()
