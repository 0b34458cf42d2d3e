"""The system gives no more threads: what was claimed goes back at no cost, and runs later."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Gate, Recorder, states, took, until


class Limit:
    """Refuses threads whose name begins with one of `refused`, as the system does."""

    def __init__(self) -> None:
        self.refused: tuple[str, ...] = ()
        self.hits = 0
        self.start = threading.Thread.start

    def __call__(self, thread: threading.Thread, *args: Any) -> None:
        if self.refused and thread.name.startswith(self.refused):
            self.hits += 1
            raise RuntimeError("can't start new thread")
        self.start(thread)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Limit]:
    made = Limit()
    monkeypatch.setattr(threading.Thread, "start", lambda thread: made(thread))
    yield made
    made.refused = ()


def test_jobs_without_a_thread_are_released_at_no_cost_and_run_later(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder, limit: Limit
) -> None:
    """F44."""
    runs: Counter[UUID] = Counter()
    queue = g.ensure_queue(
        "q", worker=lambda job: runs.update([job.id]), max_workers=4, max_attempts=1, prune=KEEP
    )
    limit.refused = ("gaffer:q:worker",)

    jobs = queue.insert_many(range(8))
    seen.wait(gaffer.RunnerFailed, 2)
    until(lambda: states(driver, "q") == {"available": 8})
    limit.refused = ()

    seen.wait(gaffer.JobCompleted, 8)
    assert runs == Counter(job.id for job in jobs)
    assert {queue.get(job.id).attempt for job in jobs} == {1}


def test_a_queue_goes_on_with_the_threads_that_it_has(
    g: gaffer.Gaffer, seen: Recorder, limit: Limit
) -> None:
    """F44."""
    gate = Gate()
    gate.open.set()
    queue = g.ensure_queue("q", worker=gate, max_workers=4, prune=KEEP)
    queue.insert(0)
    seen.wait(gaffer.JobCompleted)
    limit.refused = ("gaffer:q:worker",)

    queue.insert_many(range(8))

    seen.wait(gaffer.JobCompleted, 9)
    assert limit.hits > 0


@pytest.mark.parametrize("name", ["gaffer:watchdog", "gaffer:heartbeat"])
def test_jobs_run_and_time_out_once_the_other_threads_can_be_had_again(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder, limit: Limit, name: str
) -> None:
    """F44."""
    home = threading.Event()

    def work(job: gaffer.Job) -> None:
        if job.payload == "stuck":
            home.wait(20)

    limit.refused = (name,)
    queue = g.ensure_queue(
        "q", worker=work, max_workers=4, max_attempts=1, timeout=0.5, backoff=0, prune=KEEP
    )
    queue.insert_many(range(3))
    until(lambda: limit.hits > 0)
    limit.refused = ()

    queue.insert("stuck")

    seen.wait(gaffer.JobFailed, timeout=6)
    until(lambda: states(driver, "q") == {"completed": 3, "failed": 1}, 6)
    home.set()


@pytest.mark.parametrize("name", ["gaffer:q:runner", "gaffer:q:pruner"])
def test_a_queue_that_could_not_begin_can_be_declared_again(
    g: gaffer.Gaffer, seen: Recorder, limit: Limit, name: str
) -> None:
    """F44."""
    limit.refused = (name,)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    limit.refused = ()

    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.insert(1)

    seen.wait(gaffer.JobCompleted)


def test_a_delayed_job_runs_although_the_timer_of_the_memory_driver_had_no_thread(
    g: gaffer.Gaffer, seen: Recorder, limit: Limit
) -> None:
    """F44."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    limit.refused = ("gaffer:memory",)

    queue.insert(1, delay=0.2)
    limit.refused = ()

    seen.wait(gaffer.JobCompleted, timeout=7)


def test_an_idle_queue_stops_at_once_although_no_thread_can_be_had(
    driver: MemoryDriver, seen: Recorder, limit: Limit
) -> None:
    """F40, F44: so it is while the interpreter goes down."""
    g = gaffer.Gaffer(driver, hooks=[seen])
    g.ensure_queue("q", worker=lambda job: None)
    limit.refused = ("gaffer:",)

    with took(0, 2):
        g.stop()

    assert seen.of(gaffer.RunnerFailed) == []


def test_a_job_is_released_by_a_stop_although_no_thread_can_be_had(
    driver: MemoryDriver, limit: Limit
) -> None:
    """F40, F44."""
    gate = Gate()
    g = gaffer.Gaffer(driver)
    g.ensure_queue("q", worker=gate, shutdown_timeout=0.2, prune=KEEP).insert(1)
    gate.wait()
    limit.refused = ("gaffer:",)

    with took(0.15, 2):
        g.stop()

    assert states(driver, "q") == {"available": 1}
    gate.open.set()
