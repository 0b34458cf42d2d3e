"""Thousands of jobs leave nothing behind: no thread, no memory, no exception, no payload."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from typing import Any

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, threads, until


class Thing:
    """Something that can be watched."""


class Oops(Exception):
    """An exception that can be watched."""


def test_threads_and_memory_stay_where_they_are_over_thousands_of_jobs() -> None:
    """F43."""
    home = threading.Event()

    def work(job: gaffer.Job) -> None:
        if job.payload == "fail":
            raise Oops
        if job.payload == "stick":
            home.wait(60)

    with gaffer.Gaffer(MemoryDriver()) as g:
        queue = g.ensure_queue(
            "soak",
            worker=work,
            max_workers=4,
            max_attempts=1,
            max_abandoned=1000,
            prune={"interval": 0.05},
        )

        def rounds(number: int) -> None:
            for _ in range(number):
                queue.insert_many([None] * 488 + ["fail"] * 10)
                queue.insert_many(["stick"] * 2, timeout=0.02)
                queue.flush(20)

        rounds(5)
        until(lambda: not queue.list())
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        rounds(20)
        until(lambda: not queue.list())
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()

        # What remains are the abandoned threads and their attempts: 2 in 500 jobs.
        abandoned = queue.info().workers.abandoned
        assert abandoned == 50
        assert len(threads("gaffer:soak:worker")) <= abandoned + 4
        assert grown < 600_000, f"{grown} bytes more after 10,000 jobs"
        home.set()
        until(lambda: queue.info().workers.abandoned == 0)
        until(lambda: len(threads("gaffer:soak:worker")) <= 4)


def test_exceptions_and_locals_of_ended_jobs_are_garbage(g: gaffer.Gaffer) -> None:
    """F43."""
    refs: list[weakref.ref[Any]] = []

    def work(job: gaffer.Job) -> None:
        thing, error = Thing(), Oops()
        refs.extend([weakref.ref(thing), weakref.ref(error)])
        raise error

    queue = g.ensure_queue("q", worker=work, max_attempts=1, max_workers=2, prune=KEEP)
    queue.insert_many(range(20))
    queue.flush(10)

    until(lambda: not gc.collect() and not any(ref() for ref in refs), 5)

    assert len(refs) == 40


def test_results_and_payloads_of_ended_jobs_are_garbage(g: gaffer.Gaffer) -> None:
    """F43."""
    refs: list[weakref.ref[Any]] = []

    def work(job: gaffer.Job) -> object:
        thing = Thing()
        refs.append(weakref.ref(thing))
        return thing

    def jobs() -> int:
        return sum(type(one) is gaffer.Job and one.queue == "gone" for one in gc.get_objects())

    g.configure(hooks=[])
    queue = g.ensure_queue("gone", worker=work, max_workers=2, prune={"interval": 0.02})
    for _ in range(6):
        queue.insert_many(range(1000))
        queue.flush(20)

    until(lambda: not any(ref() for ref in refs), 5)
    until(lambda: not queue.list(), 5)
    gc.collect()

    assert len(refs) == 6000
    assert jobs() <= 2000  # the memory driver's indexes are swept now and then


def test_a_stopped_gaffer_is_garbage() -> None:
    """F43."""
    g = gaffer.Gaffer(MemoryDriver())
    g.ensure_queue("q", worker=lambda job: None).insert(1)
    g.flush("q", 5)
    g.stop()
    ref = weakref.ref(g)

    del g

    until(lambda: gc.collect() is None or ref() is None, 5)


def test_many_queues_that_come_and_go_leave_no_thread(g: gaffer.Gaffer) -> None:
    """F43."""
    base = len(threads())

    for number in range(30):
        queue = g.ensure_queue(f"q{number}", worker=lambda job: None, prune=KEEP)
        queue.insert(1)
        queue.flush(5)
        g.delete_queue(f"q{number}", driver=queue.conf.driver)

    until(lambda: len(threads()) <= base + 2, 5)
