"""The floor: the least that a durable queue must do, as raw statements; no library at all.

A worker is one connection, ten threads, a SimpleQueue each way and ``json.loads`` for each job.
*held* jobs at most are claimed and not yet recorded as done. *trips* is 1 if one statement records
what is done and claims what comes next, and 2 if these are two; *end* is ``update`` or ``delete``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, LiteralString

import psycopg

from versus.peer import Peer, Place, SyncPeer
from versus.peers.postgres import Look
from versus.record import Payload, run

__all__ = ["make"]

THREADS = 10

TABLE: LiteralString = """
CREATE TABLE floor (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    state smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 0,
    attempt smallint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempted_at timestamptz,
    completed_at timestamptz,
    payload jsonb NOT NULL
);
CREATE INDEX floor_ready ON floor (queue, priority, id) WHERE state = 0
"""
INSERT: LiteralString = "INSERT INTO floor (queue, payload) VALUES ('bench', %s)"
UNNEST: LiteralString = (
    "INSERT INTO floor (queue, payload) SELECT 'bench', p::jsonb FROM unnest(%s::text[]) p"
)
RETURNING: LiteralString = f"{UNNEST} RETURNING *"
COPY: LiteralString = "COPY floor (queue, payload) FROM STDIN"
CLAIM: LiteralString = """
UPDATE floor SET state = 1, attempt = attempt + 1, attempted_at = now() WHERE id IN (
    SELECT id FROM floor WHERE queue = 'bench' AND state = 0
    ORDER BY priority, id LIMIT %(room)s FOR UPDATE SKIP LOCKED
) RETURNING id, payload::text
"""
ENDS: dict[str, LiteralString] = {
    "update": "UPDATE floor SET state = 2, completed_at = now() WHERE id = ANY(%(done)s)",
    "delete": "DELETE FROM floor WHERE id = ANY(%(done)s)",
}


class Floor(SyncPeer):
    """The statements, called as a library would be."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._own = threading.local()
        self._look: Look | None = None

    def _connection(self) -> psycopg.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = psycopg.connect(self.place.url, autocommit=True)
        connection = self._own.connection
        assert isinstance(connection, psycopg.Connection)
        return connection

    def install(self) -> None:
        """Make the table."""
        self._connection().execute(TABLE)

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Insert all, the way that the setting *way* names."""
        texts = [json.dumps(payload) for payload in payloads]
        way = self.settings.get("way", "unnest")
        if way == "copy":
            with self._connection().cursor() as cursor, cursor.copy(COPY) as copy:
                for text in texts:
                    copy.write_row(("bench", text))
        elif way == "returning":
            self._connection().execute(RETURNING, [texts]).fetchall()
        else:
            self._connection().execute(UNNEST, [texts])

    def insert(self, payload: Payload) -> None:
        """Insert one."""
        self._connection().execute(INSERT, [json.dumps(payload)])

    def work(self) -> None:
        """Work jobs, for ever: never more than *held* at once."""
        todo: SimpleQueue[tuple[int, str]] = SimpleQueue()
        done: SimpleQueue[int] = SimpleQueue()
        for _ in range(THREADS):
            threading.Thread(target=_serve, args=[todo, done], daemon=True).start()
        held, steps = 0, Steps(self._connection(), **self.settings)
        while True:
            ended = _collect(done, wait=held > 0)
            claimed = steps(ended, room=steps.held - held + len(ended))
            held += len(claimed) - len(ended)
            for job in claimed:
                todo.put(job)
            if not held:
                threading.Event().wait(0.001)

    def unfinished(self) -> bool:
        """Tell whether a row is not done."""
        if self._look is None:
            self._look = Look(self.place.url, "floor WHERE state < 2")
        return self._look()


class Steps:
    """Records what is done and claims more, in one statement or in two."""

    def __init__(self, connection: psycopg.Connection, held: int, trips: int, end: str) -> None:
        self.held = held
        self._connection = connection
        self._trips = trips
        self._end = ENDS[end]
        self._both: LiteralString = f"WITH ended AS ({self._end}) {CLAIM}"

    def __call__(self, done: list[int], room: int) -> list[Any]:
        """Record *done* as done; return at most *room* jobs, now claimed."""
        values = {"done": done, "room": room}
        if self._trips == 1:
            return self._connection.execute(self._both, values).fetchall()
        if done:
            self._connection.execute(self._end, values)
        return self._connection.execute(CLAIM, values).fetchall()


def _serve(todo: SimpleQueue[tuple[int, str]], done: SimpleQueue[int]) -> None:
    while True:
        id, text = todo.get()
        run(json.loads(text))
        done.put(id)


def _collect(done: SimpleQueue[int], *, wait: bool) -> list[int]:
    """Return what is done; if *wait*, at least one."""
    ended = [done.get()] if wait else []
    try:
        while True:
            ended.append(done.get_nowait())
    except Empty:
        return ended


def make(place: Place) -> Peer:
    """Return the floor at *place*."""
    return Floor(place)
