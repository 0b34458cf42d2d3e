"""Ways to write what became of jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from _schema_claim import OFF
from _schema_report import Figures, Stopwatch
from _schema_room import Bench, Room, claimed, fields, settlement
from _schema_tables import MATCHED, Design

__all__ = ["settles"]

GROWN = 10_000
GIVEN = Design().given()
COMPLETED = Design().completed()
LOCKED = (
    f"s AS MATERIALIZED (SELECT s.* FROM jobs JOIN {GIVEN} ON {MATCHED}"
    " ORDER BY jobs.id FOR NO KEY UPDATE OF jobs)"
)
CHECKED = (
    f"done AS ({COMPLETED} FROM s WHERE {MATCHED} RETURNING 1)"
    # A division by zero where fewer rows were met than given.
    " SELECT 1 / (count(*) = cardinality(%(ids)b::uuid[]))::int FROM done"
)
SET_BASED = (
    f"{Design().completed(now='p_now')} FROM unnest(p_ids, p_revisions, p_results)"
    f" AS s(id, revision, result) WHERE {MATCHED};"
    " GET DIAGNOSTICS n = ROW_COUNT; IF n <> cardinality(p_ids) THEN RAISE 'stale'; END IF;"
)
WITH_ANY = SET_BASED.replace(MATCHED, f"{MATCHED} AND jobs.id = ANY (p_ids)")
"""A condition that gives the planner a second way by the index; it follows from the others."""

LOOP = (
    "FOR i IN 1 .. cardinality(p_ids) LOOP "
    + Design().completed("p_results[i]", "p_now")
    + " WHERE id = p_ids[i] AND revision = p_revisions[i];"
    " IF NOT FOUND THEN RAISE 'stale'; END IF; n := n + 1; END LOOP;"
)


def statement(room: Room, *, text: str) -> str:
    """Return a statement as it is."""
    return text


def function(room: Room, *, body: str, settings: tuple[str, ...] = ()) -> str:
    """Create the function that settles, and return the call of it."""
    clauses = " ".join(f"SET {setting}" for setting in settings)
    room.do(
        "CREATE FUNCTION settle(p_ids uuid[], p_revisions int[], p_results json[],"
        f" p_now timestamptz) RETURNS int LANGUAGE plpgsql VOLATILE {clauses} AS"
        f" $$ DECLARE n int := 0; BEGIN {body} RETURN n; END $$"
    )
    return (
        "SELECT settle(%(ids)b::uuid[], %(revisions)b::int[], %(results)b::json[],"
        " %(now)s::timestamptz)"
    )


WAYS: dict[str, Callable[[Room], str]] = {
    "UPDATE FROM unnest": partial(statement, text=Design().settle()),
    "locked by id": partial(statement, text=f"WITH {LOCKED} {COMPLETED} FROM s WHERE {MATCHED}"),
    "checked": partial(statement, text=f"WITH s AS (SELECT * FROM {GIVEN}), {CHECKED}"),
    "locked by id, checked": partial(statement, text=f"WITH {LOCKED}, {CHECKED}"),
    "with ANY": partial(statement, text=f"{Design().settle()} AND jobs.id = ANY (%(ids)b)"),
    "function, checked": partial(function, body=SET_BASED),
    "function, checked, 5 SETs": partial(function, body=SET_BASED, settings=OFF),
    "function, with ANY, checked, 5 SETs": partial(function, body=WITH_ANY, settings=OFF),
    "function, loop, checked": partial(function, body=LOOP),
    "function, loop, checked, 5 SETs": partial(function, body=LOOP, settings=OFF),
}


def settles(bench: Bench) -> None:
    """Compare the ways."""
    cases = {}
    for name, make in WAYS.items():
        room = bench.room()
        cases[name] = partial(settle, room, make(room))
    bench.compare("8. The settlement of jobs", cases)
    grown = {}
    for name, make in WAYS.items():
        room = bench.room(Design(options=", autovacuum_enabled = false"), waiting=0)
        grown[name] = partial(grow, room, make(room))
    bench.compare(f"8. The same, {GROWN:,} jobs inserted since the plan was made", grown, most=5)


def grow(room: Room, text: str) -> Figures:
    """Settle by 10 on a connection that made its plan when few jobs were there."""
    watch = Stopwatch()
    for name, analyze in (("never analyzed", False), ("analyzed small", True)):
        room.do("TRUNCATE jobs")
        jobs = _executing(room, 200)
        if analyze:
            room.tidy()
        with room.connect() as connection:
            for _ in range(20):
                connection.execute(text.encode(), settlement([jobs.pop() for _ in range(5)]))
            room.fill("available", GROWN)
            for _ in range(5):
                values = settlement([jobs.pop() for _ in range(10)])
                with watch(f"settle 10, {name}"):
                    connection.execute(text.encode(), values)
    return watch.medians()


def _executing(room: Room, number: int) -> list[tuple[UUID, int]]:
    """Insert and claim jobs."""
    room.do(room.design.insert(), fields(room, number))
    claim = {"queue": room.queue, "limit": number, "now": datetime.now(UTC), "node": "node"}
    return claimed(room.rows(room.design.claim(), claim))


def settle(room: Room, text: str) -> Figures:
    """Settle claimed jobs by 1, by 10 and by 100."""
    jobs = _executing(room, 2000)
    watch = Stopwatch()
    for size, times in ((1, 40), (10, 40), (100, 10)):
        for _ in range(times):
            values = settlement([jobs.pop() for _ in range(size)])
            with watch(f"settle {size}"):
                room.do(text, values)
    left = room.rows("SELECT count(*) FROM jobs WHERE state = 'executing'")[0][0]
    assert left == len(jobs), (left, len(jobs))
    room.clear()
    return watch.medians()
