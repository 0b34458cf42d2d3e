"""What is wrong with a write that was refused, as far as storage still shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from gaffer.driver import Conflict, Job, KeyHeld, UnknownQueue
from gaffer_driver_postgres.rows import array, job_of, text_array
from gaffer_driver_postgres.sessions import Cursor
from gaffer_driver_postgres.statements import Statements

__all__ = ["explain"]


def explain(sql: Statements, cursor: Cursor, jobs: Sequence[Job]) -> None:
    """Raise what is wrong with writing *jobs*, as storage is now; or return."""
    twice = {id for id, number in Counter(job.id for job in jobs).items() if number > 1}
    cursor.execute(sql.revisions, [array({job.id.hex for job in jobs})])
    held: dict[UUID, int] = dict(cursor.fetchall())
    # An insert wants to find nothing, the others the revision before theirs.
    wrong = {job.id for job in jobs if held.get(job.id, -1) != job.revision - 1}
    if wrong | twice:
        raise Conflict(wrong | twice)
    names = {job.queue for job in jobs if job.revision == 0}
    cursor.execute(sql.known_queues, [text_array(names)])
    unknown = names - {name for (name,) in cursor.fetchall()}
    if unknown:
        raise UnknownQueue(next(job.queue for job in jobs if job.queue in unknown))
    _explain_keys(sql, cursor, jobs)


def _explain_keys(sql: Statements, cursor: Cursor, jobs: Sequence[Job]) -> None:
    """Raise `KeyHeld` if keys of *jobs* are held, as storage is now; or return."""
    keyed = [job for job in jobs if job.unique is not None and not job.state.terminal]
    if not keyed:
        return
    written = {job.id for job in jobs}
    names = text_array({job.queue for job in keyed})
    asked = [names, text_array({job.unique for job in keyed})]
    stored = [job_of(row) for row in cursor.execute(sql.key_holders, asked).fetchall()]
    there = [job for job in reversed(keyed) if job.revision]
    there += [job for job in stored if job.id not in written]
    past = {(queue, key): id for queue, key, id in cursor.execute(sql.past_holders, asked)}
    rows = cursor.execute(sql.jobs_of, [array({id.hex for id in past.values()})]).fetchall()
    known = {job.id: job for job in map(job_of, rows)}
    taken = {(job.queue, job.unique): job for job in there}
    held: dict[UUID, Job | UUID] = {}
    for job in keyed:
        place = (job.queue, job.unique)
        holder: Job | UUID = taken.setdefault(place, job)
        if holder is job and place in past and (past[place] != job.id or not job.revision):
            holder = known.get(past[place], past[place])
        if holder is not job:
            held[job.id] = holder
    if held:
        raise KeyHeld(held)
