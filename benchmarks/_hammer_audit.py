"""What the database says of the jobs that are hammered: at every commit, and as they run."""

from __future__ import annotations

from typing import Any

import psycopg

__all__ = ["Audit"]

_TABLES = """
CREATE TABLE {s}.runs (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain text NOT NULL,
    began timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended timestamptz
);
CREATE INDEX ON {s}.runs (chain, began);
CREATE TABLE {s}.claims (queue_id integer NOT NULL, executing bigint, in_chain bigint);
CREATE FUNCTION {s}.count_executing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One commit after the other: one that comes at the same moment would not be seen.
    PERFORM pg_advisory_xact_lock(hashtextextended('{s}', NEW.queue_id));
    INSERT INTO {s}.claims
    SELECT NEW.queue_id, count(*), count(*) FILTER (WHERE j.chain = NEW.chain)
    FROM {s}.jobs j WHERE j.queue_id = NEW.queue_id AND j.state = 'executing';
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audited AFTER UPDATE ON {s}.jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.state = 'executing') EXECUTE FUNCTION {s}.count_executing();
"""

_OVERLAPS = """
SELECT count(*) FROM {s}.runs a JOIN {s}.runs b ON a.chain = b.chain AND a.place < b.place
WHERE a.began < coalesce(b.ended, 'infinity') AND b.began < coalesce(a.ended, 'infinity')
    AND b.place < a.place + 200
"""


class Audit:
    """The account of one schema, from now on."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._schema = schema
        self._execute(_TABLES)

    def _execute(self, text: str) -> Any:
        return self._connection.execute(text.replace("{s}", f'"{self._schema}"').encode())

    def _number(self, query: str) -> int:
        [number] = self._execute(query).fetchone()
        return int(number)

    def executing(self) -> int:
        """Return how many jobs execute now."""
        return self._number("SELECT count(*) FROM {s}.jobs WHERE state = 'executing'")

    def claimed(self) -> int:
        """Return how many jobs were claimed."""
        return self._number("SELECT count(*) FROM {s}.claims")

    def most_executing(self) -> int:
        """Return the most jobs of a queue that executed at one commit."""
        return self._number("SELECT coalesce(max(executing), 0) FROM {s}.claims")

    def most_in_chain(self) -> int:
        """Return the most jobs of a chain that executed at one commit."""
        return self._number("SELECT coalesce(max(in_chain), 0) FROM {s}.claims")

    def runs(self) -> int:
        """Return how many jobs of chains have run."""
        return self._number("SELECT count(*) FROM {s}.runs WHERE ended IS NOT NULL")

    def overlaps(self) -> int:
        """Return how many runs of one chain overlapped, by what the jobs themselves wrote."""
        return self._number(_OVERLAPS)

    def drop(self) -> None:
        """Drop the schema with all that is in it."""
        self._execute("DROP SCHEMA {s} CASCADE")
        self._connection.close()
