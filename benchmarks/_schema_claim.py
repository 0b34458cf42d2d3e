"""Ways to claim jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from _schema_report import Figures, Stopwatch
from _schema_room import Bench, Room, claimed, fields, settlement
from _schema_tables import Design

__all__ = ["OFF", "claim_function", "claims"]

OFF = tuple(
    f"enable_{name} = off" for name in ("seqscan", "bitmapscan", "hashjoin", "mergejoin", "sort")
)
WAITING = 10_000
GENERIC = "plan_cache_mode = force_generic_plan"
CUSTOM = "plan_cache_mode = force_custom_plan"
LOCK = "PERFORM pg_advisory_xact_lock(77, p_queue);"
COUNT = (
    "SELECT count(*) INTO n FROM jobs WHERE queue_id = p_queue AND state = 'executing';"
    " IF n >= 100 THEN RETURN; END IF;"
)
PICKED = Design().picked("p_queue", "p_limit")
STARTED = Design().started("p_now", "p_node")
JOIN = Design().claim(PICKED, STARTED)
ARRAY = "{started} WHERE id = ANY (ARRAY({picked})) RETURNING jobs.*"
"""A claim without a join: the planner cannot choose a bad one."""


def claim_function(
    room: Room, *, body: str = JOIN, settings: tuple[str, ...] = (), before: str = ""
) -> str:
    """Create the function that claims, and return the call of it."""
    clauses = " ".join(f"SET {setting}" for setting in settings)
    room.do(
        "CREATE FUNCTION claim(p_queue int, p_limit int, p_now timestamptz, p_node text)"
        f" RETURNS SETOF jobs LANGUAGE plpgsql VOLATILE {clauses} AS $$ DECLARE n int;"
        f" BEGIN {before} RETURN QUERY {body}; END $$"
    )
    return "SELECT * FROM claim(%(queue)s::int, %(limit)s::int, %(now)s::timestamptz, %(node)s)"


def plain(room: Room) -> str:
    """Return the statement."""
    return room.design.claim()


def array(room: Room) -> str:
    """Return the statement without a join."""
    return ARRAY.format(started=room.design.started(), picked=room.design.picked())


_ARRAY = ARRAY.format(started=STARTED, picked=PICKED)
WAYS: dict[str, Callable[[Room], str]] = {
    "statement": plain,
    "statement, array": array,
    "function": claim_function,
    "function, array": partial(claim_function, body=_ARRAY),
    "function, custom plan": partial(claim_function, settings=(CUSTOM,)),
    "function, 1 SET": partial(claim_function, settings=OFF[:1]),
    "function, 5 SETs": partial(claim_function, settings=OFF),
    "function, 5 SETs, generic plan": partial(claim_function, settings=(*OFF, GENERIC)),
    "function, array, 5 SETs": partial(claim_function, body=_ARRAY, settings=OFF),
    "function, array, 5 SETs, generic plan": partial(
        claim_function, body=_ARRAY, settings=(*OFF, GENERIC)
    ),
    "function, lock": partial(claim_function, before=LOCK),
    "function, lock, count": partial(claim_function, before=LOCK + COUNT),
    "function, 5 SETs, lock, count": partial(claim_function, settings=OFF, before=LOCK + COUNT),
}


PLANNED = [(name, make) for name, make in WAYS.items() if "lock" not in name]


def claims(bench: Bench) -> None:
    """Compare the ways; what SET clauses cost alone; and plans made when no job was there."""
    cases = {}
    for name, make in WAYS.items():
        room = bench.room()
        cases[name] = partial(claim, room, make(room))
    bench.compare("7. The claim as a statement and as a function", cases)
    _empty_functions(bench)
    polled = {}
    for name, make in PLANNED:
        room = bench.room(Design(options=", autovacuum_enabled = false"), waiting=0)
        polled[name] = partial(poll, room, make(room))
    title = f"7. The same, {WAITING:,} jobs inserted since the plan was made"
    bench.compare(title, polled, most=5)


def claim(room: Room, statement: str) -> Figures:
    """Claim by 1, by 10 and by 100, while 50 others are executing."""
    for _ in range(2):
        room.do(room.design.insert(), fields(room, 1000))
    values = {"queue": room.queue, "now": datetime.now(UTC), "node": "node"}
    room.rows(room.design.claim(), {**values, "limit": 50})
    watch = Stopwatch()
    for size, times in ((1, 40), (10, 40), (100, 10)):
        for _ in range(times):
            with watch(f"claim {size}"):
                jobs = room.rows(statement, {**values, "limit": size})
            assert len(jobs) == size
            room.do(room.design.settle(), settlement(claimed(jobs)))
    room.clear()
    return watch.medians()


def poll(room: Room, statement: str) -> Figures:
    """Claim by 10 on a connection that has polled while no job was there."""
    watch = Stopwatch()
    values = {"queue": room.queue, "limit": 10, "now": datetime.now(UTC), "node": "node"}
    for name, kept, analyze in (
        ("never analyzed", 0, False), ("analyzed empty", 0, True), ("10,000 ended", 10_000, True),
    ):  # fmt: skip
        room.do("TRUNCATE jobs")
        if kept:
            room.fill("completed", kept, queue=3, completed_at="now()")
        if analyze:
            room.tidy()
        with room.connect() as connection:
            claim = partial(connection.execute, statement.encode(), values)
            for _ in range(20):
                assert not claim().fetchall()
            room.fill("available", WAITING, queue=1)
            for _ in range(5):
                with watch(f"claim 10, {name}"):
                    jobs = claim().fetchall()
                assert len(jobs) == 10
    return watch.medians()


def _empty_functions(bench: Bench) -> None:
    """Measure the SET clauses alone: 1,000 calls of an empty function in one statement."""
    room = bench.room(waiting=0)
    cases = {}
    for name, settings in {"no SET": (), "1 SET": OFF[:1], "5 SETs": OFF}.items():
        function = f"empty_{len(settings)}"
        clauses = " ".join(f"SET {setting}" for setting in settings)
        room.do(
            f"CREATE FUNCTION {function}(n int) RETURNS int LANGUAGE plpgsql VOLATILE {clauses}"
            " AS $$ BEGIN RETURN n; END $$"
        )
        statement = f"SELECT sum({function}(n)) FROM generate_series(1, 1000) n"
        cases[name] = partial(_called, room, statement)
    bench.compare("7. The SET clauses of an empty function, 1,000 calls", cases)


def _called(room: Room, statement: str) -> Figures:
    watch = Stopwatch()
    for _ in range(10):
        with watch("1000 calls"):
            room.rows(statement)
    return watch.medians()
