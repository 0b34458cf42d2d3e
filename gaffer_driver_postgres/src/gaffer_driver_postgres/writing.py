"""Writing jobs: each batch is one statement, and so all or nothing.

Three kinds of jobs have statements of their own, from the most frequent on: new ones; the ends of
attempts that were claimed here, of which only what an end changes is sent; and any others, whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import psycopg

from gaffer.driver import (
    Claim,
    Conflict,
    DriverError,
    DriverUnavailable,
    Job,
    JobState,
    dump_errors,
)
from gaffer_driver_postgres.bounds import Start
from gaffer_driver_postgres.refusals import explain
from gaffer_driver_postgres.rows import (
    array,
    claim_values,
    dumped_backoff,
    instants,
    plain,
    records,
    stored_state,
    text_array,
    untouched,
)
from gaffer_driver_postgres.sessions import Cursor
from gaffer_driver_postgres.statements import Statements

__all__ = ["Batch", "Remembered", "Writer"]

T = TypeVar("T")

_TRIES = 5
_MOST_REMEMBERED = 10_000
_MOST_AT_ONCE = 10_000
_LARGEST = 8_000_000
"""Jobs, and characters of their payloads, that one statement inserts: a quarter of a second."""

_unchanged = attrgetter(
    "queue", "kind", "chain", "payload_json", "max_attempts", "priority", "timeout", "backoff",
    "shutdown_timeout", "hops", "created_at", "attempted_at",
)  # fmt: skip
_shared = attrgetter(
    "queue", "kind", "chain", "max_attempts", "priority", "timeout", "backoff",
    "shutdown_timeout", "hops", "created_at", "scheduled_at",
)  # fmt: skip
_ended = attrgetter("completed_at", "failed_at", "cancelled_at")
_ENDS = {
    JobState.AVAILABLE: None,
    JobState.COMPLETED: 0,
    JobState.FAILED: 1,
    JobState.CANCELLED: 2,
}


class Caller(Protocol):
    """What makes a call on a connection: `Connections.call`, or the like."""

    def __call__(self, what: str, work: Callable[[Cursor], Any], /, *, times: int = 1) -> Any:
        """Return what *work* returns, within *times* the time of a call."""
        ...


class Remembered:
    """The jobs claimed here, as they were: storage holds the same until the next revision."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[int, Job] = {}  # by the id's number, which hashes faster

    def add(self, jobs: Sequence[Job]) -> None:
        """Remember *jobs*; of very many, those of long ago are forgotten, which does no harm."""
        with self._lock:
            self._jobs.update([(job.id.int, job) for job in jobs])
            while len(self._jobs) > _MOST_REMEMBERED:
                del self._jobs[next(iter(self._jobs))]

    def forget(self, jobs: Sequence[Job]) -> None:
        """Forget what *jobs*, written, were claimed as; not what has been claimed since."""
        with self._lock:
            for job in jobs:
                before = self._jobs.get(job.id.int)
                if before is not None and before.revision < job.revision:
                    del self._jobs[job.id.int]

    def before(self, job: Job) -> Job | None:
        """Return what *job* was claimed as, if no more has changed than an end changes."""
        before = self._jobs.get(job.id.int)
        if before is None or before.revision != job.revision - 1 or job.state not in _ENDS:
            return None
        if _unchanged(before) != _unchanged(job):
            return None
        end, ended = _ENDS[job.state], _ended(job)
        if end is None:
            return before if ended == (None, None, None) else None
        return before if ended[end] is not None and ended.count(None) == 2 else None


@dataclass(slots=True)
class Batch:
    """Jobs sorted by the statement that writes them."""

    new: list[Job] = field(default_factory=list)
    ends: list[tuple[Job, Job]] = field(default_factory=list)
    others: list[Job] = field(default_factory=list)

    @classmethod
    def of(cls, jobs: Sequence[Job], remembered: Remembered) -> Batch:
        """Sort *jobs*."""
        batch = cls()
        for job in jobs:
            if job.revision == 0 and job.chain is None and plain(job):
                batch.new.append(job)
            elif job.revision and (before := remembered.before(job)) is not None:
                batch.ends.append((before, job))
            else:
                batch.others.append(job)
        if batch.new and (batch.ends or batch.others):
            batch.others += batch.new
            batch.new = []
        if batch.ends and any(job.revision for job in batch.others):
            # By two statements rows would be locked in two turns, and not in the order of all.
            batch.others += [job for _, job in batch.ends]
            batch.ends = []
        return batch


class Writer:
    """Writes batches by the statements of one schema; *now* is the server's clock."""

    def __init__(self, statements: Statements, now: Callable[[], datetime]) -> None:
        self._sql = statements
        self._now = now

    def write(self, call: Caller, jobs: Sequence[Job], remembered: Remembered) -> None:
        """Write *jobs*; raise `Conflict` or `UnknownQueue`, or what *call* raises."""
        parts = _parts(jobs)

        def write() -> None:
            if len(parts) > 1:
                call(
                    "write",
                    lambda cursor: self._in_parts(cursor, parts, remembered),
                    times=len(parts),
                )
                return
            statement, values = self.statement(Batch.of(jobs, remembered))
            call("write", lambda cursor: cursor.execute(statement, values))

        self._insist(call, jobs, write)

    def _in_parts(
        self, cursor: Cursor, parts: Iterable[Sequence[Job]], remembered: Remembered
    ) -> None:
        """Insert all parts or none."""
        with cursor.connection.transaction():
            for part in parts:  # the text of one at a time in memory
                cursor.execute(*self.statement(Batch.of(part, remembered)))

    def write_and_claim(
        self,
        call: Caller,
        jobs: Sequence[Job],
        remembered: Remembered,
        claim: Claim,
        start: Start,
    ) -> list[tuple[Any, ...]] | None:
        """Write *jobs* and return the rows claimed, if one statement can do both; else `None`."""

        def write() -> list[tuple[Any, ...]] | None:
            batch = Batch.of(jobs, remembered)
            alien = any(job.queue != claim.queue for _, job in batch.ends)
            if not batch.ends or batch.others or alien:
                return None
            values = [*self._settle(batch.ends), *claim_values(claim, start)]
            return call(  # type: ignore[no-any-return]
                "write and claim",
                lambda cursor: cursor.execute(self._sql.settle_and_claim, values).fetchall(),
            )

        return self._insist(call, jobs, write)

    def _insist(self, call: Caller, jobs: Sequence[Job], write: Callable[[], T]) -> T:
        twice = len({job.id.int for job in jobs}) != len(jobs)
        for _ in range(_TRIES):
            if not twice:
                try:
                    return write()
                except psycopg.Error as error:
                    if not _refused(error):
                        raise
            # Refused because of what storage held; by now it may hold something else.
            call("write", lambda cursor: explain(self._sql, cursor, jobs))
        raise DriverUnavailable("write: refused again and again for reasons that pass")

    def write_there(self, cursor: Cursor, jobs: Sequence[Job]) -> None:
        """Write *jobs* in the transaction of *cursor*; raise as `write` does.

        New jobs of chains take no lock there, which would last as long as that transaction: the
        claim sees to their order.
        """
        if all(plain(job) for job in jobs):
            statement, values = self.insert(jobs)
        elif all(untouched(job) for job in jobs):
            statement, values = self._sql.insert_keyed, [records(jobs, self._now)]
        else:
            statement, values = self.statement(Batch(others=list(jobs)))
        if len({job.id for job in jobs}) != len(jobs):
            explain(self._sql, cursor, jobs)
        try:
            with cursor.connection.transaction():
                cursor.execute(statement, values)
        except psycopg.Error as error:
            if not _refused(error):
                raise
            explain(self._sql, cursor, jobs)
            if error.diag.constraint_name == "jobs_unique":
                raise DriverError(
                    "a job that this transaction's snapshot does not show holds a key; "
                    "roll the transaction back, and do it again"
                ) from error
            if error.sqlstate == "23505":  # which this transaction's snapshot does not show
                raise Conflict(job.id for job in jobs if job.revision == 0) from error
            raise DriverUnavailable("write: refused for a reason that has passed") from error

    def insert_there(self, cursor: Cursor, jobs: Sequence[Job]) -> None:
        """Insert new *jobs* in *cursor*'s transaction; raise `Conflict` for ids that are taken."""
        statement, values = self.statement(Batch(new=[], others=list(jobs)))
        try:
            with cursor.connection.transaction():
                cursor.execute(statement, values)
        except psycopg.Error as error:
            if error.sqlstate != "23505":
                raise
            explain(self._sql, cursor, jobs)
            raise Conflict(job.id for job in jobs) from error  # it was there, and is gone

    def statement(self, batch: Batch) -> tuple[str, Sequence[Any]]:
        """Return the statement of *batch*, which is not empty, and its parameters."""
        if batch.new:
            return self.insert(batch.new)
        if not batch.others:
            return self._sql.settle, self._settle(batch.ends)
        sql, others = self._sql, records(batch.others, self._now)
        keyed = any(job.unique is not None for job in batch.others)
        if not batch.ends:
            return sql.write_keyed if keyed else sql.write, [others]
        both = sql.settle_and_write_keyed if keyed else sql.settle_and_write
        return both, [*self._settle(batch.ends), others]

    def insert(self, jobs: Sequence[Job]) -> tuple[str, Sequence[Any]]:
        """Return the statement that inserts plain new *jobs*, and its parameters."""
        if len(jobs) == 1:
            return self._one(jobs[0])
        first = _shared(jobs[0])
        if all(_shared(job) == first for job in jobs):
            return self._sql.insert_alike, self._alike(jobs)
        return self._sql.insert_many, self._many(jobs)

    def _alike(self, jobs: Sequence[Job]) -> Sequence[Any]:
        first = jobs[0]
        return [
            first.kind,
            first.chain,
            stored_state(first, self._now),
            first.max_attempts,
            first.priority,
            first.timeout,
            dumped_backoff(first.backoff),
            first.shutdown_timeout,
            first.hops,
            first.created_at.isoformat(),
            None if first.scheduled_at is None else first.scheduled_at.isoformat(),
            first.queue,
            array([job.id.hex for job in jobs]),
            text_array([job.payload_json for job in jobs]),
        ]

    def _many(self, jobs: Sequence[Job]) -> Sequence[Any]:
        now = self._now
        return [
            text_array({job.queue for job in jobs}),
            array([job.id.hex for job in jobs]),
            text_array([job.queue for job in jobs]),
            text_array([job.kind for job in jobs]),
            text_array([job.chain for job in jobs]),
            text_array([job.payload_json for job in jobs]),
            array([stored_state(job, now) for job in jobs]),
            array([job.max_attempts for job in jobs]),
            array([job.priority for job in jobs]),
            array([job.timeout for job in jobs]),
            text_array([dumped_backoff(job.backoff) for job in jobs]),
            array([job.shutdown_timeout for job in jobs]),
            array([job.hops for job in jobs]),
            instants([job.created_at for job in jobs]),
            instants([job.scheduled_at for job in jobs]),
        ]

    def _one(self, job: Job) -> tuple[str, Sequence[Any]]:
        backoff, scheduled = dumped_backoff(job.backoff), job.scheduled_at
        if job.chain is None and scheduled is None and not job.hops:
            return self._sql.insert_plain, [
                job.queue,
                job.id,
                job.kind,
                job.payload_json,
                job.max_attempts,
                job.priority,
                job.timeout,
                backoff,
                job.shutdown_timeout,
                job.created_at,
            ]
        return self._sql.insert_one, [
            job.id.hex,
            job.queue,
            job.kind,
            job.chain,
            job.payload_json,
            stored_state(job, self._now),
            job.max_attempts,
            job.priority,
            job.timeout,
            backoff,
            job.shutdown_timeout,
            job.hops,
            job.created_at.isoformat(),
            None if scheduled is None else scheduled.isoformat(),
        ]

    def _settle(self, ends: Sequence[tuple[Job, Job]]) -> Sequence[Any]:
        # In ascending order, as the index gives them: whichever of the two a plan goes by, no two
        # batches lock rows in different ones.
        ends = sorted(ends, key=lambda pair: pair[1].id.int)
        jobs = [job for _, job in ends]
        return [
            array([job.id.hex for job in jobs]),
            array([job.revision for job in jobs]),
            array([stored_state(job, self._now) for job in jobs]),
            array([job.attempt for job in jobs]),
            instants([job.scheduled_at for job in jobs]),
            instants([job.completed_at or job.failed_at or job.cancelled_at for job in jobs]),
            text_array([job.result_json for job in jobs]),
            text_array(
                [
                    None if job.errors is before.errors else dump_errors(job.errors)
                    for before, job in ends
                ]
            ),
            any(job.chain is not None for job in jobs),
        ]


def _parts(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """Return new *jobs* of one queue in parts for which a call has time; others as they are."""
    first = jobs[0]
    if first.revision or len(jobs) == 1:
        return [jobs]
    size = sum([len(job.payload_json) for job in jobs])
    if len(jobs) <= _MOST_AT_ONCE and size <= _LARGEST:
        return [jobs]
    if any(job.revision or job.queue != first.queue for job in jobs):
        return [jobs]
    parts, begin, size = [], 0, 0
    for end, job in enumerate(jobs):
        size += len(job.payload_json)
        if end > begin and (end - begin == _MOST_AT_ONCE or size > _LARGEST):
            parts.append(jobs[begin:end])
            begin, size = end, len(job.payload_json)
    return [*parts, jobs[begin:]]


def _refused(error: psycopg.Error) -> bool:
    return (error.sqlstate or "") in ("GFC01", "GFK01", "23505", "23502")
