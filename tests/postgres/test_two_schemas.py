"""F62: two installations in one database, with the same names for everything, do not meet."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from gaffer import Gaffer, Job, JobState, Queue
from gaffer.driver import JobFilter
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Recorder, quiet
from tests.postgres.catalog import exists, structure
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.verbs import claim, completed
from tests.postgres.waking import Wakes
from tests.rig.waiting import PATIENCE

SOON = 2.0
"""Seconds within which a call returns that waits for nobody."""


@pytest.fixture
def second_schema(admin: psycopg.Connection) -> Iterator[str]:
    """Give the name of another schema; it is dropped."""
    name = f"gaffer_test_{uuid4().hex[:12]}"
    yield name
    admin.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'.encode())


@pytest.fixture
def second(make_driver: MakeDriver, second_schema: str) -> PostgresDriver:
    """Give a started driver on the other schema; `driver` is on the first."""
    made = make_driver(schema=second_schema)
    made.start()
    return made


@pytest.fixture
def queues(driver: PostgresDriver, second: PostgresDriver) -> Iterator[list[Queue]]:
    """Give a queue "q" in each schema, both with a limit of one."""
    with Gaffer(driver=driver, work=False) as one, Gaffer(driver=second, work=False) as two:
        options = quiet(global_max_workers=1)
        yield [each.ensure_queue("q", worker=lambda job: None, **options) for each in (one, two)]


def test_jobs_of_one_are_not_those_of_the_other(queues: list[Queue]) -> None:
    """F62."""
    shared = uuid4()
    here = queues[0].insert("here", id=shared)
    there = queues[1].insert("there", id=shared)
    more = queues[1].insert("more")

    assert queues[0].list() == [here]
    assert queues[1].list() == [there, more]
    queues[0].delete(shared)
    assert queues[1].get(shared) == there


def test_each_has_its_own_limit(
    queues: list[Queue], driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    for queue in queues:
        queue.insert_many([1, 2])

    for one in (driver, second):
        assert len(claim(one, 5, most=1)) == 1
        assert claim(one, 5, most=1) == []


def test_each_has_its_own_chains(
    queues: list[Queue], driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    for queue in queues:
        queue.insert_many([1, 2], chain="c")

    [job] = claim(driver, 5)
    assert len(claim(second, 5)) == 1
    driver.job_write([completed(driver, job)])
    assert len(claim(driver, 5)) == 1
    assert claim(second, 5) == []


def test_a_lock_of_one_does_not_hold_up_the_other(
    queues: list[Queue], driver: PostgresDriver, server: str, schema: str
) -> None:
    """F62: they have the same numbers: both are the first queue of their schema."""
    for queue in queues:
        queue.insert_many([1, 2], chain="c")
    with psycopg.connect(server) as holder:
        none = "'{}', '{}'"
        claiming = f"SELECT id FROM \"{schema}\".claim_1('q', 1, 1, 'n', now(), false, {none})"
        assert len(holder.execute(claiming.encode()).fetchall()) == 1
        held = holder.execute(
            "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
            " AND pid = pg_backend_pid()"
        ).fetchall()
        assert held == [(1,)]
        began = time.monotonic()

        queues[1].poll()
        queues[1].insert(3, chain="c")
        queues[1].cancel(queues[1].list(state="available")[0].id)

        assert time.monotonic() - began < SOON


def test_a_queue_paused_or_deleted_in_one_goes_on_in_the_other(
    queues: list[Queue], driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    queues[0].pause()
    queues[1].insert(1)

    assert not second.queue_paused("q")
    assert queues[1].poll() == 1
    driver.queue_delete("q", jobs=True)
    assert second.queue_list() == ["q"]
    assert queues[1].insert(2) in queues[1].list()


def test_pruning_one_prunes_nothing_of_the_other(
    queues: list[Queue], driver: PostgresDriver
) -> None:
    """F62."""
    jobs = [queue.insert(1) for queue in queues]

    assert driver.job_prune("q", {JobState.AVAILABLE: "all"}, 100) == [jobs[0].id]

    assert queues[1].list() == [jobs[1]]


def test_a_node_that_beats_in_one_is_unknown_in_the_other(
    queues: list[Queue], driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    queues[1].insert(1)
    [job] = claim(second, node="n")

    driver.node_beat("n")
    assert second.job_orphans(None, 60.0) == [job]
    second.node_beat("n")
    assert second.job_orphans(None, 60.0) == []
    driver.node_leave("n")
    assert second.job_orphans(None, 60.0) == []


def test_what_is_inserted_into_one_wakes_nobody_of_the_other(
    queues: list[Queue], make_driver: MakeDriver, second_schema: str, server: str
) -> None:
    """F62."""
    listeners = [make_driver(), make_driver(schema=second_schema)]
    for listener in listeners:
        listener.start()
    wakes = [Wakes(listener) for listener in listeners]
    others = [queue.conf.driver for queue in queues]
    with ExitStack() as stack:
        gaffers = [stack.enter_context(Gaffer(driver=each, work=False)) for each in others]
        unrelated = [each.ensure_queue("other", **quiet()) for each in gaffers]
        before = [each.catch_up(one, server) for each, one in zip(wakes, unrelated, strict=True)]

        queues[0].insert(1)

        wakes[0].wait("q", before[0])
        assert wakes[1].catch_up(unrelated[1], server) == before[1]


def test_both_are_worked_at_once_each_within_its_limit(
    driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    running, most, lock = [0, 0], [0, 0], threading.Lock()
    both = threading.Barrier(2)

    def work(number: int, job: Job) -> None:
        with lock:
            running[number] += 1
            most[number] = max(most[number], running[number])
        if job.payload == 0:
            both.wait(PATIENCE)  # proves that they run beside each other
        with lock:
            running[number] -= 1

    recorders = [Recorder(), Recorder()]
    gaffers = [
        Gaffer(driver=one, hooks=[recorder])
        for one, recorder in zip((driver, second), recorders, strict=True)
    ]
    try:
        for number, gaffer_ in enumerate(gaffers):
            queue = gaffer_.ensure_queue(
                "q",
                worker=partial(work, number),
                max_workers=4,
                global_max_workers=1,
                prune={"interval": None},
            )
            queue.insert_many(range(30))
        for gaffer_ in gaffers:
            gaffer_.flush("q", PATIENCE)
            assert gaffer_.stats("q")[JobState.COMPLETED].count == 30
    finally:
        for gaffer_ in gaffers:
            gaffer_.stop(1)
    assert most == [1, 1]


def test_a_job_is_forwarded_from_one_to_the_other(
    driver: PostgresDriver, second: PostgresDriver
) -> None:
    """F62."""
    with Gaffer(driver=driver, work=False) as gaffer_:
        target = gaffer_.ensure_queue("target", driver=second, **quiet())
        options = quiet(forward={"completed": "target"})
        source = gaffer_.ensure_queue("source", worker=lambda job: None, **options)
        job = source.insert(1)

        assert source.poll() == 1

        assert source.get(job.id).state is JobState.COMPLETED
        assert [found.payload["id"] for found in target.list()] == [str(job.id)]
        assert driver.queue_list() == ["source"]
        assert second.queue_list() == ["target"]


def test_one_transaction_of_the_caller_may_have_jobs_for_both(
    queues: list[Queue], server: str
) -> None:
    """F62."""
    with psycopg.connect(server) as connection:
        for queue in queues:
            queue.insert("undone", connection=connection)
        connection.rollback()
        jobs = [queue.insert("kept", connection=connection) for queue in queues]

    assert [queue.list() for queue in queues] == [[job] for job in jobs]


@pytest.mark.parametrize("target", [0, 1])
def test_a_rollback_of_one_leaves_the_other(
    target: int,
    queues: list[Queue],
    driver: PostgresDriver,
    second: PostgresDriver,
    admin: psycopg.Connection,
    second_schema: str,
) -> None:
    """F62."""
    job, whole = queues[1].insert(1), structure(admin, second_schema)

    driver.rollback(target)

    assert structure(admin, second_schema) == whole
    assert second.migrations().applied == second.migrations().all
    assert queues[1].list() == [job]
    second.queue_delete("q", jobs=True)
    live(second)


def test_one_that_is_not_migrated_does_not_see_the_other(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, second_schema: str
) -> None:
    """F62."""
    other = make_driver(schema=second_schema)

    assert other.migrations().applied == []
    assert not exists(admin, second_schema)
    assert driver.migrations().applied == driver.migrations().all


@pytest.mark.parametrize(
    "names", [("Jobs", "jobs"), ("a_b", "a-b"), ("x" * 62, "x" * 63)], ids=["case", "dash", "long"]
)
def test_names_that_are_almost_the_same_are_two_schemas(
    names: tuple[str, str], database: str, make_driver: MakeDriver
) -> None:
    """F62, F47."""
    drivers = [make_driver(database, schema=name) for name in names]
    for one in drivers:
        one.start()
        one.queue_insert(f"of {one.storage}")

    assert [len(one.queue_list()) for one in drivers] == [1, 1]
    assert drivers[0].job_list(JobFilter()) == []
