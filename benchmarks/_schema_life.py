"""The questions that the whole life of a job decides."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from threading import Barrier
from typing import Any

from _schema_report import Figures, Stopwatch
from _schema_room import Bench, Connection, Room, claimed, fields, settlement
from _schema_tables import Design

__all__ = ["documents", "endings", "fillfactors", "listings", "queues", "states"]

QUEUES = ("int", "foreign key", "FOR KEY SHARE", "FOR KEY SHARE in a CTE", "name")


def life(room: Room, *, payload: int = 0) -> Figures:
    """Insert jobs by 1,000, claim and settle 1,000 of them by 10 and by 100, remove those."""
    watch = Stopwatch()
    for _ in range(4):
        given = fields(room, 1000, payload=payload)
        with watch("insert 1000"):
            room.do(room.design.insert(), given)
    for size, times in ((10, 20), (100, 8)):
        for _ in range(times):
            work(room, size, watch)
    if room.design.ended != "delete":
        values = {"queue": room.queue, "now": datetime.now(UTC)}
        with watch("prune 1000"):
            room.do(room.design.prune(), values)
    room.clear()
    return {"jobs/s": rate(watch.medians()), **watch.medians()}


def rate(figures: Figures) -> float:
    """Return how many jobs per second live their life by 100, by medians: outliers do not count."""
    return 1e6 / sum(
        took / int(name.split()[1]) for name, took in figures.items() if not name.endswith(" 10")
    )


def work(room: Room, size: int, watch: Stopwatch) -> None:
    """Claim and settle *size* jobs."""
    claim = {"queue": room.queue, "limit": size, "now": datetime.now(UTC), "node": "node"}
    with watch(f"claim {size}"):
        jobs = room.rows(room.design.claim(), claim)
    given = settlement(claimed(jobs))
    with watch(f"settle {size}"):
        settled = room.do(room.design.settle(), given)
    assert settled == len(jobs) == size, (settled, len(jobs), size)


def _lives(bench: Bench, title: str, designs: Mapping[str, Design], payload: int = 0) -> None:
    cases = {
        name: partial(life, bench.room(design), payload=payload) for name, design in designs.items()
    }
    bench.compare(title, cases)


def states(bench: Bench) -> None:
    """Compare the types of the state."""
    kinds = ("text", "smallint", "enum", '"char"')
    _lives(bench, "1. The type of the state", {kind: Design(state=kind) for kind in kinds})


def documents(bench: Bench) -> None:
    """Compare the types of payload, result and errors."""
    designs = {kind: Design(json=kind) for kind in ("json", "jsonb", "text")}
    _lives(bench, "2. The type of payload, result and errors", designs)
    _lives(bench, "2. The same, with payloads of 3,000 characters", designs, payload=3000)


def queues(bench: Bench) -> None:
    """Compare how a job names its queue."""
    title = "3. How a job names its queue"
    designs = {kind: Design(queue=kind) for kind in QUEUES}
    _lives(bench, title, designs)
    cases = {name: partial(writers, bench.room(design)) for name, design in designs.items()}
    bench.compare(f"{title}: inserts by several writers", cases)


def writers(room: Room) -> Figures:
    """Insert with one and with four writers, one by one and by 1,000."""
    found: Figures = {}
    for number in (1, 4):
        connections = [room.connect() for _ in range(number)]
        for size, times in ((1, 200 // number), (1000, 8 // number)):
            name = f"{number} by {size}, jobs/s"
            found[name] = _together(room, connections, size, times)
        for connection in connections:
            connection.close()
    room.clear()
    return found


def _together(room: Room, connections: list[Connection], size: int, times: int) -> float:
    insert = room.design.insert().encode()
    gate = Barrier(len(connections) + 1)
    work = [[fields(room, size) for _ in range(times)] for _ in connections]

    def write(connection: Connection, batches: list[dict[str, Any]]) -> None:
        gate.wait(60)
        for batch in batches:
            connection.execute(insert, batch)

    with ThreadPoolExecutor(len(connections)) as pool:
        ran = [pool.submit(write, *given) for given in zip(connections, work, strict=True)]
        gate.wait(60)
        began = time.perf_counter()
        for one in ran:
            one.result(60)
        took = time.perf_counter() - began
    return size * times * len(connections) / took


def fillfactors(bench: Bench) -> None:
    """Compare how full a page is made."""
    designs = {str(share): Design(fillfactor=share) for share in (100, 85, 70)}
    _lives(bench, "4. The fillfactor", designs)


def endings(bench: Bench) -> None:
    """Compare where ended jobs go."""
    designs = {kind: Design(ended=kind) for kind in ("update", "delete", "move")}
    _lives(bench, "5. Ended jobs: updated in place, deleted, moved", designs)


def listings(bench: Bench) -> None:
    """Measure what one more index costs."""
    designs = {"without": Design(), "with": Design(listing=True)}
    _lives(bench, "12. A further index on (queue_id, created_at, id)", designs)
