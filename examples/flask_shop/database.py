"""The tables of the shop, and connections to them."""

from __future__ import annotations

import os
from functools import cache

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

TABLES = """
    CREATE TABLE IF NOT EXISTS items (
        name text PRIMARY KEY,
        stock integer NOT NULL
    );
    CREATE TABLE IF NOT EXISTS orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        item text NOT NULL REFERENCES items,
        receipt_sent timestamptz
    );
    INSERT INTO items VALUES ('a book', 1000), ('a lamp', 1) ON CONFLICT DO NOTHING;
"""


@cache
def pool() -> ConnectionPool[Connection[TupleRow]]:
    """Connect, at the first use in each process: a pool does not outlive a fork."""
    return ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=8, open=True)


def close() -> None:
    """Give back the connections, if there are any."""
    if pool.cache_info().currsize:
        pool().close()


def main() -> None:
    """Make the tables, where they are not there yet."""
    with pool().connection() as connection:
        connection.execute(TABLES)
    close()


if __name__ == "__main__":
    main()
