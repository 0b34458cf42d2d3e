"""The server's clock is set, forward or back: nobody is taken for dead who lives, and no job waits.

The driver's functions ask one function for the time, which a test may replace.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from gaffer import Gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.waiting import KEEP

from .verbs import claim, failed

LEASE = 2.0
HOUR = 3600.0
_CLOCK = """
CREATE TABLE {s}.test_clock (ahead float8 NOT NULL);
INSERT INTO {s}.test_clock VALUES (0);
CREATE OR REPLACE FUNCTION {s}.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT clock_timestamp() + c.ahead * interval ''1 second'' FROM {s}.test_clock c';
"""

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(admin: psycopg.Connection, driver: PostgresDriver, schema: str) -> SetClock:
    """Give a function that sets the server's clock so many seconds ahead of the real one."""
    place = f'"{schema}"'
    admin.execute(_CLOCK.replace("{s}", place).encode())

    def set_ahead(seconds: float) -> None:
        admin.execute(f"UPDATE {place}.test_clock SET ahead = {seconds!r}".encode())

    return set_ahead


def test_a_dead_node_whose_beat_a_clock_has_left_ahead_is_silent(
    driver: PostgresDriver, set_clock: SetClock
) -> None:
    """F49."""
    driver.queue_insert("q")
    with Gaffer(driver, work=False) as g:
        g.ensure_queue("q").insert_many([None] * 2)
    driver.node_beat("dead")
    driver.node_beat("alive")
    [lost] = claim(driver, node="dead")
    claim(driver, node="alive")

    set_clock(-HOUR)
    driver.node_beat("alive")

    assert driver.job_orphans(None, LEASE) == [lost]


def test_a_beat_a_little_ahead_is_a_sign_of_life(
    driver: PostgresDriver, set_clock: SetClock
) -> None:
    """F49."""
    driver.queue_insert("q")
    with Gaffer(driver, work=False) as g:
        g.ensure_queue("q").insert(None)
    driver.node_beat("alive")
    claim(driver, node="alive")

    set_clock(-LEASE)

    assert driver.job_orphans(None, 2 * LEASE) == []


def test_a_job_that_waits_is_due_by_the_servers_clock(
    driver: PostgresDriver, set_clock: SetClock
) -> None:
    """F48."""
    with Gaffer(driver, work=False) as g:
        queue = g.ensure_queue("q", worker=lambda job: None, backoff=HOUR, prune=KEEP)
        queue.insert(None, delay=HOUR)
        [job] = queue.insert_many([None])
        [claimed] = claim(driver)
        assert claimed.id == job.id
        driver.job_write([failed(driver, claimed)])  # to be tried again in an hour
        early = queue.poll()

        set_clock(HOUR + 60)
        driver.resync()

        assert (early, queue.poll(), queue.poll()) == (0, 1, 1)
