"""Health: what the server and the connections to it tell."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from gaffer import DriverUnavailable, Gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.proxy import Proxy
from tests.rig.waiting import PATIENCE, Recorder, took, until

from .conftest import MakeDriver


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works one queue."""
    with Gaffer(driver, hooks=[Recorder()]) as made:
        made.ensure_queue("q", worker=lambda job: None, prune={"interval": None})
        yield made


def test_the_server_tells_of_its_clock_and_its_rows(
    driver: PostgresDriver, g: Gaffer, admin: psycopg.Connection, schema: str
) -> None:
    g.insert_many("q", [None] * 50)
    g.flush("q")
    admin.execute(f'VACUUM ANALYZE "{schema}".jobs'.encode())

    health = driver.health(5.0)

    assert health.clock_offset is not None
    assert abs(health.clock_offset) < 5
    assert health.rows == 50
    assert health.dead_rows is not None


def test_connections_are_counted_as_the_server_counts_them(
    make_driver: MakeDriver, server: str, admin: psycopg.Connection, schema: str
) -> None:
    named = make_driver(psycopg.conninfo.make_conninfo(server, application_name=schema))
    with Gaffer(named) as g:
        g.ensure_queue("q", worker=lambda job: None).insert(1)
        g.flush("q")
        until(lambda: named.health(5.0).listening)

        def agrees() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            return admin.execute(query, [schema]).fetchone() == (named.health(5.0).connections,)

        until(agrees)
        [store] = g.health().storages
    assert store.server is not None
    assert 3 <= (store.server.connections or 0) <= 6


def test_a_driver_that_does_not_listen_says_whether_it_should(
    make_driver: MakeDriver, driver: PostgresDriver, g: Gaffer, admin: psycopg.Connection
) -> None:
    silent = make_driver(notify=False)
    silent.start()

    assert silent.health(5.0).listening is None
    until(lambda: driver.health(5.0).listening is True)


def test_a_transaction_that_keeps_dead_rows_is_told_with_its_age(
    driver: PostgresDriver, server: str, g: Gaffer
) -> None:
    with psycopg.connect(server) as holder:
        holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.execute("SELECT 1 FROM pg_class LIMIT 1")

        def held() -> bool:
            oldest = driver.health(5.0).oldest_transaction
            return oldest is not None and oldest > 0.3

        until(held)


def test_health_has_its_answer_in_time_from_a_server_that_gives_none(
    server: str, driver: PostgresDriver, make_driver: MakeDriver
) -> None:
    with Proxy(server) as proxy:
        remote = make_driver(proxy.conninfo)
        remote.start()
        with Gaffer(remote) as g:
            g.ensure_queue("q", worker=lambda job: None)
            assert g.health().ready
            proxy.silence()

            with took(0.5, PATIENCE / 2), pytest.raises(DriverUnavailable):
                remote.health(1.0)
            health = g.health(1.0)

            assert (health.live, health.ready) == (True, False)
            proxy.heal()
            until(lambda: g.health(1.0).ready)
