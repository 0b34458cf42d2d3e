"""An exception at any moment of the memory driver, as Ctrl-C throws it, leaves storage whole."""

from __future__ import annotations

import contextlib
import gc
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from gaffer.driver import Claim, Conflict, Job, JobFilter, JobState, evolve
from gaffer.ids import job_id
from gaffer_driver_memory import MemoryDriver, Storage


class Torn(KeyboardInterrupt):
    """What is thrown."""


class Alarm:
    """Raises in the main thread after some microseconds, as a signal does.

    What was caught last is kept, as the interpreter does at its end: its frames stay alive.
    """

    def __init__(self) -> None:
        self._armed = False
        self.last: Torn | None = None
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, *_: object) -> None:
        if self._armed:
            self._armed = False
            raise Torn

    def tears(self, call: Callable[[], object], seconds: float) -> bool:
        """Make *call*; return whether it was struck after *seconds*."""
        gc.disable()  # what it calls is not to be struck
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
            with contextlib.suppress(Conflict):
                call()
            self._armed = False
        except Torn as torn:
            self.last = torn
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            gc.enable()
        return False


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    before = signal.getsignal(signal.SIGALRM)
    yield Alarm()
    signal.signal(signal.SIGALRM, before)


class Life:
    """A storage with jobs of all kinds, and random verbs on it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.storage = Storage()
        self.driver = MemoryDriver(storage=self.storage)
        self.driver.queue_insert("q")
        self.known: set[UUID] = set()

    def new(self) -> Job:
        chain = self.chance.choice([None, None, "a", "b"])
        later = self.chance.choice([None, None, self.driver.now() - timedelta(seconds=1)])
        job = Job(
            id=job_id(),
            queue="q",
            chain=chain,
            payload_json="1",
            max_attempts=3,
            timeout=30.0,
            backoff=(1.0,),
            shutdown_timeout=5.0,
            created_at=self.driver.now(),
            scheduled_at=later,
        )
        self.known.add(job.id)
        return job

    def claim(self) -> list[Job]:
        return self.driver.job_claim(
            Claim(queue="q", limit=3, global_max_workers=None, node="n", now=self.driver.now())
        )

    def any(self, *states: JobState) -> list[Job]:
        jobs = self.driver.job_list(JobFilter(queue="q", states=frozenset(states)))
        return self.chance.sample(jobs, min(3, len(jobs)))

    def settled(self) -> list[Job]:
        now = self.driver.now()
        return [
            evolve(job, state=state, revision=job.revision + 1, completed_at=now, scheduled_at=None)
            for job in self.any(JobState.EXECUTING)
            for state in [self.chance.choice([JobState.AVAILABLE, JobState.COMPLETED])]
        ]

    def call(self) -> Callable[[], object]:
        driver = self.driver
        match self.chance.randrange(6):
            case 0 | 1:
                fresh = [self.new() for _ in range(self.chance.randint(1, 4))]
                return lambda: driver.job_write(fresh)
            case 2:
                return self.claim
            case 3:
                settled = self.settled()
                return lambda: driver.job_write(settled)
            case 4:
                gone = self.any(*JobState)[:1]
                return lambda: [driver.job_delete(job.id) for job in gone]
            case _:
                return lambda: driver.job_prune("q", {JobState.COMPLETED: "all"}, 2)


def test_jobs_and_indexes_agree_after_exceptions_at_random_moments(
    alarm: Alarm, chance: random.Random
) -> None:
    """F41, F64."""
    life = Life(chance)
    hits = 0

    for _ in range(1200):
        hits += alarm.tears(life.call(), life.chance.uniform(1e-6, 150e-6))
        _agrees(life)

    assert hits > 50
    _all_can_be_claimed(life)


def _agrees(life: Life) -> None:
    assert life.storage.lock.acquire(timeout=1), "the lock was lost"
    life.storage.lock.release()
    truth = Counter(job.state for job in life.storage.jobs.values())
    stats = life.driver.job_stats("q")
    assert {state: stats[state].count for state in JobState if stats[state].count} == truth
    listed = life.driver.job_list(JobFilter(queue="q"))
    assert {job.id.int for job in listed} == set(life.storage.jobs)
    executing = {key for key, job in life.storage.jobs.items() if job.state is JobState.EXECUTING}
    assert set(life.storage.holders) == executing


def _all_can_be_claimed(life: Life) -> None:
    def unfinished() -> Iterator[Job]:
        yield from life.driver.job_list(
            JobFilter(queue="q", states=frozenset({JobState.AVAILABLE, JobState.EXECUTING}))
        )

    rounds = 0
    while jobs := list(unfinished()):
        rounds += 1
        assert rounds < 5000, f"{len(jobs)} jobs cannot be claimed"
        now = life.driver.now()
        life.driver.job_write(
            [
                evolve(job, state=JobState.COMPLETED, revision=job.revision + 1, completed_at=now)
                for job in jobs
                if job.state is JobState.EXECUTING
            ]
        )
        life.claim()
    assert set(life.driver.job_stats("q")) == set(JobState)


@pytest.mark.parametrize("size", [1, 5])
def test_a_torn_write_keeps_all_of_its_batch_or_nothing(
    alarm: Alarm, chance: random.Random, size: int
) -> None:
    """F41."""
    kept: Counter[int] = Counter()
    lives = [Life(chance) for _ in range(600)]  # kept: no storage dies while an alarm is set

    for life in lives:
        batch = [life.new() for _ in range(size)]
        alarm.tears(lambda: life.driver.job_write(batch), chance.uniform(1e-6, 80e-6))  # noqa: B023
        _agrees(life)
        kept[len(life.storage.jobs)] += 1

    assert set(kept) == {0, size}
