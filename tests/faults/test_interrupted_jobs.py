"""`interrupt=True`: the job's code is struck at its timeout, and nothing of gaffer's is."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer.driver import JobFilter
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, Recorder, busy, states, threads, until

LENGTHS = (0.9, 1.6)


def test_shot_jobs_are_recorded_once_and_no_thread_is_lost(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F30."""
    number, timeout = 300, 0.01
    queue = g.ensure_queue(
        "shot",
        worker=lambda job: busy(timeout * random.uniform(*LENGTHS)),
        interrupt=True,
        timeout=timeout,
        max_attempts=1,
        max_workers=4,
        max_abandoned=1000,
        prune=KEEP,
    )

    jobs = queue.insert_many([0] * number)

    until(lambda: len(seen.of(gaffer.JobCompleted)) + len(seen.of(gaffer.JobFailed)) >= number, 60)
    until(lambda: queue.info().workers.abandoned == 0, 5)
    ends = Counter(
        event.job.id
        for event in seen.events
        if isinstance(event, gaffer.JobCompleted | gaffer.JobFailed)
    )
    assert ends == Counter(job.id for job in jobs)
    assert set(states(driver, "shot")) == {"completed", "failed"}
    assert len(threads("gaffer:shot:worker")) <= 4


def test_an_interrupted_job_ends_its_thread_at_once_and_is_not_called_late(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F30."""
    queue = g.ensure_queue(
        "q", worker=lambda job: busy(30), interrupt=True, timeout=0.2, max_attempts=1, prune=KEEP
    )

    job = queue.insert(1)

    seen.wait(gaffer.JobFailed, timeout=2)
    until(lambda: queue.info().workers.abandoned == 0, 2)
    [error] = queue.get(job.id).errors
    assert error.error["type"] == "timeout"
    assert "busy" in error.error["traceback"]
    assert seen.of(gaffer.JobLate) == []


def test_a_shot_waits_for_the_end_of_a_call_of_gaffer(storage: Storage) -> None:
    """F31."""
    seen = Recorder()
    passed: list[str] = []

    class Slow(MemoryDriver):
        def job_write(self, jobs: Sequence[gaffer.Job], connection: Any = None) -> list[gaffer.Job]:
            if jobs[0].queue == "target":
                until(lambda: seen.of(gaffer.JobFailed))  # the shot has been fired
                busy(0.05)
                passed.append("whole")
            return super().job_write(jobs, connection)

    def work(job: gaffer.Job) -> None:
        target.insert(None)
        passed.append("behind")

    with gaffer.Gaffer(Slow(storage), hooks=[seen]) as g:
        target = g.ensure_queue("target")
        queue = g.ensure_queue("q", worker=work, interrupt=True, timeout=0.05, max_attempts=1)
        queue.insert(None)
        until(lambda: seen.of(gaffer.JobFailed) and queue.info().workers.abandoned == 0)

    assert passed == ["whole"]


def test_calls_of_gaffer_from_shot_jobs_are_whole(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F31."""
    number = 150
    returned: list[UUID] = []
    target = g.ensure_queue("target", prune=KEEP)

    def work(job: gaffer.Job) -> None:
        while True:
            with gaffer.current().uninterruptible():
                returned.append(target.insert(job.payload).id)
            other = target.insert(None)
            g.cancel("target", other.id)
            g.info("target")

    queue = g.ensure_queue(
        "q",
        worker=work,
        interrupt=True,
        timeout=0.01,
        max_attempts=1,
        max_workers=4,
        max_abandoned=1000,
        prune=KEEP,
    )
    queue.insert_many(range(number))

    seen.wait(gaffer.JobFailed, number, timeout=60)
    until(lambda: queue.info().workers.abandoned == 0, 5)
    stored = driver.job_list(JobFilter(queue="target"))
    inserted = Counter(event.job.id for event in seen.of(gaffer.JobInserted))
    kept = [job.id for job in stored if job.payload is not None]
    assert sorted(kept) == sorted(returned)
    assert {job.id for job in stored} <= set(inserted)
    assert max(inserted.values()) == 1
    claimed = 0
    while True:
        with target.claim() as one:
            if one is None:
                break
            claimed += 1
    assert claimed == sum(job.state is gaffer.JobState.AVAILABLE for job in stored)


def test_a_locking_logger_survives_shot_jobs_that_log_inside_a_block(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F31."""
    handler = logging.Handler()
    handler.emit = lambda record: None  # type: ignore[method-assign]
    logger = logging.getLogger("tests.faults.jobs")
    logger.addHandler(handler)
    logger.propagate = False

    def work(job: gaffer.Job) -> None:
        while True:
            with gaffer.current().uninterruptible():
                logger.warning("working")

    queue = g.ensure_queue(
        "q", worker=work, interrupt=True, timeout=0.01, max_attempts=1, max_workers=4, prune=KEEP
    )
    queue.insert_many(range(200))

    seen.wait(gaffer.JobFailed, 200, timeout=30)
    assert handler.lock is not None
    free = handler.lock.acquire(timeout=2)
    assert free
    handler.lock.release()
    logger.removeHandler(handler)


class Pool:
    """A pool of connections as others make it: what tears between take and give back is lost."""

    def __init__(self, size: int) -> None:
        self.free = deque(range(size))
        self._changed = threading.Condition()

    @contextmanager
    def connection(self) -> Iterator[int]:
        with self._changed:
            while not self.free:
                if not self._changed.wait(5):
                    raise TimeoutError("the pool is dead")
            connection = self.free.popleft()
        busy(0.0001)
        try:
            yield connection
        finally:
            with self._changed:
                self.free.append(connection)
                self._changed.notify()


def test_a_contended_pool_is_whole_after_hundreds_of_shots(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F18, F31."""
    pool, number = Pool(2), 250

    def work(job: gaffer.Job) -> None:
        while True:
            with gaffer.current().uninterruptible(), pool.connection():
                busy(0.0005)

    queue = g.ensure_queue(
        "q",
        worker=work,
        interrupt=True,
        timeout=0.005,
        max_attempts=1,
        max_workers=6,
        max_abandoned=1000,
        prune=KEEP,
    )
    queue.insert_many(range(number))

    seen.wait(gaffer.JobFailed, number, timeout=60)
    until(lambda: queue.info().workers.abandoned == 0, 5)
    assert sorted(pool.free) == [0, 1]
    assert states(driver, "q") == {"failed": number}


def test_a_job_that_blocks_in_a_sleep_is_failed_in_time_and_abandoned_until_it_wakes(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F32."""
    queue = g.ensure_queue(
        "q",
        worker=lambda job: time.sleep(3.0 if job.payload == "slow" else 0),
        interrupt=True,
        timeout=0.1,
        max_attempts=1,
        max_workers=1,
        prune=KEEP,
    )
    began = time.monotonic()
    slow = queue.insert("slow")

    seen.wait(gaffer.JobFailed)
    assert time.monotonic() - began < 2.0
    assert queue.info().workers.abandoned == 1
    quick = queue.insert("quick")
    seen.wait(gaffer.JobCompleted)
    assert queue.info().workers.abandoned == 1

    until(lambda: queue.info().workers.abandoned == 0, 10)
    assert queue.get(slow.id).state is gaffer.JobState.FAILED
    assert queue.get(quick.id).state is gaffer.JobState.COMPLETED


def test_a_job_that_swallows_its_shot_is_abandoned_and_its_result_dropped(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F33."""
    home = threading.Event()

    def work(job: gaffer.Job) -> Any:
        while not home.is_set():
            with contextlib.suppress(BaseException):
                busy(0.05)
        return "late"

    queue = g.ensure_queue(
        "q", worker=work, interrupt=True, timeout=0.1, max_attempts=1, max_workers=1, prune=KEEP
    )
    job = queue.insert(1)
    seen.wait(gaffer.JobFailed)
    assert queue.info().workers.abandoned == 1

    home.set()

    [late] = seen.wait(gaffer.JobLate)
    until(lambda: queue.info().workers.abandoned == 0, 3)
    assert late.job.id == job.id
    assert queue.get(job.id).state is gaffer.JobState.FAILED
    assert queue.get(job.id).result is None


@pytest.mark.parametrize("interrupt", [False, True])
def test_a_shutdown_that_ends_a_job_releases_it_and_strikes_it_only_if_told_to(
    driver: MemoryDriver, seen: Recorder, *, interrupt: bool
) -> None:
    """F30, F40."""
    struck = threading.Event()
    home = threading.Event()
    inside = threading.Event()

    def work(job: gaffer.Job) -> None:
        inside.set()
        try:
            while not home.is_set():
                busy(0.01)
        except gaffer.JobTimeout:
            struck.set()
            raise

    g = gaffer.Gaffer(driver, hooks=[seen])
    queue = g.ensure_queue("q", worker=work, interrupt=interrupt, shutdown_timeout=0.2, prune=KEEP)
    job = queue.insert(1)
    assert inside.wait(5)

    g.stop()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt) == (gaffer.JobState.AVAILABLE, 0)
    assert struck.wait(1) is interrupt
    home.set()
