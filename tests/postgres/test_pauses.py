"""A pause and the claims under way: what a claim gets, it got before the pause returned."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from gaffer import Gaffer, JobState, Queue
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.options import Options
from tests.conftest import Calling, quiet
from tests.rig.waiting import until

from .verbs import claim

CLAIM = "SELECT id FROM {s}.claim_1('q', 1, NULL, 'node', now(), {even}, '{{}}', '{{}}')"


@pytest.fixture
def queue(driver: PostgresDriver) -> Iterator[Queue]:
    """Give a queue that nobody works."""
    with Gaffer(driver, work=False) as gaffer:
        yield gaffer.ensure_queue("q", **quiet())


def waiting(admin: psycopg.Connection, schema: str, verb: str) -> bool:
    """Return whether a call of *verb* on a schema waits for an advisory lock."""
    query = "SELECT FROM pg_stat_activity WHERE wait_event = 'advisory' AND query LIKE %s"
    return admin.execute(query, [f'%"{schema}".{verb}%']).rowcount == 1


def test_a_job_inserted_after_a_pause_is_not_claimed_by_a_claim_that_began_before(
    server: str, schema: str, admin: psycopg.Connection, queue: Queue, driver: PostgresDriver
) -> None:
    """F56."""
    [(number,)] = admin.execute(f'SELECT id FROM "{schema}".queues'.encode()).fetchall()
    with psycopg.connect(server) as other:
        space = Options(schema=schema).lock_space
        other.execute("SELECT pg_advisory_xact_lock(%s, %s)", [space, number])
        claiming = Calling(lambda: claim(driver, 1, most=5))
        until(lambda: waiting(admin, schema, "claim_1"))

        queue.pause()
        queue.insert(1)

    assert claiming.result() == []
    assert [job.state for job in queue.list()] == [JobState.AVAILABLE]


def test_a_pause_returns_behind_the_claims_that_did_not_see_it(
    server: str, schema: str, admin: psycopg.Connection, queue: Queue
) -> None:
    """F56."""
    queue.insert(1)
    with psycopg.connect(server) as other:
        other.execute(CLAIM.format(s=f'"{schema}"', even="false").encode())
        pausing = Calling(queue.pause)
        until(lambda: waiting(admin, schema, "pause_1"))
        assert not pausing.returned
    pausing.result()

    assert [job.state for job in queue.list()] == [JobState.EXECUTING]


def test_a_resume_and_a_claim_that_may_reach_in_wait_for_nobody(
    server: str, schema: str, queue: Queue
) -> None:
    queue.insert_many([1, 2])
    with psycopg.connect(server) as other:
        other.execute(CLAIM.format(s=f'"{schema}"', even="true").encode())

        queue.pause()
        queue.resume()

        assert len(queue.list(state="available")) == 2  # the claim is not committed
