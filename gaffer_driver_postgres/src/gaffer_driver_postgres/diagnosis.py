"""What may be wrong with the server: who holds up vacuum, and settings that lose or slow jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from psycopg.sql import quote

from gaffer.driver import Finding

__all__ = ["diagnosed"]

Read: TypeAlias = Callable[[str, str, Any], list[tuple[Any, ...]]]
"""Returns the rows of a statement with values; the first argument says what for."""

_OLD = 300
"""Seconds after which a transaction is told of."""
_DEAD_ROWS = 100_000
_NEARLY = 0.9

# What the role may not see is not told: a query of somebody else is then empty.
_TRANSACTIONS = f"""
    SELECT a.pid, a.application_name, a.usename, a.state, left(a.query, 80),
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
        AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        AND a.xact_start < clock_timestamp() - interval '{_OLD} seconds'
    ORDER BY a.xact_start LIMIT 5
"""
_PREPARED = f"""
    SELECT x.gid, extract(epoch FROM clock_timestamp() - x.prepared)::float8
    FROM pg_prepared_xacts x
    WHERE x.database = current_database()
        AND x.prepared < clock_timestamp() - interval '{_OLD} seconds'
    ORDER BY x.prepared LIMIT 5
"""
_SLOTS = """
    SELECT s.slot_name, coalesce(age(s.xmin), age(s.catalog_xmin))
    FROM pg_replication_slots s
    WHERE NOT s.active AND (s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL)
    ORDER BY s.slot_name LIMIT 5
"""
_SETTINGS = """
    SELECT current_setting('fsync'), current_setting('synchronous_commit'),
        current_setting('autovacuum'), current_setting('max_connections')::int,
        (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend')
"""
_TABLE = """
    SELECT t.n_live_tup, t.n_dead_tup, coalesce(
        (SELECT NOT o.option_value::boolean
         FROM pg_class c, pg_options_to_table(c.reloptions) o
         WHERE c.oid = t.relid AND o.option_name = 'autovacuum_enabled'), false)
    FROM pg_stat_all_tables t WHERE t.relid = %s::regclass
"""


def diagnosed(read: Read, table: str, *, pooled: bool) -> list[Finding]:
    """Return what there is to say of the server that *read* asks, and of the *table* of jobs."""
    found = [*_holders(read), *_settings(read), *_rows(read, table)]
    if pooled:
        found.append(
            Finding(
                severity="info",
                code="pooler",
                text="a pooler in transaction mode stands between: nobody listens through it",
                remedy="jobs of other processes are found within poll_interval; for less, give "
                "workers a URL that leads to the server itself",
            )
        )
    return found


def _holders(read: Read) -> Iterator[Finding]:
    """Tell who keeps dead rows from being removed, so that claims become slower and slower."""
    for pid, name, user, state, query, seconds in read("transactions", _TRANSACTIONS, ()):
        yield Finding(
            severity="warning",
            code="transaction",
            text=f"a transaction is open for {seconds:.0f} s and holds up vacuum: pid {pid}, "
            f"{name or 'without a name'}, of {user}, {state}: {query}",
            remedy=f"have that program commit; or SELECT pg_terminate_backend({pid})",
            facts={"pid": pid, "application": name, "user": user, "seconds": seconds},
        )
    for gid, seconds in read("prepared transactions", _PREPARED, ()):
        yield Finding(
            severity="warning",
            code="prepared",
            text=f"a prepared transaction holds up vacuum for {seconds:.0f} s: {gid}",
            remedy=f"COMMIT PREPARED or ROLLBACK PREPARED {quote(gid)}",
            facts={"gid": gid, "seconds": seconds},
        )
    for name, age in read("replication slots", _SLOTS, ()):
        yield Finding(
            severity="warning",
            code="slot",
            text=f"replication slot {name!r} is not used, and holds up vacuum for {age} "
            "transactions",
            remedy=f"SELECT pg_drop_replication_slot({quote(name)}), if nobody needs it",
            facts={"slot": name, "age": age},
        )


def _settings(read: Read) -> Iterator[Finding]:
    [(fsync, commit, autovacuum, most, open_now)] = read("settings", _SETTINGS, ())
    if fsync == "off":
        yield Finding(
            severity="error",
            code="fsync",
            text="fsync is off: a crash of the machine can lose jobs, and the whole database",
            remedy="ALTER SYSTEM SET fsync = on, and reload",
        )
    if commit == "off":
        yield Finding(
            severity="warning",
            code="synchronous_commit",
            text="synchronous_commit is off: a crash of the server loses what was just inserted",
            remedy="set it to on for the role or the database that gaffer uses",
        )
    if autovacuum == "off":
        yield Finding(
            severity="warning",
            code="autovacuum",
            text="autovacuum is off: dead rows stay, and claims become slower and slower",
            remedy="ALTER SYSTEM SET autovacuum = on, and reload",
        )
    if open_now > _NEARLY * most:
        yield Finding(
            severity="warning",
            code="connections",
            text=f"{open_now} of {most} connections are open",
            remedy="fewer processes or smaller pools, a pooler, or a larger max_connections",
            facts={"open": open_now, "most": most},
        )


def _rows(read: Read, table: str) -> Iterator[Finding]:
    for rows, dead, barred in read("the table of jobs", _TABLE, [table]):
        if dead > max(_DEAD_ROWS, rows):
            yield Finding(
                severity="warning",
                code="dead_rows",
                text=f"{dead} dead rows stand beside {rows} jobs",
                remedy=f"end what holds up vacuum, then VACUUM {table}",
                facts={"dead": dead, "rows": rows},
            )
        if barred:
            yield Finding(
                severity="warning",
                code="autovacuum",
                text=f"autovacuum is off for {table}",
                remedy=f"ALTER TABLE {table} RESET (autovacuum_enabled)",
            )
