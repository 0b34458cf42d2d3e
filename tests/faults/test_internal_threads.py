"""An exception in one of gaffer's own threads, at whatever bytecode: service goes on within 5 s.

But not in one that just starts another: on Python 3.11 the exception may strike the newborn thread,
before it has said that it runs, and whoever starts it waits for that for ever.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from uuid import UUID

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Recorder, busy, shoot, states, threads, until

pytestmark = pytest.mark.usefixtures("unlocked")


class Boom(Exception):
    """What is thrown."""


THROWN = [Boom, SystemExit, KeyboardInterrupt, MemoryError]


def thread_of(suffix: str) -> threading.Thread:
    """Return the thread of that name; the newest, should an earlier test have left one."""
    return [thread for thread in threads() if thread.name.endswith(suffix)][-1]


@pytest.mark.parametrize("error", THROWN)
def test_a_runner_goes_on_after_any_exception(
    g: gaffer.Gaffer, seen: Recorder, error: type[BaseException]
) -> None:
    """F10."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.insert(0)
    seen.wait(gaffer.JobCompleted)
    runner = thread_of("q:runner")

    shoot(runner, error)
    queue.insert(1)

    seen.wait(gaffer.JobCompleted, 2, timeout=5)
    assert runner.is_alive()
    assert [type(event.error) for event in seen.wait(gaffer.RunnerFailed)] == [error]


def test_a_runner_goes_on_although_the_log_raises(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F10."""

    def refuse(record: logging.LogRecord) -> bool:
        raise Boom

    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.insert(0)
    seen.wait(gaffer.JobCompleted)
    log = logging.getLogger("gaffer.service")
    before = log.level
    log.addFilter(refuse)
    log.setLevel(logging.DEBUG)
    try:
        shoot(thread_of("q:runner"), Boom)
        queue.insert(1)
        seen.wait(gaffer.JobCompleted, 2)
    finally:
        log.removeFilter(refuse)
        log.setLevel(before)


def test_a_runner_hears_of_new_jobs_at_once_after_an_exception_took_a_wake_from_it(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F10."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.insert(0)
    seen.wait(gaffer.JobCompleted)
    shoot(thread_of("q:runner"), Boom)
    queue.insert(1)  # its wake ends the runner's wait, and the exception lands
    seen.wait(gaffer.RunnerFailed)
    seen.wait(gaffer.JobCompleted, 2, timeout=6)

    queue.insert(2)

    seen.wait(gaffer.JobCompleted, 3, timeout=1)


def test_a_stop_is_obeyed_although_an_exception_took_it_from_the_runner(
    driver: MemoryDriver, seen: Recorder
) -> None:
    """F10."""
    g = gaffer.Gaffer(driver, hooks=[seen])
    g.ensure_queue("q", worker=lambda job: None, prune=KEEP).insert(0)
    seen.wait(gaffer.JobCompleted)
    runner = thread_of("q:runner")
    shoot(runner, Boom)

    g.stop()

    runner.join(1)
    assert not runner.is_alive()


def test_no_job_is_lost_or_doubled_by_exceptions_at_random_moments_of_the_runner(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F10."""
    runs: Counter[UUID] = Counter()
    queue = g.ensure_queue("q", worker=lambda job: runs.update([job.id]), max_workers=4, prune=KEEP)
    runner = thread_of("q:runner")
    inserted = {job.id for job in queue.insert_many([0] * 4)}
    until(lambda: runs.keys() == inserted)  # it has started all threads that it needs

    for _ in range(10):
        jobs = queue.insert_many(range(25))
        inserted.update(job.id for job in jobs)
        busy(random.uniform(0, 0.005))
        shoot(runner, Boom)
        until(lambda jobs=jobs: runs[jobs[-1].id], 6)  # type: ignore[misc]

    until(lambda: states(driver, "q") == {"completed": len(inserted)}, 10)
    assert set(runs) == inserted
    assert runner.is_alive()


def test_a_second_exception_right_behind_the_first_does_not_end_a_thread(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F10."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.insert("first")
    seen.wait(gaffer.JobCompleted)
    runner = thread_of("q:runner")
    for number in range(1, 4):
        shoot(runner, Boom)
        queue.insert(number)
        seen.wait(gaffer.RunnerFailed, number, timeout=6)
        shoot(runner, Boom)  # lands while it pauses because of the first
        until(lambda: not runner.is_alive() or len(seen.of(gaffer.JobCompleted)) > number, 6)  # noqa: B023

    queue.insert("last")

    seen.wait(gaffer.JobCompleted, 5, timeout=6)


def test_a_watchdog_ends_jobs_in_time_after_any_exception(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F10."""
    home = threading.Event()
    queue = g.ensure_queue(
        "q",
        worker=lambda job: home.wait(10),
        timeout=0.3,
        max_attempts=1,
        max_workers=9,
        prune=KEEP,
    )
    queue.insert(0)
    until(lambda: threads("gaffer:watchdog"))
    watchdog = thread_of("watchdog")

    for number, error in enumerate(THROWN, 1):
        shoot(watchdog, error)
        queue.insert(number)

    seen.wait(gaffer.JobFailed, 5, timeout=5)
    assert watchdog.is_alive()
    home.set()
    until(lambda: queue.info().workers.abandoned == 0)


def test_every_timeout_is_told_although_exceptions_strike_the_watchdog_at_random(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F10."""
    home = threading.Event()
    queue = g.ensure_queue(
        "q",
        worker=lambda job: home.wait(10),
        timeout=0.05,
        max_attempts=1,
        max_workers=100,
        prune=KEEP,
    )
    queue.insert(0)
    until(lambda: threads("gaffer:watchdog"))
    watchdog = thread_of("watchdog")

    for number in range(1, 21):
        queue.insert(number)
        threading.Event().wait(0.05 + random.uniform(-0.003, 0.003))
        shoot(watchdog, Boom)
        until(lambda number=number: states(driver, "q")["failed"] > number, 5)  # type: ignore[misc]

    home.set()
    until(lambda: queue.info().workers.abandoned == 0, 5)


@pytest.mark.parametrize("error", THROWN)
def test_a_pruner_goes_on_after_any_exception(
    g: gaffer.Gaffer, seen: Recorder, error: type[BaseException]
) -> None:
    """F10."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune={"interval": 0.05})
    queue.insert(0)
    seen.wait(gaffer.JobDeleted)
    pruner = thread_of("q:pruner")

    shoot(pruner, error)
    queue.insert(1)

    seen.wait(gaffer.JobDeleted, 2, timeout=5)
    assert pruner.is_alive()


@pytest.mark.parametrize("error", THROWN)
def test_a_heart_beats_on_after_any_exception(
    driver: MemoryDriver, error: type[BaseException]
) -> None:
    """F10."""
    with gaffer.Gaffer(driver, beat_interval=0.05, lease=1.0) as g:
        g.ensure_queue("q", worker=lambda job: None)
        until(lambda: threads("gaffer:heartbeat"))
        heart = thread_of("heartbeat")
        [node] = driver.storage.nodes  # type: ignore[attr-defined]
        shoot(heart, error)
        threading.Event().wait(0.1)
        before = driver.storage.nodes[node]  # type: ignore[attr-defined]

        until(lambda: driver.storage.nodes[node] > before, 5)  # type: ignore[attr-defined]

        assert heart.is_alive()
