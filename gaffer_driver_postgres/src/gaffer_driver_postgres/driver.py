"""The driver: each verb is one statement, and so one round trip and one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import TransactionStatus

from gaffer.driver import (
    Ahead,
    Claim,
    Cutoffs,
    DriverError,
    Job,
    JobFilter,
    JobState,
    Node,
    QueueHasJobs,
    StateStats,
    UnknownQueue,
)
from gaffer_driver_postgres.bounds import Start
from gaffer_driver_postgres.caller import unwrapped
from gaffer_driver_postgres.clock import monotonic
from gaffer_driver_postgres.errors import translated
from gaffer_driver_postgres.listing import listing
from gaffer_driver_postgres.opening import Opening
from gaffer_driver_postgres.rows import (
    array,
    claim_values,
    claimed_jobs,
    instants,
    job_of,
    stats_of,
    text_array,
)
from gaffer_driver_postgres.sessions import Cursor, cursor_of, read_committed

__all__ = ["PostgresDriver"]

_LONG = 600.0
"""Seconds for what may delete very many jobs at once."""


class PostgresDriver(Opening):
    """Keeps jobs in a schema of a PostgreSQL database, version 13 or later.

    - *conninfo*: a URL or keywords as libpq takes them; what it leaves out, and by default all,
      comes from libpq's ``PG*`` variables;
    - *pool*: a `psycopg_pool.ConnectionPool` to use instead; it is left open. Its connections
      come back as they were;
    - *schema*: where the tables are; installations in several schemas do not touch each other;
    - *migrate*: whether `start` makes and updates the schema; else it checks it;
    - *notify*: whether inserts are announced to other processes at once; else these find them
      within their `poll_interval`;
    - *pooler*: whether a pooler such as pgbouncer stands between, so that nothing may depend on
      the session; `None` finds out;
    - *max_connections*: the most that the driver's own pool holds. A process that works jobs has
      two more: one beats, one listens;
    - *timeout*: seconds within which each call is answered, or raises `DriverUnavailable`; with
      more than 50, `gaffer.Gaffer.health` takes a thread that waits for its answer for one that
      hangs.

    Nothing is opened before `start`. Raise `DriverError` for values out of range.
    """

    # -- queues --------------------------------------------------------------------------------

    def queue_insert(self, name: str) -> None:
        """Keep the name of a queue."""
        work = {"name": name}
        self._call("keep a queue", lambda c: c.execute(self._sql.queue_insert, work), again=True)

    def queue_exists(self, name: str) -> bool:
        """Return whether the name is kept."""
        [(exists,)] = self._read("look for a queue", self._sql.queue_exists, [name])
        return bool(exists)

    def queue_list(self) -> list[str]:
        """Return all names, sorted."""
        return [name for (name,) in self._read("list queues", self._sql.queue_list)]

    def queue_delete(self, name: str, *, jobs: bool = False) -> None:
        """Forget a queue, and its jobs if asked to."""
        try:
            self._call("delete a queue", lambda c: self._delete(c, name, jobs), timeout=_LONG)
        except psycopg.Error as error:
            if error.sqlstate == "GFQ01":
                raise UnknownQueue(name) from None
            if error.sqlstate == "GFJ01":
                raise QueueHasJobs(name) from None
            raise translated(error, "delete a queue") from error

    def _delete(self, cursor: Cursor, name: str, jobs: bool) -> None:
        with cursor.connection.transaction():
            read_committed(cursor)
            # Very many jobs take their time.
            cursor.execute("SELECT set_config('statement_timeout', '0', true)")
            cursor.execute(self._sql.queue_delete, [name, jobs])

    def queue_pause(self, name: str, paused: bool) -> bool:
        """Keep whether a queue is paused; return whether that was a change."""
        values = [name, paused]
        [(changed,)] = self._call(
            "pause a queue", lambda c: c.execute(self._sql.queue_pause, values).fetchall()
        )
        if changed is None:
            raise UnknownQueue(name)
        if changed and not paused:
            self._hub.inserted([name])
        return bool(changed)

    def queue_paused(self, name: str) -> bool:
        """Return whether a queue is paused."""
        return self._read("look at a queue", self._sql.queue_paused, [name]) == [(True,)]

    # -- jobs ----------------------------------------------------------------------------------

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write all of *jobs* or none.

        *connection*: a psycopg 3 connection, ``django.db.connection``, or a SQLAlchemy
        ``Connection`` or ``Session``. The write is part of its transaction, behind a savepoint.
        """
        if not jobs:
            return []
        if connection is not None:
            self._write_there(jobs, unwrapped(connection))
            return list(jobs)
        self._writer.write(self._call, jobs, self._remembered)
        self._remembered.forget(jobs)
        self._tell(jobs)
        return list(jobs)

    def _tell(self, jobs: Sequence[Job]) -> None:
        """Wake those who may claim one of *jobs* now."""
        new = {job.queue for job in jobs if job.revision == 0}
        if new:
            self._hub.inserted(new)

    def _write_there(self, jobs: Sequence[Job], connection: psycopg.Connection[Any]) -> None:
        cursor = cursor_of(connection)
        status = connection.info.transaction_status
        if status is TransactionStatus.INERROR:
            raise DriverError("the caller's transaction has failed: roll it back first")
        try:
            if status is TransactionStatus.IDLE and not connection.autocommit:
                # Else the savepoint would be a transaction of its own, and be committed.
                cursor.execute("SELECT 1")
            with connection.transaction():
                self._writer.write_there(cursor, jobs)
                if self._options.notify:
                    queues = text_array({job.queue for job in jobs})
                    notify = "SELECT pg_notify(%s, q) FROM unnest(%s::text[]) q"
                    cursor.execute(notify, [self._options.channel, queues])
        except psycopg.Error as error:
            if error.sqlstate == "25006":  # read only, and for good
                raise DriverError(f"the caller's transaction takes no job: {error}") from error
            raise translated(error, "write in the caller's transaction") from error
        except UnicodeEncodeError as error:
            encoding = connection.info.encoding
            raise DriverError(f"the connection's client_encoding is {encoding}: {error}") from None

    def job_get(self, id: UUID) -> Job | None:
        """Return a job, or `None`."""
        rows = self._read("get a job", self._sql.job_get, [id.hex])
        return job_of(rows[0]) if rows else None

    def job_ended(self, ids: Sequence[UUID]) -> dict[UUID, Job | None]:
        """Return those of *ids* that have ended, and `None` for those that are gone."""
        if not ids:
            return {}
        rows = self._read("look for results", self._sql.job_ended, [array(id.hex for id in ids)])
        return {asked: None if row[0] is None else job_of(row) for asked, *row in rows}

    def job_list(self, filter: JobFilter) -> list[Job]:
        """Return the jobs that meet *filter*, by (created_at, id)."""
        found = listing(self._sql.schema, filter)
        return [] if found is None else [job_of(row) for row in self._read("list jobs", *found)]

    def job_delete(self, id: UUID) -> bool:
        """Delete a job; return whether there was one."""
        [(deleted,)] = self._call(
            "delete a job", lambda c: c.execute(self._sql.job_delete, [id.hex]).fetchall()
        )
        return bool(deleted)

    def job_stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return count, oldest and newest of each state."""
        return stats_of(self._read("count jobs", self._sql.job_stats, [queue]))

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim jobs, in order."""
        # Who claims although the queue is paused wants all that is free, and may not come again.
        start = Start() if claim.even_paused else self._bounds.start(claim.queue)
        values = claim_values(claim, start)
        rows = self._call("claim jobs", lambda c: c.execute(self._sql.job_claim, values).fetchall())
        return self._claimed(rows, claim, start)

    def _claimed(self, rows: Sequence[Any], claim: Claim, start: Start) -> list[Job]:
        jobs, took = claimed_jobs(rows, claim)
        self._remembered.add(jobs)
        self._bounds.learn(claim, start, jobs, took)
        return jobs

    def job_write_and_claim(self, jobs: Sequence[Job], claim: Claim) -> list[Job]:
        """Write and claim; in one transaction if *jobs* are attempts that have ended, as usual."""
        start = self._bounds.start(claim.queue)
        rows = self._writer.write_and_claim(self._call, jobs, self._remembered, claim, start)
        if rows is None:
            return super().job_write_and_claim(jobs, claim)
        self._remembered.forget(jobs)
        return self._claimed(rows, claim, start)

    def job_prune(self, queue: str, cutoffs: Cutoffs, limit: int) -> list[UUID]:
        """Delete up to *limit* old jobs; return their ids."""
        befores = [None if before == "all" else before for before in cutoffs.values()]
        values = [queue, text_array([s.value for s in cutoffs]), instants(befores), limit]
        rows = self._call("prune", lambda c: c.execute(self._sql.job_prune, values).fetchall())
        return [id for (id,) in rows]

    def job_ahead(self, job: Job) -> Ahead:
        """Return what stands before an available job: counted, not read."""
        values = {
            "queue": job.queue,
            "id": job.id,
            "chain": job.chain,
            "priority": job.priority,
            "created_at": job.created_at,
            "now": self.now(),
        }
        [(count,)] = self._read("look what is ahead", self._sql.ahead, values)
        first = None
        if job.chain is not None:
            rows = self._read("look at a chain", self._sql.chain_ahead, values)
            first = job_of(rows[0]) if rows else None
        return Ahead(count, first)

    # -- schedules ------------------------------------------------------------------------------

    def schedule_last(self, queue: str, name: str) -> datetime | None:
        """Return the last slot of a schedule."""
        rows = self._read("look at a schedule", self._sql.schedule_last, [queue, name])
        return rows[0][0].replace(tzinfo=UTC) if rows else None

    def schedule_advance(
        self,
        queue: str,
        name: str,
        expected: datetime | None,
        slot: datetime,
        jobs: Sequence[Job],
    ) -> bool:
        """Keep a slot and insert its jobs, if the last one is *expected*: one transaction."""
        values = {"queue": queue, "name": name, "expected": expected, "slot": slot}

        def advance(cursor: Cursor) -> bool:
            with cursor.connection.transaction():
                read_committed(cursor)
                moved = cursor.execute(self._sql.schedule_advance, values).fetchone() is not None
                if moved and jobs:
                    self._writer.insert_there(cursor, jobs)
                return moved

        moved: bool = self._call("advance a schedule", advance)
        if not moved and not self.queue_exists(queue):
            raise UnknownQueue(queue)
        if moved:
            self._tell(jobs)
        return moved

    # -- nodes ---------------------------------------------------------------------------------

    def node_beat(self, node: str) -> None:
        """Note that *node* is alive, on a connection that nothing else can keep busy."""
        self._pulse.call("beat", lambda cursor: self._beat(cursor, node), timeout=5.0)

    def _beat(self, cursor: Cursor, node: str) -> None:
        before = monotonic()
        [(instant,)] = cursor.execute(self._sql.node_beat, [node]).fetchall()
        self._clock.measured(instant, before, monotonic())

    def node_leave(self, node: str) -> None:
        """Forget a node, and those that were silent for a day.

        A courtesy of a process that ends, and so not worth more than two seconds.
        """
        leave = self._sql.node_leave
        self._call("leave", lambda c: c.execute(leave, [node]), again=True, timeout=2.0)

    def node_tell(self, node: str, about: str) -> None:
        """Keep what a node says of itself."""
        values = [about, node]
        self._pulse.call(
            "tell of a node", lambda c: c.execute(self._sql.node_tell, values), timeout=5.0
        )

    def node_list(self) -> list[Node]:
        """Return the nodes by name."""
        return [
            Node(name=name, beat_at=at.replace(tzinfo=UTC), about=about)
            for name, at, about in self._read("list the nodes", self._sql.node_list)
        ]

    def job_orphans(self, queue: str | None, lease: float) -> list[Job]:
        """Return the executing jobs whose node has not beaten for *lease* seconds."""
        values = {"queue": queue, "lease": lease}
        return [job_of(row) for row in self._read("seek orphans", self._sql.orphans, values)]

    # -- waking --------------------------------------------------------------------------------

    def subscribe(
        self, queue: str, interval: float, wake: Callable[[], None]
    ) -> Callable[[], None] | None:
        """Call *wake* when a job of *queue* may have become claimable, within *interval*."""
        return self._hub.subscribe(queue, interval, wake)
