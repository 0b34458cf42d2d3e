"""Calls that meet in one job or one queue, from several drivers: one of the two comes first."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import psycopg
import pytest

from gaffer import (
    Conflict,
    DriverUnavailable,
    Gaffer,
    InvalidTransition,
    Job,
    JobState,
    Queue,
    QueueHasJobs,
    UnknownQueue,
)
from gaffer.driver import Driver
from gaffer_driver_postgres import PostgresDriver
from tests.rig.waiting import KEEP, PATIENCE, stored_ids, together, until

from .conftest import MakeDriver
from .verbs import claim, completed, failed, released, seeded

Handles = Callable[[int], Sequence[PostgresDriver]]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers."""
    return seeded(request)


@pytest.fixture
def handles(make_driver: MakeDriver) -> Handles:
    """Give a factory of several started drivers on one schema."""

    def make(number: int) -> Sequence[PostgresDriver]:
        made = [make_driver() for _ in range(number)]
        for driver in made:
            driver.start()
        return made

    return make


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works nothing itself."""
    with Gaffer(driver, work=False) as made:
        yield made


@pytest.fixture
def queue(g: Gaffer) -> Queue:
    """Give a queue that keeps what has ended."""
    return g.ensure_queue("q", prune=KEEP)


def in_step(*calls: Callable[[], object]) -> None:
    """Make all *calls* at the same moment, each in its own thread."""
    gate = threading.Barrier(len(calls))

    def make(call: Callable[[], object]) -> None:
        gate.wait(PATIENCE)
        call()

    together([partial(make, call) for call in calls])


def play(round_: Callable[[], object], met: Callable[[], bool], least: int) -> None:
    """Play *least* rounds, and more until both sides have won often enough, at most so many."""
    for number in range(20 * least):
        if number >= least and met():
            return
        round_()
    assert met(), f"one side did not win often enough in {20 * least} rounds"


def is_past(driver: Driver, instant: datetime) -> bool:
    """Return whether an instant is past, by the server's clock."""
    return driver.now() > instant


def drain(driver: Driver, into: list[UUID], limit: int = 1) -> None:
    """Claim until there is nothing left."""
    while jobs := claim(driver, limit):
        into += [job.id for job in jobs]


def test_each_job_is_either_claimed_or_cancelled(
    g: Gaffer, queue: Queue, handles: Handles, chance: random.Random
) -> None:
    """F55."""
    [there] = handles(1)
    claimed: list[UUID] = []
    gone: list[UUID] = []
    refused: list[UUID] = []

    def cancel_all(jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                gone.append(g.cancel("q", job.id).id)
            except InvalidTransition:
                refused.append(job.id)

    inserted: list[Job] = []

    def race() -> None:
        jobs = queue.insert_many([None] * 20)
        inserted.extend(jobs)
        line = jobs if chance.random() < 0.5 else jobs[::-1]
        in_step(partial(cancel_all, line), partial(drain, there, claimed))

    play(race, lambda: min(len(claimed), len(gone)) > 100, 100)

    assert len(claimed) + len(gone) == len(inserted)
    assert set(claimed) == set(refused)
    assert {job.id for job in queue.list(state="executing")} == set(claimed)
    assert {job.id for job in queue.list(state="cancelled")} == set(gone)


def test_a_job_that_is_deleted_while_it_is_claimed_does_not_come_back(
    driver: PostgresDriver, queue: Queue, handles: Handles
) -> None:
    """F55."""
    here, there, third = handles(3)
    deleted: list[UUID] = []
    ends: Counter[str] = Counter()

    def work() -> None:
        while jobs := claim(here):
            try:
                here.job_write([completed(here, job) for job in jobs])
                ends["written"] += 1
            except Conflict:
                ends["refused"] += 1

    def delete_all(handle: Driver, jobs: Sequence[Job]) -> None:
        deleted.extend(job.id for job in jobs if handle.job_delete(job.id))

    inserted: list[Job] = []

    def race() -> None:
        jobs = queue.insert_many([None] * 20)
        inserted.extend(jobs)
        in_step(
            work,
            partial(delete_all, there, jobs[::-1]),
            partial(delete_all, third, jobs[10:] + jobs[:10]),
        )

    play(race, lambda: min(ends["written"], ends["refused"]) > 0, 15)

    assert len(deleted) == len(inserted)
    assert set(deleted) == {job.id for job in inserted}
    assert stored_ids(driver) == []


def test_each_job_is_either_claimed_or_pruned(queue: Queue, handles: Handles) -> None:
    """F59."""
    here, there = handles(2)
    claimed: list[UUID] = []
    pruned: list[UUID] = []

    def prune() -> None:
        while ids := there.job_prune("q", {JobState.AVAILABLE: "all"}, 2):
            pruned.extend(ids)

    inserted: list[Job] = []

    def race() -> None:
        inserted.extend(queue.insert_many([None] * 20))
        in_step(prune, lambda: drain(here, claimed, 2))
        left = [job.id for job in queue.list(state="available")]
        assert left == [], "both passed it over, because the other one had it"

    play(race, lambda: min(len(claimed), len(pruned)) > 20, 25)

    assert len(set(claimed) | set(pruned)) == len(claimed) + len(pruned) == len(inserted)


def test_no_claim_within_a_pause_gets_a_job(
    driver: PostgresDriver, queue: Queue, handles: Handles
) -> None:
    """F56."""
    queue.insert_many([None] * 3000)
    found: list[tuple[float, float, int]] = []
    pauses: list[tuple[float, float]] = []
    over = threading.Event()

    def work(handle: Driver) -> None:
        while not over.is_set():
            began = time.monotonic()
            number = len(claim(handle, 2))
            found.append((began, time.monotonic(), number))

    def claimed_since(seen: int, times: int) -> bool:
        return len(found) >= seen + times

    def pause() -> None:
        for _ in range(40):
            driver.queue_pause("q", True)
            paused_at, seen = time.monotonic(), len(found)
            until(partial(claimed_since, seen, 6))
            pauses.append((paused_at, time.monotonic()))
            driver.queue_pause("q", False)
            until(partial(claimed_since, len(found), 2))
        over.set()

    together([pause, *(partial(work, handle) for handle in handles(2))])

    within = [n for a, z, n in found for first, last in pauses if first <= a and z <= last]
    assert len(within) >= 40
    assert sum(within) == 0


def test_an_insert_while_its_queue_is_deleted_is_there_with_it_or_raises(
    server: str, schema: str, admin: psycopg.Connection, handles: Handles
) -> None:
    *inserting, deleting = handles(3)
    deleting.queue_insert("q")
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    def insert(handle: Driver, number: int, connection: psycopg.Connection | None) -> None:
        g = Gaffer(handle, work=False)
        g.ensure_queue("q")
        while not over.is_set():
            try:
                g.insert_many("q", [None] * number, connection=connection)
                outcomes["inserted"] += 1
            except UnknownQueue:
                outcomes["refused"] += 1
            except DriverUnavailable:  # the queue is back, and no transaction of ours is repeated
                outcomes["refused" if connection is not None else "failed"] += 1
            if connection is not None:
                connection.commit()
        g.stop()

    def inserted_since(before: int) -> bool:
        return outcomes.total() > before + 2

    def delete() -> None:
        for _ in range(60):
            deleting.queue_delete("q", jobs=True)
            until(partial(inserted_since, outcomes.total()))
            deleting.queue_insert("q")
            until(lambda: orphans() == [] and deleting.job_stats("q")[JobState.AVAILABLE].count > 0)
        over.set()

    def orphans() -> list[object]:
        tables = psycopg.sql.SQL(
            "SELECT j.id, j.state FROM {s}.jobs j"
            " WHERE NOT EXISTS (SELECT FROM {s}.queues q WHERE q.id = j.queue_id)"
        ).format(s=psycopg.sql.Identifier(schema))
        return list(admin.execute(tables).fetchall())

    with psycopg.connect(server) as own:
        together(
            [
                delete,
                lambda: insert(inserting[0], 1, None),
                lambda: insert(inserting[0], 30, None),
                lambda: insert(inserting[1], 1, own),
            ]
        )

    assert orphans() == []
    assert outcomes["failed"] == 0
    assert min(outcomes["inserted"], outcomes["refused"]) > 20


def waiting(admin: psycopg.Connection, schema: str) -> int:
    """Return how many statements on a schema wait for a lock."""
    query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    return admin.execute(query, [f"%{schema}%"]).rowcount


def test_a_job_that_changes_its_state_while_its_queue_is_deleted_goes_with_it(
    server: str,
    schema: str,
    admin: psycopg.Connection,
    queue: Queue,
    handles: Handles,
) -> None:
    here, there = handles(2)
    queue.insert_many([None] * 2)
    first, second = sorted(claim(here, 2), key=lambda job: job.id)
    outcomes: list[str] = []

    def release() -> None:
        try:
            here.job_write([released(here, second)])
            outcomes.append("first")
        except Conflict:
            outcomes.append("too late")

    delete = threading.Thread(target=lambda: there.queue_delete("q", jobs=True))
    write = threading.Thread(target=release)
    rows = psycopg.sql.Identifier(schema, "jobs")
    with psycopg.connect(server) as other:
        hold = psycopg.sql.SQL("SELECT FROM {} WHERE id = %s FOR UPDATE").format(rows)
        other.execute(hold, [first.id])
        delete.start()
        until(lambda: waiting(admin, schema) == 1)
        write.start()
        until(lambda: outcomes or waiting(admin, schema) == 2)
    write.join(PATIENCE)
    delete.join(PATIENCE)

    assert len(outcomes) == 1
    left = psycopg.sql.SQL("SELECT state FROM {}").format(rows)
    assert admin.execute(left).fetchall() == []


def test_a_queue_is_never_taken_for_empty_because_its_job_changes_its_state(
    queue: Queue, handles: Handles
) -> None:
    here, there = handles(2)
    queue.insert(None)
    over = threading.Event()

    def flip() -> None:
        while not over.is_set():
            here.job_write([released(here, job) for job in claim(here)])

    def delete() -> None:
        try:
            for _ in range(600):
                with pytest.raises(QueueHasJobs):
                    there.queue_delete("q")
        finally:
            over.set()

    together([flip, delete])


def test_of_two_writes_of_one_revision_one_counts_and_all_of_it(
    driver: PostgresDriver, queue: Queue, handles: Handles, chance: random.Random
) -> None:
    """F3."""
    here, there = handles(2)
    won: Counter[str] = Counter()
    refused: list[frozenset[UUID]] = []

    def write(handle: Driver, name: str, jobs: Sequence[Job], into: list[Sequence[Job]]) -> None:
        try:
            into.append(handle.job_write(jobs))
            won[name] += 1
        except Conflict as error:
            refused.append(error.ids)

    def race() -> None:
        queue.insert_many([None] * 4)
        jobs = claim(here, 4)
        settled = [completed(here, job, "settled") for job in jobs]
        rescued = [failed(there, job) for job in jobs]
        chance.shuffle(rescued)
        written: list[Sequence[Job]] = []
        in_step(
            partial(write, here, "settle", settled, written),
            partial(write, there, "rescue", rescued, written),
        )
        [winners] = written
        assert refused == [{job.id for job in jobs}]
        refused.clear()
        assert [driver.job_get(job.id) for job in winners] == winners
        driver.job_prune("q", dict.fromkeys(JobState, "all"), 100)

    play(race, lambda: min(won["settle"], won["rescue"]) > 3, 150)


def test_jobs_whose_time_comes_at_once_are_claimed_once_each(
    queue: Queue, handles: Handles
) -> None:
    drivers = handles(4)
    found: list[list[UUID]] = [[], [], [], []]
    for _ in range(5):
        jobs = queue.insert_many([None] * 150, delay=0.02)
        due = max(job.scheduled_at for job in jobs if job.scheduled_at)
        until(partial(is_past, queue.conf.driver, due))
        in_step(*(partial(drain, *pair, 7) for pair in zip(drivers, found, strict=True)))

    claimed = [id for ids in found for id in ids]
    assert sorted(claimed) == sorted(job.id for job in queue.list())
    assert len(claimed) == 750
