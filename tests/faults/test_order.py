"""Priority, overflow, endless failures, cancel against claim, and pauses that all obey."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, Gate, Recorder, states, together, until


def test_a_higher_priority_always_goes_first(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F52."""
    order: list[int] = []
    gate = Gate()

    def work(job: gaffer.Job) -> None:
        if job.payload == "first":
            gate(job)
        else:
            order.append(job.payload)

    queue = g.ensure_queue("q", worker=work, max_workers=1, prune=KEEP)
    queue.insert("first", priority=100)
    gate.wait()
    queue.insert(0, priority=0)
    queue.insert_many([10] * 20, priority=10)
    queue.insert(-1, priority=-1)

    gate.open.set()

    seen.wait(gaffer.JobCompleted, 23)
    assert order == [10] * 20 + [0, -1]


def test_a_retried_job_keeps_its_place_by_priority_and_age(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F52."""
    order: list[tuple[int, int]] = []
    queue = g.ensure_queue("q", max_workers=1, backoff=0, prune=KEEP)
    queue.insert_many(range(4))

    def work(job: gaffer.Job) -> None:
        order.append((job.payload, job.attempt))
        if job.payload == 0 and job.attempt < 2:
            raise ValueError

    g.ensure_queue("q", worker=work, max_workers=1, backoff=0, prune=KEEP)

    seen.wait(gaffer.JobCompleted, 4)
    assert order == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]


def test_the_errors_of_a_job_that_fails_for_ever_are_bounded(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F53."""

    def work(job: gaffer.Job) -> None:
        raise ValueError("x" * 100_000)

    queue = g.ensure_queue("q", worker=work, max_attempts=300, backoff=0, prune=KEEP)

    job = queue.insert(1)

    until(lambda: queue.get(job.id).state is gaffer.JobState.FAILED)
    stored = queue.get(job.id)
    assert [error.attempt for error in stored.errors] == [300, *range(299, 291, -1), 1]
    assert len(json.dumps([error.error for error in stored.errors])) < 200_000


def test_a_job_that_schedules_itself_has_no_errors_and_loses_no_attempt(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F53."""
    runs: list[int] = []

    def work(job: gaffer.Job) -> gaffer.Schedule | None:
        runs.append(job.attempt)
        return gaffer.Schedule(delay=0) if len(runs) < 200 else None

    queue = g.ensure_queue("q", worker=work, prune=KEEP)

    job = queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    assert (set(runs), queue.get(job.id).attempt, queue.get(job.id).errors) == ({0}, 1, ())


INT32 = 2**31 - 1
REFUSED: list[dict[str, Any]] = [
    {"priority": INT32 + 1},
    {"priority": -INT32 - 2},
    {"priority": True},
    {"timeout": 0},
    {"timeout": float("inf")},
    {"timeout": float("nan")},
    {"timeout": 10**400},
    {"backoff": 1e9},
    {"backoff": [1, -1]},
    {"backoff": []},
    {"max_attempts": INT32 + 1},
    {"max_attempts": 0},
    {"shutdown_timeout": -1},
    {"delay": -1},
    {"delay": timedelta.max},
    {"scheduled_at": datetime(2026, 1, 1)},  # noqa: DTZ001
    {"scheduled_at": "2026-01-01"},
]
TAKEN: list[dict[str, Any]] = [
    {"priority": INT32},
    {"priority": -INT32 - 1},
    {"timeout": 0.001},
    {"timeout": timedelta(days=1)},
    {"backoff": 366 * 86400},
    {"backoff": gaffer.Exponential(base=1, factor=1e6, maximum=366 * 86400)},
    {"max_attempts": INT32},
    {"delay": 366 * 86400 * 100},
    {"scheduled_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)},
    {"scheduled_at": datetime(1, 1, 1, tzinfo=UTC)},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_options_out_of_range_are_refused_and_named(
    g: gaffer.Gaffer, options: dict[str, Any]
) -> None:
    """F54."""
    queue = g.ensure_queue("q")

    with pytest.raises(gaffer.InvalidJob) as caught:
        queue.insert(1, **options)

    assert caught.value.keys == set(options)
    assert queue.list() == []


@pytest.mark.parametrize("options", TAKEN, ids=str)
def test_options_at_the_edge_are_kept_and_a_failure_under_them_is_recorded(
    g: gaffer.Gaffer, options: dict[str, Any]
) -> None:
    """F54."""
    queue = g.ensure_queue("q", prune=KEEP)
    job = queue.insert(1, **options)

    with queue.claim() as claimed:
        if claimed is not None:
            claimed.fail("on purpose")

    stored = queue.get(job.id)
    assert stored.state is gaffer.JobState.AVAILABLE
    assert len(stored.errors) == (claimed is not None)
    queue.stats()


def test_an_exponential_backoff_never_overflows(g: gaffer.Gaffer) -> None:
    """F54."""
    queue = g.ensure_queue("q", prune=KEEP)
    backoff = gaffer.Exponential(base=1e-3, factor=1e6, maximum=1e-3)
    job = queue.insert(1, backoff=backoff, max_attempts=1000)

    def fail() -> bool:
        with queue.claim() as claimed:
            if claimed is not None:
                claimed.fail("again")
        return bool(queue.get(job.id).attempt >= 120)

    until(fail)

    assert queue.get(job.id).attempt == 120


def test_each_job_is_either_cancelled_or_executed(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F55."""
    runs: Counter[UUID] = Counter()
    queue = g.ensure_queue("q", prune=KEEP)
    jobs = queue.insert_many(range(5000))
    cancelled: list[UUID] = []
    refused: list[UUID] = []

    def cancel() -> None:
        for job in reversed(jobs):
            try:
                cancelled.append(queue.cancel(job.id).id)
            except gaffer.InvalidTransition:
                refused.append(job.id)

    def work() -> None:
        g.ensure_queue("q", worker=lambda job: runs.update([job.id]), max_workers=4, prune=KEEP)

    together([cancel, work], 60)
    queue.flush(30)

    assert set(cancelled).isdisjoint(runs)
    assert set(refused) == set(runs)
    assert {*cancelled, *runs} == {job.id for job in jobs}
    assert max(runs.values(), default=1) == 1
    assert cancelled
    assert states(driver, "q") == Counter(completed=len(runs), cancelled=len(cancelled)) + Counter()


def test_cancel_and_claim_by_hand_never_both_win(g: gaffer.Gaffer) -> None:
    """F55."""
    queue = g.ensure_queue("q", prune=KEEP)
    jobs = queue.insert_many(range(1500))
    cancelled: set[UUID] = set()
    executed: set[UUID] = set()

    def cancel() -> None:
        for job in jobs:
            try:
                cancelled.add(queue.cancel(job.id).id)
            except gaffer.InvalidTransition:
                continue

    def claim() -> None:
        while queue.list(state="available", limit=1):
            with queue.claim() as job:
                if job is not None:
                    executed.add(job.id)

    together([cancel, claim, claim], 60)

    assert cancelled.isdisjoint(executed)
    assert len(cancelled) + len(executed) == 1500


def test_a_pause_is_obeyed_by_every_process_and_survives_a_restart(storage: Storage) -> None:
    """F56."""
    ran: list[str] = []
    claimed = threading.Event()
    a = gaffer.Gaffer(MemoryDriver(storage=storage))
    b = gaffer.Gaffer(MemoryDriver(storage=storage))
    a.ensure_queue("q", prune=KEEP)
    b.ensure_queue(
        "q",
        worker=lambda job: ran.append("b"),
        poll_interval=0.01,
        prune=KEEP,
        hooks=[lambda event: claimed.set() if isinstance(event, gaffer.JobsClaimed) else None],
    )

    a.pause("q")
    a.insert_many("q", range(5))

    assert not claimed.wait(0.3)
    assert b.info("q").status == "paused"
    b.stop()
    with gaffer.Gaffer(MemoryDriver(storage=storage)) as c:
        c.ensure_queue("q", worker=lambda job: ran.append("c"), prune=KEEP)
        assert c.info("q").status == "paused"
        with pytest.raises(gaffer.AlreadyPaused):
            c.pause("q")
        a.resume("q")
        c.flush("q", 10)
    assert ran == ["c"] * 5
    a.stop()
