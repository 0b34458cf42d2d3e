"""Chains under load: whatever happens to their jobs, one runs at a time and none waits for ever."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import psycopg
import pytest

from gaffer import Conflict, Gaffer, InvalidTransition, Job, JobState, Queue, UnknownJob
from gaffer.driver import Driver
from gaffer_driver_postgres import PostgresDriver
from tests.rig.audit import Audit
from tests.rig.waiting import KEEP, PATIENCE, together

from .conftest import MakeDriver
from .verbs import claim, completed, failed, incomplete, moved, released, seeded

CHAINS = ["a", "b", "c", None]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers."""
    return seeded(request)


@pytest.fixture
def queue(driver: PostgresDriver) -> Iterator[Queue]:
    """Give a queue that keeps what has ended, and that nobody works."""
    with Gaffer(driver, work=False) as g:
        yield g.ensure_queue("q", prune=KEEP, max_attempts=1000, backoff=0.0)


@pytest.fixture
def audit(admin: psycopg.Connection, queue: Queue, schema: str) -> Audit:
    """Give the account of what happens to jobs."""
    return Audit(admin, schema)


class Claimers:
    """Threads that claim and settle, each by a driver of its own, until all is done."""

    def __init__(self, drivers: Sequence[Driver], seed: int) -> None:
        self.calls = [
            partial(self._work, driver, random.Random(seed + number))
            for number, driver in enumerate(drivers)
        ]
        self.over = threading.Event()
        """Whether nothing is inserted any more."""
        self.outcomes: Counter[str] = Counter()

    def _work(self, driver: Driver, chance: random.Random) -> None:
        moved_at = time.monotonic()
        while True:
            jobs = claim(driver, chance.randint(1, 4))
            if jobs:
                moved_at = time.monotonic()
                self._settle(driver, [self._end(driver, job, chance) for job in jobs], chance)
            elif self.over.is_set() and not incomplete(driver):
                return
            left = incomplete(driver) if time.monotonic() > moved_at + 5 else []
            assert not left, f"nothing can be claimed of {left}"

    def _end(self, driver: Driver, job: Job, chance: random.Random) -> Job:
        ending = Counter({"complete": 6, "fail": 2, "schedule": 1, "later": 1})
        [how] = chance.choices([*ending], [*ending.values()])
        self.outcomes[how] += 1
        if how == "complete":
            return completed(driver, job)
        if how == "fail":
            return failed(driver, job)
        return released(driver, job, 0.0 if how == "schedule" else chance.random() / 50)

    def _settle(self, driver: Driver, jobs: list[Job], chance: random.Random) -> None:
        chance.shuffle(jobs)
        try:
            driver.job_write(jobs)
        except Conflict as conflict:  # some were deleted
            self.outcomes["gone"] += len(conflict.ids)
            self._settle(driver, [job for job in jobs if job.id not in conflict.ids], chance)


class Disturber:
    """Does to the jobs of a queue whatever a user, or another process, might do."""

    def __init__(self, queue: Queue, driver: Driver, chance: random.Random) -> None:
        self._queue = queue
        self._driver = driver
        self._chance = chance
        self.done: Counter[str] = Counter()

    def once(self) -> None:
        """Do one thing to the first job of a chain, or to any."""
        jobs = self._queue.list(state="incomplete")
        chain = self._chance.choice(CHAINS)
        line = [job for job in jobs if job.state is JobState.AVAILABLE and job.chain == chain]
        line.sort(key=lambda job: (-job.priority, job.created_at, job.id))
        if not jobs:
            return
        job = line[0] if line and self._chance.random() < 0.7 else self._chance.choice(jobs)
        deed = self._chance.choice([self._cancel, self._delete, self._move, self._prune])
        try:
            deed(job)
            self.done[deed.__name__] += 1
        except (Conflict, InvalidTransition, UnknownJob):
            self.done["too late"] += 1

    def _cancel(self, job: Job) -> None:
        self._queue.cancel(job.id)

    def _delete(self, job: Job) -> None:
        self._driver.job_delete(job.id)

    def _move(self, job: Job) -> None:
        if job.state is JobState.AVAILABLE:
            delay = self._chance.choice([0.0, 0.01, 0.02])
            self._driver.job_write([moved(self._driver, job, self._chance.randint(-2, 2), delay)])

    def _prune(self, job: Job) -> None:
        self._driver.job_prune("q", {job.state: "all"}, 2)


def insert(queue: Queue, chance: random.Random, connection: psycopg.Connection | None) -> None:
    """Insert some jobs."""
    for _ in range(chance.randint(1, 5)):
        queue.insert(
            None,
            chain=chance.choice(CHAINS),
            priority=chance.randint(-1, 1),
            delay=chance.choice([None, None, 0.01]),
            connection=connection,
        )


def insert_there(queue: Queue, chance: random.Random, connection: psycopg.Connection) -> None:
    """Insert some jobs in a transaction, which may be rolled back."""
    insert(queue, chance, connection)
    if chance.random() < 0.2:
        connection.rollback()
    else:
        connection.commit()


@pytest.fixture
def drivers(make_driver: MakeDriver) -> list[PostgresDriver]:
    """Give started drivers on one schema."""
    made = [make_driver() for _ in range(4)]
    for driver in made:
        driver.start()
    return made


def repeat(times: int, deed: Callable[[], object]) -> None:
    """Do the same so many times."""
    for _ in range(times):
        deed()


def rounds(seconds: float, claimers: Claimers, *deeds: tuple[int, Callable[[], object]]) -> None:
    """Do each deed so many times while others claim, and have all drained; again and again."""
    until = time.monotonic() + seconds

    def do_all() -> None:
        try:
            together([partial(repeat, times, deed) for times, deed in deeds], PATIENCE)
        finally:
            claimers.over.set()

    while time.monotonic() < until:
        claimers.over.clear()
        together([do_all, *claimers.calls], PATIENCE)


def test_jobs_inserted_into_a_chain_from_everywhere_run_one_at_a_time_and_all_of_them(
    server: str,
    queue: Queue,
    audit: Audit,
    drivers: list[PostgresDriver],
    chance: random.Random,
) -> None:
    claimers = Claimers(drivers[:3], chance.getrandbits(32))

    with psycopg.connect(server) as one, psycopg.connect(server) as two:
        rounds(
            4.0,
            claimers,
            (3, lambda: insert(queue, chance, None)),
            (3, lambda: insert_there(queue, chance, one)),
            (3, lambda: insert_there(queue, chance, two)),
        )

    assert audit.most_in_chain() == 1
    assert {job.state for job in queue.list()} == {JobState.COMPLETED}
    assert min(claimers.outcomes[how] for how in ("complete", "fail", "schedule", "later")) > 5


def test_chains_drain_whatever_is_done_to_their_first_jobs(
    server: str,
    queue: Queue,
    audit: Audit,
    drivers: list[PostgresDriver],
    chance: random.Random,
) -> None:
    claimers = Claimers(drivers[:3], chance.getrandbits(32))
    disturber = Disturber(queue, drivers[3], chance)

    with psycopg.connect(server) as own:
        rounds(
            6.0,
            claimers,
            (4, lambda: insert(queue, chance, None)),
            (4, lambda: insert_there(queue, chance, own)),
            (6, disturber.once),
            (6, disturber.once),
        )

    assert audit.most_in_chain() == 1
    assert {job.state for job in queue.list()} <= {JobState.COMPLETED, JobState.CANCELLED}
    assert min(disturber.done[deed] for deed in ("_cancel", "_delete", "_move", "_prune")) > 5
    assert claimers.outcomes["complete"] > 20
