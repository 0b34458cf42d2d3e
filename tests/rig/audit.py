"""What happened to jobs, as the database saw it: an account that no driver writes.

Each change of a job's row is written down at its commit, with the number of jobs of its queue and
of its chain that execute then. One commit goes after the other, so that none is missed. The tables
are logged: the account survives the crashes of its server as the jobs do. Beside it, the jobs write
what they do into the table ``effects``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

__all__ = ["Audit", "Transition"]

_TABLES = """
CREATE TABLE {s}.effects (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job uuid NOT NULL,
    chain text,
    process integer NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz
);
CREATE TABLE {s}.audit (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job uuid NOT NULL,
    was text,
    became text,
    revision integer,
    executing bigint NOT NULL,
    executing_in_chain bigint NOT NULL,
    queue text,
    chain text,
    attempt integer,
    max_attempts integer,
    priority integer,
    created_at timestamptz,
    origin uuid,
    error text,
    node text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION {s}.audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_queue integer := coalesce(NEW.queue_id, OLD.queue_id);
    v_chain text := coalesce(NEW.chain, OLD.chain);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('{s}.audit', 0));
    INSERT INTO {s}.audit (
        job, was, became, revision, executing, executing_in_chain, queue, chain, attempt,
        max_attempts, priority, created_at, origin, error, node
    )
    SELECT coalesce(NEW.id, OLD.id), OLD.state, NEW.state, NEW.revision, count(*),
        count(*) FILTER (WHERE j.chain = v_chain),
        (SELECT q.name FROM {s}.queues q WHERE q.id = v_queue), v_chain, NEW.attempt,
        NEW.max_attempts, NEW.priority, NEW.created_at,
        CASE WHEN NEW.hops > 0 THEN (NEW.payload->>'id')::uuid END,
        NEW.errors->0->1->>'type', coalesce(NEW.node, OLD.node)
    FROM {s}.jobs j WHERE j.queue_id = v_queue AND j.state = 'executing';
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON {s}.jobs
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {s}.audit();
"""


_TRANSITIONS = """
SELECT job, queue, chain, was, became, revision, attempt, max_attempts, priority, created_at,
    executing, executing_in_chain, origin, error, node, at
FROM {s}.audit ORDER BY place
"""


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a job's row, as it was committed; *became* is `None` for a deletion.

    *origin* is the job that this one was forwarded from, *error* the type of the newest error,
    *node* who executes it, or did until this change.
    """

    job: UUID
    queue: str | None
    chain: str | None
    was: str | None
    became: str | None
    revision: int | None
    attempt: int | None
    max_attempts: int | None
    priority: int | None
    created_at: datetime | None
    executing: int
    executing_in_chain: int
    origin: UUID | None
    error: str | None
    node: str | None
    at: datetime


class Audit:
    """The account of one schema, from now on, or one that has begun. *admin* commits by itself."""

    def __init__(self, admin: psycopg.Connection, schema: str, *, begin: bool = True) -> None:
        self._admin = admin
        self._schema = schema
        if begin:
            admin.execute(_TABLES.replace("{s}", f'"{schema}"').encode())

    def go_on(self, admin: psycopg.Connection) -> None:
        """Ask by another connection from now on: the last one broke."""
        self._admin = admin

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of *query*, or their values if they have one each."""
        text = query.replace("{s}", f'"{self._schema}"').encode()
        rows = self._admin.execute(text, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    def transitions(self) -> list[Transition]:
        """Return all changes of all jobs, in the order of their commits."""
        return [Transition(*row) for row in self.ask(_TRANSITIONS)]

    def stored(self) -> dict[UUID, tuple[str, int]]:
        """Return the state and the revision of each job that there is now."""
        rows = self.ask("SELECT id, state, revision FROM {s}.jobs")
        return {job: (state, revision) for job, state, revision in rows}

    def executing(self) -> int:
        """Return how many jobs execute now, in all queues."""
        [number] = self.ask("SELECT count(*) FROM {s}.jobs WHERE state = 'executing'")
        return int(number)

    def most_executing(self) -> int:
        """Return the most jobs of one queue that ever executed at once."""
        [most] = self.ask("SELECT coalesce(max(executing), 0) FROM {s}.audit")
        return int(most)

    def most_in_chain(self) -> int:
        """Return the most jobs of one chain that ever executed at once."""
        [most] = self.ask("SELECT coalesce(max(executing_in_chain), 0) FROM {s}.audit")
        return int(most)

    def overlaps(self) -> list[Any]:
        """Return the pairs of jobs of one chain that ran at once, by what they wrote."""
        return self.ask(
            "SELECT a.job, b.job FROM {s}.effects a JOIN {s}.effects b"
            " ON a.chain = b.chain AND a.place < b.place"
            " AND a.began < coalesce(b.ended, 'infinity')"
            " AND b.began < coalesce(a.ended, 'infinity')"
        )

    def ends(self) -> list[tuple[UUID, int]]:
        """Return the jobs that ended, and how often."""
        return self.ask(
            "SELECT job, count(*) FROM {s}.audit WHERE became <> coalesce(was, '')"
            " AND became IN ('completed', 'failed', 'cancelled') GROUP BY job ORDER BY job"
        )
