"""Drain and flush come back: when there is nothing left, or at their deadline, and say what is."""

from __future__ import annotations

import threading

import pytest

import gaffer
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, Gate, Recorder, states, took, until

SLACK = 0.15


def test_flush_waits_for_jobs_that_schedule_themselves_until_its_deadline(g: gaffer.Gaffer) -> None:
    """F57."""
    queue = g.ensure_queue("q", worker=lambda job: gaffer.Schedule(delay=0.001), prune=KEEP)
    queue.insert(1)

    with took(0.5, 0.5 + SLACK), pytest.raises(gaffer.FlushTimeout):
        queue.flush(0.5)


def test_flush_waits_for_jobs_that_insert_others(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F57."""

    def work(job: gaffer.Job) -> None:
        if job.payload < 30:
            g.insert("q", job.payload + 1)

    queue = g.ensure_queue("q", worker=work, prune=KEEP)
    queue.insert(0)

    queue.flush(10)

    assert states(driver, "q") == {"completed": 31}


def test_flush_names_what_waits_for_a_far_retry(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F57."""

    def work(job: gaffer.Job) -> None:
        raise ValueError

    queue = g.ensure_queue("q", worker=work, backoff=3600, prune=KEEP)
    queue.insert(1)
    seen.wait(gaffer.JobFailed)

    with took(0.3, 0.3 + SLACK), pytest.raises(gaffer.FlushTimeout) as caught:
        queue.flush(0.3)

    assert (caught.value.available, caught.value.executing) == (1, 0)


def test_flush_says_that_the_queue_is_paused(g: gaffer.Gaffer) -> None:
    """F57."""
    queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    queue.pause()
    queue.insert(1)

    with took(0.3, 0.3 + SLACK), pytest.raises(gaffer.FlushTimeout) as caught:
        queue.flush(0.3)

    assert caught.value.paused is True
    assert caught.value.available == 1


def test_flush_waits_for_the_jobs_of_another_process(storage: Storage) -> None:
    """F57."""
    gate = Gate()
    with (
        gaffer.Gaffer(MemoryDriver(storage=storage)) as mine,
        gaffer.Gaffer(MemoryDriver(storage=storage)) as other,
    ):
        mine.ensure_queue("q", prune=KEEP)
        other.ensure_queue("q", worker=gate, prune=KEEP)
        mine.insert("q", 1)
        gate.wait()

        with took(0.3, 0.3 + SLACK), pytest.raises(gaffer.FlushTimeout) as caught:
            mine.flush("q", 0.3)
        threading.Timer(0.2, gate.open.set).start()
        mine.flush("q", 5)

    assert (caught.value.available, caught.value.executing) == (0, 1)


def test_flush_of_an_idle_queue_returns_at_once(g: gaffer.Gaffer) -> None:
    """F57."""
    queue = g.ensure_queue("q", worker=lambda job: None)

    with took(0, SLACK):
        queue.flush()


def test_flush_keeps_its_deadline_while_storage_does_not_answer(driver: MemoryDriver) -> None:
    """F57."""
    faulty = FaultyDriver(driver)
    with gaffer.Gaffer(faulty) as g:
        queue = g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
        queue.insert(1, delay=60)
        faulty.fail("job_list", times=None)

        with took(0, 0.3 + SLACK), pytest.raises((gaffer.FlushTimeout, gaffer.DriverUnavailable)):
            queue.flush(0.3)

        faulty.heal()


def test_a_job_that_flushes_or_drains_its_own_queue_is_refused_at_once(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F57."""
    errors: list[str] = []

    def work(job: gaffer.Job) -> None:
        for call in (g.flush, g.drain):
            with took(0, SLACK), pytest.raises(TimeoutError) as caught:
                call("q", 10)
            errors.append(type(caught.value).__name__)

    queue = g.ensure_queue("q", worker=work, max_attempts=1, prune=KEEP)

    queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    assert errors == ["FlushTimeout", "DrainTimeout"]


def test_a_job_may_flush_another_queue(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F57."""
    g.ensure_queue("other", worker=lambda job: None, prune=KEEP)

    def work(job: gaffer.Job) -> None:
        g.insert("other", 1)
        g.flush("other", 5)

    queue = g.ensure_queue("q", worker=work, max_attempts=1, prune=KEEP)

    queue.insert(1)

    seen.wait(gaffer.JobCompleted, 2)


def test_drain_waits_for_what_runs_and_claims_no_more(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F57."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, max_workers=2, prune=KEEP)
    queue.insert_many(range(5))
    gate.wait(2)
    threading.Timer(0.2, gate.open.set).start()

    queue.drain(5)

    assert states(driver, "q") == {"completed": 2, "available": 3}
    assert queue.info().status == "paused"
    queue.resume()
    queue.flush(5)
    assert states(driver, "q") == {"completed": 5}


def test_drain_keeps_its_deadline_and_names_what_runs(g: gaffer.Gaffer) -> None:
    """F57."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, max_workers=3, prune=KEEP)
    jobs = queue.insert_many(range(3))
    gate.wait(3)

    with took(0.3, 0.3 + SLACK), pytest.raises(gaffer.DrainTimeout) as caught:
        queue.drain(0.3)

    assert set(caught.value.ids) == {job.id for job in jobs}
    gate.open.set()


def test_drain_ends_although_jobs_schedule_themselves(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F57."""
    queue = g.ensure_queue("q", worker=lambda job: gaffer.Schedule(delay=0), prune=KEEP)
    queue.insert(1)
    seen.wait(gaffer.JobScheduled, 5)

    with took(0, 1):
        queue.drain(5)

    assert states(driver, "q") == {"available": 1}


def test_drain_does_not_wait_for_another_process(storage: Storage) -> None:
    """F57."""
    gate = Gate()
    with (
        gaffer.Gaffer(MemoryDriver(storage=storage)) as mine,
        gaffer.Gaffer(MemoryDriver(storage=storage)) as other,
    ):
        other.ensure_queue("q", worker=gate, prune=KEEP)
        other.insert("q", 1)
        gate.wait()
        mine.ensure_queue("q", worker=lambda job: None, prune=KEEP)

        with took(0, SLACK):
            mine.drain("q", 5)

        gate.open.set()


@pytest.mark.parametrize("hold", ["job_write", "job_claim"])
def test_drain_keeps_its_deadline_while_storage_hangs(driver: MemoryDriver, hold: str) -> None:
    """F57."""
    faulty = FaultyDriver(driver)
    with gaffer.Gaffer(faulty) as g:
        gate = Gate()
        queue = g.ensure_queue("q", worker=gate, max_workers=2, prune=KEEP)
        queue.insert(1)
        gate.wait()
        with faulty.block(hold) as held:
            gate.open.set()
            assert held.entered.wait(5)

            with took(0, 0.3 + SLACK), pytest.raises(gaffer.DrainTimeout):
                queue.drain(0.3)

        until(lambda: states(driver, "q") == {"completed": 1})
