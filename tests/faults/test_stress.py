"""Everything at once from many threads: only the documented errors, and no thread is left over."""

from __future__ import annotations

import contextlib
import random
import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest

import gaffer
from gaffer.clock import SystemClock
from gaffer.driver import Driver
from gaffer.heartbeat import Heartbeat
from gaffer.service import Service
from gaffer.testing.doubles import start_stop_stress
from gaffer.watchdog import Watchdog
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, PATIENCE, threads, together, took, until

DOCUMENTED = (
    gaffer.AlreadyActive,
    gaffer.AlreadyPaused,
    gaffer.QueueExists,
    gaffer.QueueHasJobs,
    gaffer.Stopped,
    gaffer.UnknownQueue,
    gaffer.UnknownJob,
    gaffer.InvalidTransition,
    gaffer.DrainTimeout,
)


CALLS: list[Callable[[gaffer.Gaffer, str], object]] = [
    lambda g, name: g.stop(timeout=0),
    lambda g, name: g.start(),
    lambda g, name: g.pause(name),
    lambda g, name: g.resume(name),
    lambda g, name: g.ensure_queue(name, worker=lambda job: None, max_workers=2),
    lambda g, name: g.create_queue(name, worker=lambda job: None),
    lambda g, name: g.delete_queue(name),
    lambda g, name: g.delete_queue(name, g.get_queue(name).driver),
    lambda g, name: g.insert_many(name, [1, 2, 3]),
    lambda g, name: g.cancel(name, g.insert(name, 1).id),
    lambda g, name: g.drain(name, 0.01),
    lambda g, name: g.poll(name),
    lambda g, name: g.info(name),
    lambda g, name: g.update_queue(name, max_workers=3),
]


@pytest.mark.parametrize("restart", [False, True])
def test_threads_that_do_everything_at_once_meet_only_documented_errors(
    chance: random.Random, *, restart: bool
) -> None:
    """F42."""
    before = {thread.ident for thread in threads()}
    driver = MemoryDriver(storage=Storage())
    g = gaffer.Gaffer(driver)

    def hammer(chance: random.Random) -> None:
        for _ in range(50):
            try:
                chance.choice(CALLS if restart else CALLS[1:])(g, chance.choice("abc"))
            except DOCUMENTED:
                continue

    hammers = [partial(hammer, random.Random(chance.random())) for _ in range(10)]
    together(hammers, 60)

    g.stop(timeout=0)
    until(lambda: {thread.ident for thread in threads()} <= before, 10)


def test_a_stopped_gaffer_can_be_started_and_stopped_by_many_at_once() -> None:
    """F42."""
    driver = MemoryDriver(storage=Storage())
    made: list[gaffer.Gaffer] = []

    def make() -> gaffer.Gaffer:
        g = gaffer.Gaffer(driver)
        g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
        made.append(g)
        return g

    start_stop_stress(make, threads=8, rounds=20)

    g = made[0]
    g.start()
    g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    job = g.insert("q", 1)
    g.flush("q", 10)
    assert g.get("q", job.id).state is gaffer.JobState.COMPLETED
    g.stop()


def _heartbeat(driver: Driver) -> Heartbeat:
    return Heartbeat(
        driver,
        lambda: "node",
        interval=0.01,
        lease=1.0,
        clock=SystemClock(),
        rescue=lambda driver, jobs, lease: None,
        lapsed=lambda driver: None,
    )


class _Beating:
    """A heartbeat starts with the first claim."""

    def __init__(self) -> None:
        self.heartbeat = _heartbeat(MemoryDriver())

    def start(self) -> None:
        self.heartbeat.ensure()

    def stop(self) -> None:
        self.heartbeat.stop()


class _Watching:
    """A watchdog starts with the first deadline."""

    def __init__(self) -> None:
        self.watchdog = Watchdog(SystemClock())

    def start(self) -> None:
        self.watchdog.watch([])

    def stop(self) -> None:
        self.watchdog.stop()


def _service() -> Service:
    made: list[Service] = []

    def step() -> bool:
        made[0].wait(0.01)
        return not made[0].stopping

    made.append(Service("gaffer:test:service", step))
    return made[0]


def test_a_service_withstands_starts_and_stops_by_many_at_once() -> None:
    """F42."""
    service = start_stop_stress(_service)

    assert service.join(5)


def test_who_waits_for_a_service_waits_no_longer_although_its_thread_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F42."""
    service, begun, go = _service(), threading.Event(), threading.Event()
    start = threading.Thread.start

    def slow(thread: threading.Thread) -> None:
        if thread.name == service.name:
            begun.set()
            assert go.wait(PATIENCE)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", slow)
    starting = threading.Thread(target=service.start, daemon=True)
    starting.start()
    assert begun.wait(PATIENCE)

    with took(0, 5):
        assert not service.join(0.1)

    go.set()
    starting.join(PATIENCE)
    service.stop()
    assert service.join(PATIENCE)


def test_a_heartbeat_withstands_starts_and_stops_by_many_at_once() -> None:
    """F42."""
    before = {thread.ident for thread in threads("gaffer:heartbeat")}

    start_stop_stress(_Beating, threads=5, rounds=20)

    until(lambda: {thread.ident for thread in threads("gaffer:heartbeat")} <= before, 5)


def test_a_watchdog_withstands_starts_and_stops_by_many_at_once() -> None:
    """F42."""
    before = {thread.ident for thread in threads("gaffer:watchdog")}

    start_stop_stress(_Watching)

    until(lambda: {thread.ident for thread in threads("gaffer:watchdog")} <= before, 5)


@pytest.mark.parametrize("work", [True, False])
def test_polls_by_many_threads_run_every_job_once(*, work: bool) -> None:
    """F42."""
    runs: list[int] = []
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with gaffer.Gaffer(MemoryDriver(), work=work) as g:
        queue = g.ensure_queue(
            "q", worker=lambda job: runs.append(job.payload), max_workers=4, prune=KEEP
        )
        queue.insert_many(range(400))

        def poll() -> None:
            while queue.list(state="available", limit=1):
                queue.poll()

        together([poll] * 4, 30)
        queue.flush(5)

    sys.setswitchinterval(often)
    assert sorted(runs) == list(range(400))


def test_a_stop_is_not_held_up_by_threads_that_poll() -> None:
    """F42, F57."""
    inside, leave = threading.Event(), threading.Event()

    def worker(job: gaffer.Job) -> None:
        inside.set()
        leave.wait(20)

    g = gaffer.Gaffer(MemoryDriver(), work=False)
    queue = g.ensure_queue("q", worker=worker, max_workers=3, shutdown_timeout=0.2)
    queue.insert_many(range(6))

    def poll() -> None:
        with contextlib.suppress(gaffer.Stopped):
            queue.poll()

    polls = [threading.Thread(target=poll, daemon=True) for _ in range(3)]
    for polling in polls:
        polling.start()
    assert inside.wait(5)

    stopping = threading.Thread(target=g.stop, daemon=True)
    stopping.start()
    stopping.join(5)

    in_time = not stopping.is_alive()
    leave.set()
    assert in_time
