"""How much of a large table each verb reads: as much as it has to, whatever the statistics say.

A queue is empty and full within seconds, and PostgreSQL's statistics follow a minute later; a plan
made meanwhile may read the whole table. So each verb is measured by what the server counts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from gaffer import machine
from gaffer.driver import Claim, Job, JobState
from gaffer.job import Complete
from gaffer.testing.values import new_job
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.connections import Cursor

from .verbs import moved

MANY = 20_000
FEW = 400
"""More rows and index entries than any verb below has to read for ten jobs."""

_FILL = """
INSERT INTO {s}.jobs (
    id, queue_id, state, priority, created_at, scheduled_at, attempted_at, completed_at, node,
    chain, timeout, shutdown_timeout, max_attempts, backoff, payload
)
SELECT gen_random_uuid(), (SELECT id FROM {s}.queues WHERE name = 'q'), %(state)s::text, n %% 3,
    now() - n * interval '1 ms',
    CASE WHEN %(state)s = 'scheduled' THEN now() + n * interval '1 min' END,
    CASE WHEN %(state)s = 'executing' THEN now() END,
    CASE WHEN %(state)s = 'completed' THEN now() - n * interval '1 s' END,
    CASE WHEN %(state)s = 'executing' THEN 'living' END,
    %(chain)s, 30, 5, 3, '[1.0]', '{{"n": 1}}'
FROM generate_series(1, %(number)s) n
"""


class Table:
    """A driver's jobs, filled in bulk and watched."""

    def __init__(self, driver: PostgresDriver, admin: psycopg.Connection, schema: str) -> None:
        self.driver = driver
        self.schema = schema
        self._admin = admin
        self._reads: list[int] = []
        driver.queue_insert("q")

    def run(self, script: str) -> None:
        """Run a script on the schema."""
        self._admin.execute(script.replace("{s}", f'"{self.schema}"').encode())

    def fill(self, state: str, number: int = MANY, chain: str | None = None) -> None:
        """Insert many jobs in a state of storage."""
        self._admin.execute(
            _FILL.replace("{s}", f'"{self.schema}"').replace("{{", "{").replace("}}", "}").encode(),
            {"state": state, "number": number, "chain": chain},
        )

    def reads(self, call: Callable[[], object]) -> int:
        """Return how many rows and index entries of jobs *call* has the server read."""
        before = len(self._reads)
        call()
        assert len(self._reads) > before, "nothing was counted"
        return sum(self._reads[before:])

    def count(self, cursor: Cursor) -> None:
        """Note what the open transaction has read."""
        row = cursor.execute(
            f"""
            SELECT sum(pg_stat_get_xact_tuples_returned(o))
            FROM (
                SELECT '"{self.schema}".jobs'::regclass::oid AS o
                UNION ALL SELECT indexrelid FROM pg_index
                WHERE indrelid = '"{self.schema}".jobs'::regclass
            ) _
            """
        ).fetchone()
        assert row is not None
        self._reads.append(int(row[0] or 0))


@pytest.fixture
def table(
    driver: PostgresDriver,
    admin: psycopg.Connection,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Table:
    """Give a driver each call of which is a transaction that tells what it has read."""
    made = Table(driver, admin, schema)
    connections = driver._connections
    original = connections._run

    def counted(connection: psycopg.Connection, work: Callable[[Cursor], object]) -> object:
        with connection.transaction():
            answer = original(connection, work)
            made.count(psycopg.Cursor(connection))
            return answer

    monkeypatch.setattr(connections, "_run", counted)
    return made


def warm_up(table: Table, rows: int) -> None:
    """Have every verb plan while the table has *rows*, and is known to have no more."""
    table.fill("completed", rows)
    table.run("VACUUM ANALYZE {s}.jobs")
    for _ in range(8):
        job = table.driver.job_write([new_job("q", now=table.driver.now())])[0]
        work_one(table.driver)
        table.driver.job_orphans(None, 20.0)
        table.driver.job_get(job.id)
        table.driver.job_delete(job.id)
        cancel_one(table.driver)
    old = table.driver.now() - timedelta(hours=1)
    for _ in range(8):
        table.driver.job_prune("q", {JobState.COMPLETED: "all" if not rows else old}, 10)


def know_all(table: Table) -> None:
    """Have the statistics of the full table."""
    table.run("VACUUM ANALYZE {s}.jobs")


def take(driver: PostgresDriver, *, most: int | None = None, later: float = 0.0) -> list[Job]:
    now = driver.now() + timedelta(seconds=later)
    return driver.job_claim(
        Claim(queue="q", limit=10, global_max_workers=most, node="living", now=now)
    )


def settle(driver: PostgresDriver, jobs: list[Job]) -> None:
    now = driver.now()
    driver.job_write([machine.settle(job, Complete(), now=now) for job in jobs])


def work_one(driver: PostgresDriver) -> None:
    settle(driver, take(driver))


def cancel_one(driver: PostgresDriver) -> None:
    """Write a job whole, and not only what an end changes."""
    [job] = driver.job_write([new_job("q", now=driver.now())])
    driver.job_write([machine.cancel(job, now=driver.now())])
    driver.job_delete(job.id)


ROWS = {"planned while empty": 0, "planned with one row": 1, "planned with three rows": 3}
STATISTICS = [*ROWS, "never analyzed", "analyzed"]


@pytest.fixture(params=STATISTICS)
def known(request: pytest.FixtureRequest, table: Table) -> Callable[[], None]:
    """Give what is to be called when the table is full."""
    if request.param in ROWS:
        warm_up(table, ROWS[request.param])
    return (lambda: know_all(table)) if request.param == "analyzed" else (lambda: None)


def test_a_claim_reads_what_it_takes(table: Table, known: Callable[[], None]) -> None:
    """F23."""
    table.fill("available")
    table.fill("completed")
    known()

    for most in (None, 100, None, 100, None, 100):
        assert table.reads(lambda most=most: take(table.driver, most=most)) < FEW  # type: ignore[misc]


def test_a_claim_does_not_read_what_waits_for_its_time(
    table: Table, known: Callable[[], None]
) -> None:
    table.fill("scheduled")
    table.fill("available", 10)
    known()

    claimed: list[Job] = []
    assert table.reads(lambda: claimed.extend(take(table.driver))) < FEW
    assert len(claimed) == 10


def test_a_claim_does_not_read_the_line_of_a_chain(table: Table, known: Callable[[], None]) -> None:
    table.fill("chained", chain="c")
    table.fill("available", 10)
    known()

    for _ in range(3):
        assert table.reads(lambda: take(table.driver)) < FEW


def test_the_end_of_an_attempt_reads_its_own_row(table: Table, known: Callable[[], None]) -> None:
    table.fill("available")
    known()

    for _ in range(3):
        jobs = take(table.driver)
        assert table.reads(lambda jobs=jobs: settle(table.driver, jobs)) < FEW  # type: ignore[misc]


def test_a_job_that_is_written_whole_is_found_by_its_id(
    table: Table, known: Callable[[], None]
) -> None:
    table.fill("available")
    [job] = table.driver.job_write([new_job("q", now=table.driver.now())])
    known()

    for _ in range(3):
        job = moved(table.driver, job, priority=1, delay=0.0)
        assert table.reads(lambda job=job: table.driver.job_write([job])) < FEW  # type: ignore[misc]


def test_the_end_of_a_chains_attempt_reads_the_next_in_line(
    table: Table, known: Callable[[], None]
) -> None:
    table.fill("chained", chain="c")
    table.fill("available", 1, chain="c")
    known()
    table.run("UPDATE {s}.jobs SET priority = 9 WHERE state = 'available'")

    for _ in range(3):
        jobs = take(table.driver)
        assert len(jobs) == 1
        assert table.reads(lambda jobs=jobs: settle(table.driver, jobs)) < FEW  # type: ignore[misc]


def test_a_prune_reads_what_it_deletes(table: Table, known: Callable[[], None]) -> None:
    """F59."""
    table.fill("available")
    table.fill("completed")
    known()
    old = {JobState.COMPLETED: table.driver.now() - timedelta(seconds=MANY - 50)}
    pruned: list[UUID] = []

    assert table.reads(lambda: pruned.extend(table.driver.job_prune("q", old, 100))) < FEW
    assert len(pruned) > 10
    assert table.reads(lambda: table.driver.job_prune("q", {JobState.FAILED: "all"}, 9)) < FEW


def test_the_search_for_orphans_reads_what_executes(
    table: Table, known: Callable[[], None]
) -> None:
    table.fill("available")
    table.fill("completed")
    table.fill("executing", 50)
    known()

    for queue in (None, "q", None, "q", None, "q", None, "q"):
        assert table.reads(lambda q=queue: table.driver.job_orphans(q, 9.0)) < FEW  # type: ignore[misc]


def test_a_look_for_jobs_reads_one_of_each_queue(table: Table, known: Callable[[], None]) -> None:
    table.fill("available")
    table.fill("scheduled")
    known()
    statement = table.driver._sql.ready

    for _ in range(3):
        look = lambda: table.driver._read("look", statement, ['{"q"}'])  # noqa: E731
        assert table.reads(look) < FEW


def test_jobs_that_have_ended_are_found_by_their_ids(
    table: Table, known: Callable[[], None]
) -> None:
    table.fill("completed")
    known()
    now = table.driver.now()
    jobs = table.driver.job_write([new_job("q", now=now) for _ in range(4)])
    table.driver.job_write([machine.cancel(job, now=now) for job in jobs[:2]])
    ids = [job.id for job in jobs] + [uuid4() for _ in range(6)]

    for _ in range(8):
        assert table.reads(lambda: table.driver.job_ended(ids)) < FEW


def test_a_job_is_found_by_its_id(table: Table, known: Callable[[], None]) -> None:
    table.fill("available")
    known()
    (job, *_) = take(table.driver)

    for _ in range(8):
        assert table.reads(lambda: table.driver.job_get(job.id)) < FEW
    assert table.reads(lambda: table.driver.job_delete(job.id)) < FEW
