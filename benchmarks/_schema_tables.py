"""The tables that are compared, and the statements of a job's life on each of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIELDS", "MATCHED", "STATES", "Design"]

STATES = ("available", "scheduled", "executing", "completed", "failed", "cancelled", "chained")

FIELDS: dict[str, str] = {
    "id": "uuid",
    "state": "text",
    "priority": "int",
    "created_at": "timestamptz",
    "scheduled_at": "timestamptz",
    "revision": "int",
    "attempt": "int",
    "max_attempts": "int",
    "timeout": "float8",
    "shutdown_timeout": "float8",
    "hops": "int",
    "kind": "text",
    "chain": "text",
    "payload": "json",
    "backoff": "text",
}
"""What an insert gives for each job, its queue apart."""

MATCHED = "jobs.id = s.id AND jobs.revision = s.revision"
"""Which job a settlement means."""

_TABLE = """
CREATE TABLE {name} (
  id uuid PRIMARY KEY, queue_id {queue}, state {state} NOT NULL, priority int NOT NULL DEFAULT 0,
  created_at timestamptz, scheduled_at timestamptz, attempted_at timestamptz,
  completed_at timestamptz, failed_at timestamptz, cancelled_at timestamptz,
  revision int, attempt int, max_attempts int, timeout float8, shutdown_timeout float8, hops int,
  node text, kind text, chain text, payload {json}, backoff text, result {json}, errors {json}
) WITH (fillfactor = {fillfactor}{options})"""

_QUEUES = {
    "name": 'text COLLATE "C" NOT NULL',
    "foreign key": "int NOT NULL REFERENCES queues (id)",
}


@dataclass(frozen=True)
class Design:
    """One way to keep the jobs: the baseline, unless told otherwise."""

    state: str = "text"
    """The state's type: `text`, `smallint`, `enum`, `"char"`."""
    json: str = "json"
    """The type of payload, result and errors."""
    queue: str = "int"
    """`int`, `foreign key`, `FOR KEY SHARE`, `FOR KEY SHARE in a CTE`, or `name`."""
    fillfactor: int = 100
    options: str = ""
    """Further storage parameters of the table."""
    ended: str = "update"
    """Where ended jobs go: `update` (they stay), `delete`, `move`."""
    listing: bool = False
    """Whether there is a plain index on the queue and the time of insertion."""

    @property
    def state_type(self) -> str:
        """Return the type of the state's column."""
        return "job_state" if self.state == "enum" else self.state

    def stored(self, state: str) -> str | int:
        """Return what is kept for *state*."""
        place = STATES.index(state)
        if self.state == "smallint":
            return place
        return "abcdefg"[place] if self.state == '"char"' else state

    def literal(self, state: str) -> str:
        """Return *state* as it stands in a statement."""
        return f"'{self.stored(state)}'::{self.state_type}"

    def tables(self) -> list[str]:
        """Return the statements that create everything."""
        made = [
            "CREATE TABLE queues (id int PRIMARY KEY, name text UNIQUE)",
            "INSERT INTO queues SELECT n, 'q' || n FROM generate_series(1, 9) n",
        ]
        if self.state == "enum":
            made.append(f"CREATE TYPE job_state AS ENUM ({', '.join(map(repr, STATES))})")
        made += [self._table("jobs"), *self._indexes()]
        if self.ended == "move":
            made += [self._table("ended"), self._ended("ended")]
        return made

    def _table(self, name: str) -> str:
        return _TABLE.format(
            name=name,
            queue=_QUEUES.get(self.queue, "int NOT NULL"),
            state=self.state_type,
            json=self.json,
            fillfactor=self.fillfactor,
            options=self.options,
        )

    def _indexes(self) -> list[str]:
        ready, scheduled, executing = map(self.literal, STATES[:3])
        made = [
            "CREATE INDEX ready ON jobs (queue_id, priority DESC, created_at, id)"
            f" WHERE state = {ready}",
            f"CREATE INDEX scheduled ON jobs (queue_id, scheduled_at) WHERE state = {scheduled}",
            f"CREATE INDEX executing ON jobs (queue_id) WHERE state = {executing}",
        ]
        if self.ended == "update":
            made.append(self._ended("jobs"))
        if self.listing:
            made.append("CREATE INDEX listing ON jobs (queue_id, created_at, id)")
        return made

    def _ended(self, table: str) -> str:
        ended = ", ".join(map(self.literal, ("completed", "failed", "cancelled")))
        return (
            f"CREATE INDEX ended_at ON {table}"
            " (queue_id, state, coalesce(completed_at, failed_at, cancelled_at))"
            f" WHERE state IN ({ended})"
        )

    def types(self) -> dict[str, str]:
        """Return the type of each field of an insert."""
        return {**FIELDS, "state": self.state_type, "payload": self.json}

    def insert(self, source: str | None = None, *, form: str = "b") -> str:
        """Return the insert of many jobs of one queue: an array for each field, or *source*.

        *form* is how psycopg sends the arrays: ``b`` in binary, ``s`` as text.
        """
        names = ", ".join(FIELDS)
        arrays = ", ".join(f"%({name}){form}::{kind}[]" for name, kind in self.types().items())
        source = source or f"unnest({arrays}) AS j({names})"
        chosen = ", ".join(f"j.{name}" for name in FIELDS)
        head = f"INSERT INTO jobs (queue_id, {names}) SELECT"
        if self.queue == "FOR KEY SHARE":
            return (
                f"{head} q.id, {chosen} FROM queues q, {source}"
                " WHERE q.name = %(name)s FOR KEY SHARE OF q"
            )
        if self.queue == "FOR KEY SHARE in a CTE":
            return (
                "WITH q AS MATERIALIZED"
                " (SELECT id FROM queues WHERE name = %(name)s FOR KEY SHARE)"
                f" {head} q.id, {chosen} FROM q, {source}"
            )
        return f"{head} %(queue)s, {chosen} FROM {source}"

    def picked(self, queue: str = "%(queue)s", limit: str = "%(limit)s", only: str = "true") -> str:
        """Return the choice of the next jobs, which locks them."""
        return (
            f"SELECT id FROM jobs WHERE queue_id = {queue} AND state = {self.literal('available')}"
            f" AND {only} ORDER BY priority DESC, created_at, id"
            f" LIMIT {limit} FOR UPDATE SKIP LOCKED"
        )

    def started(self, now: str = "%(now)s", node: str = "%(node)s") -> str:
        """Return the change that a claim makes."""
        return (
            f"UPDATE jobs SET state = {self.literal('executing')}, revision = jobs.revision + 1,"
            f" attempted_at = {now}, node = {node}"
        )

    def claim(self, picked: str | None = None, started: str | None = None) -> str:
        """Return the claim of the next jobs."""
        return (
            f"WITH picked AS MATERIALIZED ({picked or self.picked()}) {started or self.started()}"
            " FROM picked WHERE jobs.id = picked.id RETURNING jobs.*"
        )

    def given(self) -> str:
        """Return what a settlement is given, as a source of rows."""
        arrays = f"%(ids)b::uuid[], %(revisions)b::int[], %(results)b::{self.json}[]"
        return f"unnest({arrays}) AS s(id, revision, result)"

    def completed(self, result: str = "s.result", now: str = "%(now)s") -> str:
        """Return the change that a completion makes."""
        return (
            f"UPDATE jobs SET state = {self.literal('completed')}, revision = jobs.revision + 1,"
            f" attempt = attempt + 1, completed_at = {now}, result = {result}, node = NULL"
        )

    def settle(self) -> str:
        """Return the completion of many jobs."""
        if self.ended == "update":
            return f"{self.completed()} FROM {self.given()} WHERE {MATCHED}"
        delete = f"DELETE FROM jobs USING {self.given()} WHERE {MATCHED}"
        if self.ended == "delete":
            return delete
        return (
            f"WITH gone AS ({delete} RETURNING jobs.*, s.result AS given) INSERT INTO ended SELECT"
            f" id, queue_id, {self.literal('completed')}, priority, created_at, scheduled_at,"
            " attempted_at, %(now)s::timestamptz, failed_at, cancelled_at, revision + 1,"
            " attempt + 1, max_attempts, timeout, shutdown_timeout, hops, NULL, kind, chain,"
            " payload, backoff, given, errors FROM gone"
        )

    def prune(self) -> str:
        """Return the removal of the completed jobs of a queue."""
        return (
            f"DELETE FROM {'ended' if self.ended == 'move' else 'jobs'}"
            f" WHERE queue_id = %(queue)s AND state = {self.literal('completed')}"
            " AND coalesce(completed_at, failed_at, cancelled_at) <= %(now)s"
        )
