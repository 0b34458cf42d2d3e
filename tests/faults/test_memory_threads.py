"""The memory driver under threads: each job claimed once, and no verb grows with the backlog."""

from __future__ import annotations

import time
from collections import Counter
from uuid import UUID

import gaffer
from gaffer.driver import Claim, Job, JobFilter, JobState, evolve
from gaffer.ids import job_id
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, states, together


def fresh(driver: MemoryDriver) -> Job:
    return Job(
        id=job_id(),
        queue="q",
        payload_json="null",
        max_attempts=1,
        timeout=30.0,
        backoff=(1.0,),
        shutdown_timeout=5.0,
        created_at=driver.now(),
    )


def claim(driver: MemoryDriver, limit: int, node: str, most: int | None = None) -> list[Job]:
    return driver.job_claim(
        Claim(queue="q", limit=limit, global_max_workers=most, node=node, now=driver.now())
    )


def done(driver: MemoryDriver, job: Job) -> Job:
    return evolve(
        job, state=JobState.COMPLETED, revision=job.revision + 1, completed_at=driver.now()
    )


def test_no_job_is_claimed_twice_and_no_limit_exceeded_by_many_threads() -> None:
    """F64."""
    storage = Storage()
    drivers = [MemoryDriver(storage=storage) for _ in range(4)]
    drivers[0].queue_insert("q")
    drivers[0].job_write([fresh(drivers[0]) for _ in range(2000)])
    claims: Counter[UUID] = Counter()
    most: list[int] = []

    def work(driver: MemoryDriver) -> None:
        idle = 0
        while idle < 50:
            jobs = claim(driver, 3, str(id(driver)), 7)
            idle = 0 if jobs else idle + 1
            claims.update(job.id for job in jobs)
            most.append(driver.job_stats("q")[JobState.EXECUTING].count)
            if jobs:
                driver.job_write([done(driver, job) for job in jobs])

    together([lambda driver=driver: work(driver) for driver in drivers], 60)  # type: ignore[misc]

    assert len(claims) == 2000
    assert set(claims.values()) == {1}
    assert 3 <= max(most) <= 7


def test_insert_claim_and_settle_take_no_longer_with_a_backlog() -> None:
    """F64."""

    def seconds(backlog: int) -> float:
        driver = MemoryDriver(storage=Storage())
        driver.queue_insert("q")
        for _ in range(backlog // 1000):
            driver.job_write([fresh(driver) for _ in range(1000)])
        best = 9.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(100):
                driver.job_write([fresh(driver)])
                [job] = claim(driver, 1, "n")
                driver.job_write([done(driver, job)])
            best = min(best, time.perf_counter() - began)
        return best

    small, large = seconds(1000), seconds(50_000)

    assert large < 5 * small + 0.01, (small, large)


def test_everything_at_once_on_one_storage_keeps_the_account() -> None:
    """F64."""
    storage = Storage()
    runs: Counter[UUID] = Counter()
    gaffers = [gaffer.Gaffer(MemoryDriver(storage=storage)) for _ in range(3)]
    for g in gaffers:
        g.ensure_queue(
            "q",
            worker=lambda job: runs.update([job.id]),
            max_workers=3,
            global_max_workers=5,
            prune=KEEP,
        )
    inserted: list[UUID] = []
    cancelled: list[UUID] = []
    deleted: list[UUID] = []

    def insert(g: gaffer.Gaffer) -> None:
        for number in range(150):
            job = g.insert("q", number, chain=f"c{number % 7}" if number % 2 else None)
            inserted.append(job.id)
            try:
                if number % 10 == 0:
                    cancelled.append(g.cancel("q", job.id).id)
                elif number % 15 == 0:
                    g.delete("q", job.id)
                    deleted.append(job.id)
            except gaffer.InvalidTransition:
                continue

    together([lambda g=g: insert(g) for g in gaffers], 60)  # type: ignore[misc]
    for g in gaffers:
        g.flush("q", 20)

    driver = MemoryDriver(storage=storage)
    kept = {job.id for job in driver.job_list(JobFilter(queue="q"))}
    assert kept == set(inserted) - set(deleted)
    assert states(driver, "q")["cancelled"] == len(cancelled)
    assert states(driver, "q")["completed"] == len(kept) - len(cancelled)
    assert set(runs.values()) == {1}
    assert set(runs).isdisjoint(cancelled)
    for g in gaffers:
        g.stop()
