"""Ways to give many jobs to the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from _schema_report import Figures, Stopwatch
from _schema_room import Bench, Room, fields
from _schema_tables import FIELDS

__all__ = ["inserts"]

Row = tuple[Any, ...]
Way = Callable[[Room, Sequence[Row]], object]

NAMES = f"queue_id, {', '.join(FIELDS)}"
PLACES = f"({', '.join(['%s'] * (len(FIELDS) + 1))})"
SIZES = {1: 40, 10: 20, 100: 10, 1000: 3}


def inserts(bench: Bench) -> None:
    """Compare the ways, the work that Python has with each included."""
    cases = {name: partial(batches, bench.room(), way) for name, way in WAYS.items()}
    bench.compare("6. The insert of several jobs", cases)


def batches(room: Room, way: Way) -> Figures:
    """Insert batches of each size."""
    watch = Stopwatch()
    for size, times in SIZES.items():
        for _ in range(times):
            given = fields(room, size)
            rows = list(zip(*(given[name] for name in FIELDS), strict=True))
            with watch(f"insert {size}"):
                way(room, rows)
    room.clear()
    return watch.medians()


def lists(room: Room, rows: Sequence[Row], form: str = "s") -> None:
    """One Python list for each field, which psycopg writes in *form*."""
    columns = map(list, zip(*rows, strict=True))
    values = {**dict(zip(FIELDS, columns, strict=True)), "queue": room.queue}
    room.do(room.design.insert(form=form), values)


def scalars(room: Room, rows: Sequence[Row]) -> None:
    """Binary lists for the fields that differ, and one value for each that does not."""
    arrays: list[str] = []
    values: dict[str, Any] = {"queue": room.queue}
    types = room.design.types()
    for name, column in zip(FIELDS, zip(*rows, strict=True), strict=True):
        if name == "id" or any(value != column[0] for value in column):
            values[name] = list(column)
            arrays.append(name)
        else:
            values[name] = column[0]
    given = ", ".join(f"%({name})b::{types[name]}[]" for name in arrays)
    chosen = ", ".join(
        f"j.{name}" if name in arrays else f"%({name})s::{types[name]}" for name in FIELDS
    )
    source = f"unnest({given}) AS j({', '.join(arrays)})"
    room.do(f"INSERT INTO jobs ({NAMES}) SELECT %(queue)s, {chosen} FROM {source}", values)


def literals(room: Room, rows: Sequence[Row]) -> None:
    """One text for each field, which the server reads as an array."""
    columns = zip(*rows, strict=True)
    texts = ("{" + ",".join(map(_element, column)) + "}" for column in columns)
    values = {**dict(zip(FIELDS, texts, strict=True)), "queue": room.queue}
    room.do(room.design.insert(form="s"), values)


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f'"{value.isoformat()}"' if isinstance(value, datetime) else str(value)


def document(room: Room, rows: Sequence[Row]) -> None:
    """One JSON document; the payload in it is a string that holds JSON."""
    kinds = {**room.design.types(), "payload": "text"}
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    source = f"json_to_recordset(%(jobs)s::json) AS j({columns})"
    insert = room.design.insert(source).replace("j.payload", "j.payload::json")
    text = json.dumps([dict(zip(FIELDS, row, strict=True)) for row in rows], default=str)
    room.do(insert, {"jobs": text, "queue": room.queue})


def copy(room: Room, rows: Sequence[Row]) -> None:
    """COPY, in its text format, row by row."""
    statement = f"COPY jobs ({NAMES}) FROM STDIN".encode()
    with room.connection.cursor() as cursor, cursor.copy(statement) as copying:
        for row in rows:
            copying.write_row((room.queue, *row))


def executemany(room: Room, rows: Sequence[Row]) -> None:
    """One statement for each job, sent together, in one transaction."""
    statement = f"INSERT INTO jobs ({NAMES}) VALUES {PLACES}".encode()
    with room.connection.transaction(), room.connection.cursor() as cursor:
        cursor.executemany(statement, [(room.queue, *row) for row in rows])


def values_lists(room: Room, rows: Sequence[Row]) -> None:
    """One statement with a list of values for each job."""
    statement = f"INSERT INTO jobs ({NAMES}) VALUES {', '.join([PLACES] * len(rows))}"
    room.do(statement, [value for row in rows for value in (room.queue, *row)])


WAYS: dict[str, Way] = {
    "unnest, lists": lists,
    "unnest, binary lists": partial(lists, form="b"),
    "unnest, binary lists where they differ": scalars,
    "unnest, literals": literals,
    "json_to_recordset": document,
    "COPY": copy,
    "executemany": executemany,
    "VALUES": values_lists,
}
