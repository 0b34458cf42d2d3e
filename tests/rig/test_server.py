"""The server of the rig: what is committed survives whatever is done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.rig.server import Server, own_server


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """Give a server of our own."""
    with own_server() as made:
        yield made


ENDS: dict[str, Callable[[Server], None]] = {
    "fast stop": lambda server: server.stop(),
    "immediate stop": lambda server: server.stop("immediate"),
    "kill": lambda server: server.kill(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_it_comes_back_with_what_was_committed(own: Server, end: Callable[[Server], None]) -> None:
    database = own.create_database("kept")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")

        end(own)

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database)
    own.start()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    own.execute("DROP DATABASE kept")


def test_frozen_it_answers_nobody_and_thawed_everybody(own: Server) -> None:
    with psycopg.connect(own.conninfo, autocommit=True) as connection:
        own.freeze()
        try:
            connection.pgconn.send_query(b"SELECT 1")
            assert not own.answers()
        finally:
            own.thaw()
        results = iter(connection.pgconn.get_result, None)
        assert [result.get_value(0, 0) for result in results] == [b"1"]
