"""What the tests see of a schema in the server's catalogue."""

from __future__ import annotations

import hashlib
import re

import psycopg

_STRUCTURE = """
SELECT format('table %%s %%s', c.relname, c.reloptions) FROM pg_class c
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT format('column %%s.%%s %%s not null=%%s default=%%s identity=%%s collation=%%s', c.relname,
    a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attcollation::regcollation)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r'
    AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('constraint %%s %%s', k.conname, pg_get_constraintdef(k.oid))
FROM pg_constraint k WHERE k.connamespace = %(schema)s::regnamespace
UNION ALL
SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = %(schema)s::regnamespace
UNION ALL
SELECT pg_get_functiondef(p.oid) FROM pg_proc p
WHERE p.pronamespace = %(schema)s::regnamespace
"""
# What a change of any kind would change: rows of the catalogue are versioned like all others.
_VERSIONS = """
SELECT 'table', c.oid, c.relfilenode::text FROM pg_class c
WHERE c.relnamespace = %(schema)s::regnamespace
UNION ALL
SELECT 'function', p.oid, p.xmin::text FROM pg_proc p
WHERE p.pronamespace = %(schema)s::regnamespace
"""


def exists(connection: psycopg.Connection, schema: str) -> bool:
    """Return whether there is such a schema."""
    return bool(
        connection.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).rowcount
    )


def structure(connection: psycopg.Connection, schema: str) -> list[str]:
    """Return all that is in *schema*, in words that are the same for equal schemas."""
    rows = connection.execute(_STRUCTURE, {"schema": f'"{schema}"'}).fetchall()
    # Each schema has another number of its own for its locks.
    texts = [re.sub(r"(_lock(_shared)?\()-?\d+(?=,)", r"\1<number>", text) for (text,) in rows]
    return sorted(text.replace(schema, "<schema>").replace('"', "") for text in texts)


def versions(connection: psycopg.Connection, schema: str) -> set[tuple[str, int, str]]:
    """Return something that any migration would change."""
    return set(connection.execute(_VERSIONS, {"schema": f'"{schema}"'}).fetchall())


def tables(connection: psycopg.Connection, schema: str) -> list[str]:
    """Return the names of the tables in *schema*."""
    rows = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", [schema]
    ).fetchall()
    return [name for (name,) in rows]


def lock_of_migrations(schema: str) -> int:
    """Return the key of the lock under which *schema* is migrated."""
    digest = hashlib.sha256(b"gaffer_schema_migrations:" + schema.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def waiting(connection: psycopg.Connection, key: int) -> set[tuple[int, str]]:
    """Return the sessions that wait for an advisory lock, and when their transactions began."""
    rows = connection.execute(
        "SELECT a.pid, a.xact_start::text FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND NOT l.granted AND l.objsubid = 1"
        " AND (l.classid::bigint << 32) | l.objid::bigint = %s",
        [key],
    ).fetchall()
    return set(rows)
