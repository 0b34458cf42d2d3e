"""The tables and functions, step by step: SQL files beside this one, each applied once.

All that is pending is applied in one transaction, under a lock that lasts as long as that: any
number of processes may start at once, and a failure leaves nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import psycopg

from gaffer.driver import DriverError, MigrationMismatch
from gaffer_driver_postgres.guard import Guard
from gaffer_driver_postgres.options import Options
from gaffer_driver_postgres.sessions import Cursor, cursor_of, read_committed
from gaffer_driver_postgres.statements import quoted

__all__ = ["Migration", "Migrations", "MigrationsMissing", "Migrator", "known"]

_PATIENCE = 600.0
"""Seconds for one transaction of migrations."""
_WAIT_FOR_LOCKS = "2s"
_PATIENT = f"""
SELECT set_config(name, CASE name WHEN 'lock_timeout' THEN '{_WAIT_FOR_LOCKS}' ELSE '0' END, true)
FROM pg_settings WHERE name IN (
    'lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout',
    'transaction_timeout'
)
"""
_TRIES = 30

_TABLE = """
CREATE TABLE IF NOT EXISTS {schema}.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    compatible integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_APPLIED = "SELECT version, checksum, compatible FROM {schema}.migrations ORDER BY version"
_RECORD = "INSERT INTO {schema}.migrations (version, name, checksum, compatible) VALUES "


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its SQL with ``{schema}`` and ``{lock}`` to fill in."""

    version: int
    name: str
    up: str
    down: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the SQL that applies it, in hex."""
        return hashlib.sha256(self.up.encode()).hexdigest()

    @property
    def compatible(self) -> int:
        """The newest migration that a release must know at least, to work with this one."""
        found = re.search(r"^-- compatible: (\d+)$", self.up, re.MULTILINE)
        return int(found[1]) if found else self.version

    def row(self) -> str:
        """Return the values that are recorded when it is applied."""
        return f"({self.version}, '{self.name}', '{self.checksum}', {self.compatible})"


@dataclass(frozen=True, slots=True)
class Migrations:
    """The versions that this release knows, and those that the schema has; both ascend."""

    all: list[int]
    applied: list[int]


class MigrationsMissing(MigrationMismatch):
    """The schema lacks migrations, and the driver was told not to apply them.

    ``versions`` are those that lack.
    """

    def __init__(self, schema: str, lacking: Sequence[Migration]) -> None:
        super().__init__(lacking[0].version, "nothing", lacking[0].checksum)
        self.versions = [migration.version for migration in lacking]
        names = ", ".join(f"{one.version} ({one.name})" for one in lacking)
        self.args = (
            f"schema {schema!r} lacks the migrations {names}; apply what migration_sql() gives, "
            "or let the driver do it (migrate=True)",
        )


@cache
def known() -> Mapping[int, Migration]:
    """Return the migrations of this release by version, ascending."""
    texts = {
        item.name: item.read_text(encoding="utf-8")
        for item in (files("gaffer_driver_postgres") / "migrations").iterdir()
        if item.name.endswith(".sql")
    }
    made = {}
    for file in sorted(name for name in texts if name.endswith(".up.sql")):
        number, _, name = file.removesuffix(".up.sql").partition("_")
        down = texts[file.replace(".up.sql", ".down.sql")]
        made[int(number)] = Migration(int(number), name, texts[file], down)
    return made


class Migrator:
    """Applies and takes back the migrations of one schema, on the cursor that it is given."""

    def __init__(
        self,
        guard: Guard,
        options: Options,
        migrations: Mapping[int, Migration] | None = None,
    ) -> None:
        self._guard = guard
        self._timeout = options.timeout
        self._schema = options.schema
        self._fill = {"{schema}": quoted(options.schema), "{lock}": str(options.lock_space)}
        self._known = dict(known() if migrations is None else migrations)

    def status(self, cursor: Cursor) -> Migrations:
        """Return what is known and what is applied."""
        return Migrations(sorted(self._known), sorted(self._looked_at(cursor)))

    def ensure(self, cursor: Cursor, *, migrate: bool) -> None:
        """Apply what lacks, or raise `MigrationsMissing`; raise `MigrationMismatch`.

        Takes no lock if nothing lacks.
        """
        lacking = self._lacking(self._looked_at(cursor))
        if not lacking:
            return
        if not migrate:
            raise MigrationsMissing(self._schema, lacking)
        self._locked(cursor, self.apply)

    def rollback(self, cursor: Cursor, target: int) -> None:
        """Take back the migrations after *target*, the newest first; 0 leaves nothing."""
        if type(target) is not int or target < 0 or (target and target not in self._known):
            choices = ", ".join(map(str, [0, *sorted(self._known)]))
            raise DriverError(f"rollback({target!r}): the target must be one of {choices}")
        self._locked(cursor, lambda cursor: self._take_back(cursor, target))

    def _looked_at(self, cursor: Cursor) -> dict[int, tuple[str, int]]:
        with self._guard.within(self._timeout, cursor.connection):
            return self._applied(cursor)

    def script(self) -> str:
        """Return SQL that applies all migrations to an empty database, for psql."""
        schema = self._fill["{schema}"]
        # Looks first: IF NOT EXISTS wants the right to make one even if there is one.
        make = (
            "DO $$ BEGIN\n"
            f"    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{self._schema}') THEN\n"
            f"        CREATE SCHEMA {schema};\n    END IF;\nEND $$;"
        )
        parts = ["BEGIN;", make, self._filled(_TABLE) + ";"]
        for migration in self._known.values():
            parts.append(f"-- {migration.version}: {migration.name}\n{self._filled(migration.up)}")
            parts.append(self._filled(_RECORD) + migration.row() + " ON CONFLICT DO NOTHING;")
        return "\n\n".join([*parts, "COMMIT;\n"])

    def _filled(self, text: str) -> str:
        for place, value in self._fill.items():
            text = text.replace(place, value)
        return text

    def _applied(self, cursor: Cursor) -> dict[int, tuple[str, int]]:
        """Return checksum and compatibility of each version that the schema has."""
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [self._filled("{schema}.migrations")])
        if cursor.fetchone() != (True,):
            return {}
        try:
            cursor.execute(self._filled(_APPLIED))
        except psycopg.errors.UndefinedColumn:
            raise self._not_ours(["migrations"]) from None
        return {version: (checksum, fits) for version, checksum, fits in cursor.fetchall()}

    def _lacking(self, applied: Mapping[int, tuple[str, int]]) -> list[Migration]:
        """Return what is to be applied; raise `MigrationMismatch` for what does not fit."""
        newest = max(self._known)
        for version, (checksum, compatible) in applied.items():
            migration = self._known.get(version)
            if migration is None and compatible > newest:
                raise MigrationMismatch(version, checksum, f"no version after {newest}")
            if migration is not None and migration.checksum != checksum:
                raise MigrationMismatch(version, checksum, migration.checksum)
        return [one for version, one in self._known.items() if version not in applied]

    # -- in the locked transaction -----------------------------------------------------------------

    def _locked(self, cursor: Cursor, work: Callable[[Cursor], None]) -> None:
        """Do *work* in a transaction, one process after the other; wait for no lock for long."""
        for tries in range(_TRIES):
            try:
                with self._guard.within(_PATIENCE, cursor.connection):
                    self._try_locked(cursor.connection, work)
            except psycopg.errors.LockNotAvailable:
                if tries == _TRIES - 1:
                    raise
            else:
                return

    def _try_locked(
        self, connection: psycopg.Connection[Any], work: Callable[[Cursor], None]
    ) -> None:
        cursor = cursor_of(connection, binary=False)
        with connection.transaction():
            read_committed(cursor)
            cursor.execute(_PATIENT, prepare=False)
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [self._key()], prepare=False)
            work(cursor)

    def _key(self) -> int:
        digest = hashlib.sha256(f"gaffer_schema_migrations:{self._schema}".encode()).digest()
        return int.from_bytes(digest[:8], signed=True)

    def apply(self, cursor: Cursor) -> None:
        """Apply what lacks in the transaction that is open, where nobody else does."""
        cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [self._schema])
        if cursor.fetchone() is None:
            self._run(cursor, "CREATE SCHEMA {schema}")
        self._check_room(cursor)
        self._run(cursor, _TABLE)
        for migration in self._lacking(self._applied(cursor)):
            self._run(cursor, migration.up)
            self._run(cursor, _RECORD + migration.row())

    def _check_room(self, cursor: Cursor) -> None:
        """Raise `DriverError` if somebody else has tables of our names in the schema."""
        cursor.execute(
            "SELECT relname::text FROM pg_class WHERE relnamespace = %s::regnamespace"
            " AND relname IN ('queues', 'jobs', 'nodes', 'keys', 'migrations')",
            [quoted(self._schema)],
        )
        found = [name for (name,) in cursor.fetchall()]
        if found and "migrations" not in found:
            raise self._not_ours(found)

    def _not_ours(self, tables: list[str]) -> DriverError:
        names = " and ".join(map(repr, sorted(tables)))
        return DriverError(
            f"schema {self._schema!r} has {names} of somebody else; give gaffer a schema of its own"
        )

    def _run(self, cursor: Cursor, script: str) -> None:
        # Several statements at once: not to be prepared.
        cursor.execute(self._filled(script).encode(), prepare=False)

    def _take_back(self, cursor: Cursor, target: int) -> None:
        applied = self._applied(cursor)
        for version in sorted(applied, reverse=True):
            if version <= target:
                break
            if version not in self._known:
                raise MigrationMismatch(version, applied[version][0], "no such version")
        self._lacking(applied)
        for version in sorted(applied, reverse=True):
            if version > target:
                self._run(cursor, self._known[version].down)
                self._run(cursor, f"DELETE FROM {{schema}}.migrations WHERE version = {version}")
        if target == 0:
            self._run(cursor, "DROP TABLE IF EXISTS {schema}.migrations")
