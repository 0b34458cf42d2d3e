"""Processes that work the same queues: what one may count on while others live, hang and die."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from uuid import UUID

import psycopg
import pytest

from gaffer import Gaffer, JobState, Queue
from gaffer_driver_postgres import PostgresDriver
from tests.postgres.conftest import LEASE, Work
from tests.rig.audit import Audit
from tests.rig.processes import Worker
from tests.rig.waiting import together, until

SOON = LEASE + 6.0
"""Seconds after which the jobs of a process that has died run elsewhere, on a busy machine too."""


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works nothing itself."""
    with Gaffer(driver, work=False) as made:
        yield made


def ended(queue: Queue, number: int) -> bool:
    """Return whether so many jobs have ended."""
    return len(queue.list(state=["completed", "failed", "cancelled"])) >= number


def test_no_more_jobs_execute_than_the_global_limit_allows_whatever_the_processes(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F51, B52."""
    queue = g.ensure_queue("q")
    workers = [work(q={"max_workers": 4, "global_max_workers": 5}) for _ in range(4)]
    for worker in workers:
        worker.wait_ready()

    jobs = queue.insert_many([0.003] * 300)
    seen = [0]
    while not ended(queue, len(jobs)):
        seen.append(audit.executing())

    assert max(seen) <= 5
    assert audit.most_executing() == 5
    assert {job.state for job in queue.list()} == {JobState.COMPLETED}
    assert {count for _, count in audit.ends()} == {1}
    assert all(worker.jobs("job.complete") for worker in workers)


def test_jobs_of_one_chain_run_one_at_a_time_and_in_order_over_all_processes(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    queue = g.ensure_queue("q")
    workers = [work(q={"max_workers": 4}) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()

    jobs = [
        queue.insert(0.002, chain=None if number % 3 == 2 else f"chain {number % 3}")
        for number in range(150)
    ]
    until(lambda: ended(queue, len(jobs)))

    assert audit.overlaps() == []
    assert audit.most_in_chain() == 1
    for chain in ("chain 0", "chain 1"):
        ran = audit.ask("SELECT job FROM {s}.effects WHERE chain = %s ORDER BY began", [chain])
        assert ran == [job.id for job in jobs if job.chain == chain]
    assert all(worker.jobs("job.complete") for worker in workers)


def test_the_jobs_of_a_process_that_was_killed_run_elsewhere_and_its_slots_are_free(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F1, F51."""
    options = {"max_workers": 3, "global_max_workers": 3, "backoff": 0.0}
    queue = g.ensure_queue("q", backoff=0.0)
    victim = work(q=options)
    held = queue.insert_many(["hold once"] * 3)
    until(lambda: audit.executing() == 3)
    other = work(q=options)
    other.wait_ready()
    rest = queue.insert_many([0.0] * 3)

    victim.kill()
    killed_at = time.monotonic()
    until(lambda: ended(queue, 6))

    assert time.monotonic() - killed_at < SOON
    assert sorted(other.jobs("job.rescue")) == sorted(str(job.id) for job in held)
    stored = {job.id: job for job in queue.list()}
    assert [(stored[job.id].state.value, stored[job.id].attempt) for job in held] == [
        ("completed", 2)
    ] * 3
    assert [(stored[job.id].state.value, stored[job.id].attempt) for job in rest] == [
        ("completed", 1)
    ] * 3
    assert (audit.executing(), audit.most_executing()) == (0, 3)


def test_a_process_that_restarts_at_once_does_not_keep_the_jobs_of_its_former_life(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F6: the beats of the second life are not those of the first."""
    options = {"max_workers": 3, "backoff": 0.0}
    queue = g.ensure_queue("q", backoff=0.0)
    first = work(q=options)
    held = queue.insert_many(["hold once"] * 3)
    until(lambda: audit.executing() == 3)

    first.kill()
    second = work(q=options)
    second.wait_ready()
    until(lambda: ended(queue, 3))

    assert sorted(second.jobs("job.rescue")) == sorted(str(job.id) for job in held)


def test_the_result_of_a_process_that_hung_past_its_lease_is_refused(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F2."""
    queue = g.ensure_queue("q", backoff=0.0)
    frozen = work(q={})
    job = queue.insert("hold once")
    frozen.wait("event", "job.claim")
    other = work(q={})
    process = other.wait_ready()

    frozen.freeze()
    other.wait("event", "job.complete")
    frozen.go()
    frozen.thaw()
    frozen.wait("event", "job.late")

    stored = queue.get(job.id)
    assert (stored.state, stored.result, stored.attempt) == (JobState.COMPLETED, process, 2)
    assert frozen.jobs("job.complete") == []
    assert audit.ends() == [(job.id, 1)]


def test_the_late_result_of_a_job_that_waits_for_its_retry_is_refused_too(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F2."""
    queue = g.ensure_queue("q", backoff=3600.0)
    frozen = work(q={})
    job = queue.insert("hold once")
    frozen.wait("event", "job.claim")
    other = work(q={})

    frozen.freeze()
    other.wait("event", "job.rescue")
    rescued = queue.get(job.id)
    frozen.go()
    frozen.thaw()
    frozen.wait("event", "job.late")

    assert (rescued.state, rescued.attempt) == (JobState.AVAILABLE, 1)
    assert queue.get(job.id) == rescued
    assert audit.ends() == []


def nodes(admin: psycopg.Connection, schema: str) -> set[str]:
    """Return the nodes that storage knows."""
    names = psycopg.sql.SQL("SELECT name FROM {}").format(psycopg.sql.Identifier(schema, "nodes"))
    return {name for (name,) in admin.execute(names).fetchall()}


def test_a_process_that_was_suspended_tells_the_jobs_that_others_have_taken(
    work: Work, g: Gaffer, admin: psycopg.Connection, schema: str
) -> None:
    """F2."""
    queue = g.ensure_queue("q", backoff=3600.0)
    frozen = work(q={"timeout": 60.0})
    job = queue.insert("until told")
    frozen.wait("event", "job.claim")
    [former] = nodes(admin, schema)
    other = work(q={})

    frozen.freeze()
    other.wait("event", "job.rescue")
    frozen.thaw()
    [told] = frozen.wait("told")
    frozen.wait("event", "job.late")

    assert (told["told"], told["stopping"]) == (str(job.id), True)
    until(lambda: former not in nodes(admin, schema))
    assert len(nodes(admin, schema)) == 2


def test_a_job_that_nobody_took_while_its_process_was_suspended_goes_on(
    work: Work, driver: PostgresDriver, g: Gaffer, admin: psycopg.Connection, schema: str
) -> None:
    """F2."""
    queue = g.ensure_queue("q")
    frozen = work(q={"timeout": 60.0})
    job = queue.insert("until told")
    frozen.wait("event", "job.claim")
    [former] = nodes(admin, schema)

    frozen.freeze()
    orphans = partial(driver.job_orphans, None, LEASE)
    until(orphans)
    frozen.thaw()
    until(lambda: len(nodes(admin, schema)) == 2)
    until(lambda: not orphans())
    frozen.go()

    [told] = frozen.wait("told")
    frozen.wait("event", "job.complete")
    assert told["stopping"] is False
    assert queue.get(job.id).attempt == 1
    until(lambda: former not in nodes(admin, schema))


def test_nodes_that_are_deleted_under_load_leave_no_job_behind(
    work: Work, audit: Audit, g: Gaffer, admin: psycopg.Connection, schema: str
) -> None:
    """F5."""
    options = {"max_workers": 3, "backoff": 0.0}
    queue = g.ensure_queue("q", max_attempts=1000, backoff=0.0)
    for worker in [work(q=options) for _ in range(2)]:
        worker.wait_ready()
    queue.insert_many([0.02] * 200)
    rows = psycopg.sql.Identifier(schema, "nodes")

    deleted = 0
    while not ended(queue, 200):
        deleted += admin.execute(psycopg.sql.SQL("DELETE FROM {}").format(rows)).rowcount

    assert deleted > 2
    assert {job.state for job in queue.list()} == {JobState.COMPLETED}
    assert {count for _, count in audit.ends()} == {1}


def test_a_paused_queue_gives_nothing_to_any_process_until_it_is_resumed(
    work: Work, g: Gaffer
) -> None:
    """F56."""
    queue, probe = g.ensure_queue("q"), g.ensure_queue("probe")
    workers = [work(q={}, probe={}) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    assert workers[0].call("pause", "q") is None
    jobs = queue.insert_many([0.0] * 20)

    def probed() -> bool:
        # Whoever has worked these since has been told of the others too, and asked for them.
        probe.insert_many([0.0] * 2)
        return all(len(worker.jobs("job.complete")) >= 30 for worker in workers)

    until(probed)
    assert queue.list(state="available") == jobs
    assert workers[1].call("resume", "q") is None
    until(lambda: ended(queue, len(jobs)))


def nobody_looks(admin: psycopg.Connection, schema: str) -> bool:
    """Return whether nobody has tried to claim for a while."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s"
        " AND state_change > clock_timestamp() - interval '0.3 s'"
    )
    return admin.execute(query, [f"%{schema}%claim%"]).fetchone() == (0,)


def test_a_job_inserted_by_one_process_starts_in_another_at_once(
    work: Work, g: Gaffer, admin: psycopg.Connection, schema: str
) -> None:
    """F16, C14."""
    g.ensure_queue("q")
    there = work(q={"poll_interval": 30.0})
    here = work(q={"poll_interval": None})
    there.wait_ready()
    here.wait_ready()
    waits = []

    for number in range(3):
        # After its last job it looks for others, which would be no proof.
        until(lambda: nobody_looks(admin, schema))
        inserted_at = time.monotonic()
        here.call("insert", "q", 0.0)
        waits.append(there.wait("event", "job.claim", number + 1)[-1]["at"] - inserted_at)

    assert sorted(waits)[1] < 0.5
    assert here.jobs("job.complete") == []


def test_without_notifications_it_starts_within_the_poll_interval(work: Work, g: Gaffer) -> None:
    """C14."""
    queue = g.ensure_queue("q")
    there = work(notify=False, q={"poll_interval": 0.5})
    there.wait_ready()
    waits = []

    for number in range(5):
        inserted_at = time.monotonic()
        queue.insert(0.0)
        waits.append(there.wait("event", "job.claim", number + 1)[-1]["at"] - inserted_at)

    assert sorted(waits)[2] < 0.5 + 0.25


def test_a_scheduled_job_starts_in_another_process_when_it_is_due(work: Work, g: Gaffer) -> None:
    """B71."""
    queue = g.ensure_queue("q")
    there = work(q={})
    there.wait_ready()

    jobs = [queue.insert(0.0, delay=delay) for delay in (0.3, 0.6, 0.9)]
    there.wait("event", "job.complete", 3)

    assert there.jobs("job.complete") == [str(job.id) for job in jobs]
    for job in queue.list():
        assert job.attempted_at is not None
        assert job.scheduled_at is not None
        assert 0.0 <= (job.attempted_at - job.scheduled_at).total_seconds() < 1.0


def test_what_processes_insert_and_work_at_once_is_neither_lost_nor_doubled(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    queue = g.ensure_queue("q")
    workers = [work(q={"max_workers": 4}) for _ in range(3)]
    for worker in workers:
        worker.wait_ready()

    def insert(worker: Worker) -> None:
        for _ in range(10):
            assert isinstance(worker.call("insert_many", "q", [0.0] * 10), list)

    together([partial(insert, worker) for worker in workers])
    until(lambda: ended(queue, 300))

    inserted = {UUID(id) for worker in workers for id in worker.jobs("job.insert")}
    assert len(inserted) == 300
    assert dict(audit.ends()) == dict.fromkeys(inserted, 1)
    assert set(audit.ask("SELECT job FROM {s}.effects GROUP BY job HAVING count(*) = 1")) == (
        inserted
    )
