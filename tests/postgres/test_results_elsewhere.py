"""Results of jobs that another process works, or that a transaction has inserted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import as_completed
from typing import Any

import psycopg
import pytest

from gaffer import Gaffer, InvalidJob, ResultGone
from gaffer_driver_postgres import PostgresDriver
from tests.postgres.conftest import Work
from tests.rig.waiting import PATIENCE, threads

KEPT: Any = {"max_age": {"completed": 60, "failed": 60, "cancelled": 60}}


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works nothing itself."""
    with Gaffer(driver, work=False) as made:
        yield made


def test_another_process_works_what_is_submitted_here(work: Work, g: Gaffer) -> None:
    queue = g.ensure_queue("q", prune=KEPT)
    worker = work(q={"max_workers": 4, "prune": KEPT})
    process = worker.wait_ready()

    futures = [queue.submit(0) for _ in range(50)]
    results = [future.result() for future in as_completed(futures, PATIENCE)]

    assert results == [process] * 50
    assert len(threads("gaffer:results")) == 1


def test_a_job_of_a_transaction_is_waited_for_after_the_commit(
    work: Work, g: Gaffer, server: str
) -> None:
    queue = g.ensure_queue("q", prune=KEPT)
    process = work(q={"prune": KEPT}).wait_ready()
    options: Any = {}

    with psycopg.connect(server) as connection:
        options["connection"] = connection
        with pytest.raises(InvalidJob, match="after the commit"):
            queue.submit(0, **options)
        job = queue.insert(0, connection=connection)
        with pytest.raises(ResultGone, match="not committed"):
            queue.result(job, timeout=PATIENCE)

    assert queue.result(job, timeout=PATIENCE) == process
