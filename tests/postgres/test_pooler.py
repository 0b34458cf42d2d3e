"""Behind pgbouncer in transaction mode: nothing depends on the session. Needs pgbouncer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from gaffer import Gaffer, Job
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.harness import VARIABLE
from tests.postgres.conftest import MakeDriver
from tests.rig.pooler import pgbouncer


@pytest.fixture
def through(database: str, tmp_path: Path) -> Iterator[str]:
    """Give a conninfo that leads through a pgbouncer with two connections."""
    with pgbouncer(database, tmp_path) as conninfo:
        yield conninfo


def started(make_driver: MakeDriver, conninfo: str) -> PostgresDriver:
    driver = make_driver(conninfo)
    driver.start()
    return driver


def test_the_driver_notices_a_pooler(make_driver: MakeDriver, through: str, database: str) -> None:
    """F19."""
    behind, direct = started(make_driver, through), started(make_driver, database)
    behind.queue_list()
    direct.queue_list()

    assert behind._connections.server is not None
    assert behind._connections.server.pooled
    assert direct._connections.server is not None
    assert not direct._connections.server.pooled
    assert behind.storage == direct.storage


def test_the_conformance_suite_passes_behind_a_pooler(through: str) -> None:
    """F19."""
    suite = ["-p", "gaffer.testing.plugin", "--driver=postgres", "--pyargs", "gaffer.testing.suite"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default"]

    ended = subprocess.run(
        [*command, *suite],
        env={**os.environ, VARIABLE: through, "GAFFER_EXAMPLES": "10"},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ended.returncode == 0, ended.stdout[-3000:]


def test_jobs_of_many_queues_run_behind_two_connections(
    make_driver: MakeDriver, through: str
) -> None:
    """F19."""
    done: list[int] = []

    def work(job: Job) -> None:
        done.append(job.payload)

    with Gaffer(started(make_driver, through)) as app:
        for number in range(8):
            app.ensure_queue(f"q{number}", worker=work, max_workers=4, global_max_workers=3)
        with ThreadPoolExecutor(8) as callers:
            inserts = [
                callers.submit(app.insert, f"q{number % 8}", number) for number in range(200)
            ]
            assert all(insert.result() for insert in inserts)
        for number in range(8):
            app.flush(f"q{number}", timeout=30)

    assert sorted(done) == list(range(200))


def test_what_other_clients_are_set_to_is_left_alone(make_driver: MakeDriver, through: str) -> None:
    """F19."""
    settings = (
        "SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout', 'TimeZone',"
        " 'default_transaction_isolation', 'idle_session_timeout', 'lock_timeout') ORDER BY 1"
    )
    with psycopg.connect(through, autocommit=True, prepare_threshold=None) as stranger:
        before = stranger.execute(settings).fetchall()
        with Gaffer(started(make_driver, through)) as app:
            app.ensure_queue("q", worker=lambda job: None).insert_many(range(50))
            app.flush("q", timeout=30)
            after = [stranger.execute(settings).fetchall() for _ in range(10)]

    assert after == [before] * 10


def test_a_database_that_is_serializable_by_default_serves_behind_a_pooler(
    make_driver: MakeDriver, database: str, tmp_path: Path
) -> None:
    """F19, F20."""
    name = conninfo_to_dict(database)["dbname"]
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_isolation = serializable'.encode()
        )
    with pgbouncer(database, tmp_path, size=6) as through:
        driver = started(make_driver, through)
        retries: list[Exception] = []
        worth = driver._connections._worth_another

        def noted(error: Exception, again: bool, tries: int) -> bool:
            retries.append(error)
            return worth(error, again, tries)

        driver._connections._worth_another = noted  # type: ignore[method-assign]
        with Gaffer(driver) as app:
            for number in range(4):
                app.ensure_queue(f"q{number}", worker=lambda job: None, max_workers=5)
            with ThreadPoolExecutor(4) as callers:
                list(callers.map(lambda n: app.insert_many(f"q{n}", range(200)), range(4)))
            for number in range(4):
                app.flush(f"q{number}", timeout=30)

    assert not retries
