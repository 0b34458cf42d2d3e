"""The statement of a `JobFilter`: one branch for each state of storage, as each has an index."""

from __future__ import annotations

from typing import Any

from gaffer.driver import JobFilter, JobState
from gaffer_driver_postgres.rows import STATES
from gaffer_driver_postgres.statements import COLUMNS

__all__ = ["listing"]


def listing(schema: str, filter: JobFilter) -> tuple[str, dict[str, Any]] | None:
    """Return the statement and its parameters for *schema*, or `None` if no job can meet it."""
    states = frozenset(JobState) if filter.states is None else filter.states
    if filter.node is not None:
        states &= {JobState.EXECUTING}
    if not states or filter.limit == 0:
        return None
    conditions, values = _conditions(schema, filter)
    order = "ORDER BY j.created_at, j.id"
    if filter.limit is not None:
        order += f" LIMIT {int(filter.limit)}"
    branches = [
        f"(SELECT j.* FROM {schema}.jobs j WHERE {' AND '.join([state, *conditions])} {order})"
        for state in _states(states, filter.queue is None)
    ]
    statement = (
        f"SELECT {COLUMNS} FROM ({' UNION ALL '.join(branches)}) j "
        f"JOIN {schema}.queues q ON q.id = j.queue_id {order}"
    )
    return " ".join(statement.split()), values


def _states(states: frozenset[JobState], all_queues: bool) -> list[str]:
    if all_queues and len(states) == len(JobState):
        return ["true"]
    stored = [name for state in JobState if state in states for name in STATES[state]]
    chained = "j.state = 'chained' AND j.chain IS NOT NULL"  # as the index says it
    return [chained if name == "chained" else f"j.state = '{name}'" for name in stored]


def _conditions(schema: str, filter: JobFilter) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    if filter.queue is not None:
        conditions.append(
            f"j.queue_id = (SELECT q.id FROM {schema}.queues q WHERE q.name = %(queue)s)"
        )
        values["queue"] = filter.queue
    if filter.node is not None:
        conditions.append("j.node = %(node)s")
        values["node"] = filter.node
    if filter.after is not None:
        conditions.append("(j.created_at, j.id) > (%(at)s::timestamptz, %(id)s::uuid)")
        values |= {"at": filter.after[0].isoformat(), "id": filter.after[1].hex}
    return conditions, values
