"""What autovacuum does for a table whose jobs come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from _schema_life import rate, work
from _schema_report import Figures, Stopwatch, report
from _schema_room import Bench, Room, fields
from _schema_tables import Design

__all__ = ["churn"]

JOBS = 200_000
KEPT = 200_000
BLOCK = 5_000
LAST = 10
"""So many of the blocks count: those at the end."""

NAP = 5
"""Seconds between two looks of the embedded server: its minute would outlast the run."""

SETTINGS = {
    "default": "",
    "eager": ", autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0"
    ", autovacuum_vacuum_threshold = 1000",
    "off": ", autovacuum_enabled = false",
}


def churn(bench: Bench) -> None:
    """Work many jobs through a table that keeps others, block by block in turns."""
    began = time.perf_counter()
    rooms: dict[str, Room] = {}
    try:
        for name, options in SETTINGS.items():
            rooms[name] = bench.room(Design(options=options), waiting=0)
            rooms[name].fill("completed", KEPT, queue=3, completed_at="now()")
            rooms[name].tidy()
        with _short_naps(bench, rooms["default"]):
            blocks = [
                {name: block(room) for name, room in rooms.items()} for _ in range(JOBS // BLOCK)
            ]
        found = {}
        for name, room in rooms.items():
            vacuums, sizes = _remains(room)
            last = [{**figures[name], **sizes} for figures in blocks[-LAST:]]
            found[f"{name} ({vacuums} vacuums)"] = last
    finally:
        bench.close()
    title = f"11. Autovacuum, the last of {JOBS:,} jobs beside {KEPT:,} kept"
    report(title, found, f"{len(blocks)} blocks, {time.perf_counter() - began:.0f} s")


def block(room: Room) -> Figures:
    """Insert, work and remove one block of jobs."""
    watch = Stopwatch()
    for _ in range(BLOCK // 1000):
        given = fields(room, 1000)
        with watch("insert 1000"):
            room.do(room.design.insert(), given)
    for size, times in ((10, 20), (100, BLOCK // 100 - 2)):
        for _ in range(times):
            work(room, size, watch)
    values = {"queue": room.queue, "now": datetime.now(UTC)}
    with watch(f"prune {BLOCK}"):
        room.do(room.design.prune(), values)
    return {"jobs/s": rate(watch.medians()), **watch.medians()}


@contextmanager
def _short_naps(bench: Bench, room: Room) -> Iterator[None]:
    """Let the embedded server look after its tables more often; one that was given stays so."""
    if not bench.embedded:
        yield
        return
    room.do(f"ALTER SYSTEM SET autovacuum_naptime = {NAP}")
    room.do("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        room.do("ALTER SYSTEM RESET autovacuum_naptime")
        room.do("SELECT pg_reload_conf()")


def _remains(room: Room) -> tuple[int, Figures]:
    """Return how often the table was vacuumed by itself, and how large it is."""
    row = room.rows(
        "SELECT autovacuum_count, pg_table_size(relid) / 1e6, pg_indexes_size(relid) / 1e6"
        " FROM pg_stat_user_tables WHERE relid = 'jobs'::regclass"
    )[0]
    return int(row[0]), {"table, MB": float(row[1]), "indexes, MB": float(row[2])}
