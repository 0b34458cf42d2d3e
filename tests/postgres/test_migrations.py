"""Migrations of one schema: applied, listed, checked, taken back, and printed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from gaffer.driver import DriverError, MigrationMismatch
from gaffer_driver_postgres import Migrations, PostgresDriver, migrations
from gaffer_driver_postgres.migrations import Migration, MigrationsMissing, known
from tests.postgres.catalog import exists, structure, tables, versions
from tests.postgres.conftest import MakeDriver
from tests.postgres.lives import live
from tests.postgres.logins import login

NEWEST = max(known())
BROKEN = Migration(
    NEWEST + 2, "broken", "CREATE TABLE {schema}.half (); SELECT 1 / 0", "DROP TABLE {schema}.half"
)


def extra(header: str = "", *, version: int = NEWEST + 1) -> Migration:
    """Return a migration that a later release may have."""
    up = f"{header}\nCREATE TABLE IF NOT EXISTS {{schema}}.extra (id integer)"
    return Migration(version, "extra", up, "DROP TABLE IF EXISTS {schema}.extra")


@pytest.fixture
def later(make_driver: MakeDriver, monkeypatch: pytest.MonkeyPatch) -> MakeDriver:
    """Give a factory of drivers, not started, of a release that has more migrations."""

    def make(*more: Migration) -> PostgresDriver:
        all_of_them = {**known(), **{one.version: one for one in more}}
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "known", lambda: all_of_them)
            return make_driver()

    return make


@pytest.fixture
def row(driver: PostgresDriver, admin: psycopg.Connection, schema: str) -> Callable[..., None]:
    """Give a function that changes a stored migration."""

    def change(version: int, **values: object) -> None:
        for column, value in values.items():
            statement = SQL("UPDATE {}.migrations SET {} = %s WHERE version = %s")
            filled = statement.format(Identifier(schema), Identifier(column))
            assert admin.execute(filled, [value, version]).rowcount == 1

    return change


def stored(admin: psycopg.Connection, schema: str) -> list[tuple[object, ...]]:
    """Return what is recorded of the migrations, ascending."""
    text = "SELECT version, name, checksum, applied_at FROM {}.migrations ORDER BY version"
    return list(admin.execute(SQL(text).format(Identifier(schema))).fetchall())


# -- applying --------------------------------------------------------------------------------------


def test_start_applies_all_migrations_and_records_what_each_was(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B197, B200."""
    folder = files("gaffer_driver_postgres") / "migrations"
    ups = sorted(path.name for path in folder.iterdir() if path.name.endswith(".up.sql"))

    recorded = [(version, name, checksum) for version, name, checksum, _ in stored(admin, schema)]

    assert recorded == [
        (
            int(name[:4]),
            name[5:].removesuffix(".up.sql"),
            hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        )
        for name in ups
    ]
    assert [name[:4] for name in ups][:2] == ["0001", "0002"]


def test_a_second_start_changes_nothing(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B197."""
    before = stored(admin, schema), versions(admin, schema)

    make_driver().start()
    driver.start()
    driver.migrate()

    assert (stored(admin, schema), versions(admin, schema)) == before


def test_the_schema_holds_queues_jobs_keys_nodes_and_migrations(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B205."""
    columns = admin.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = 'migrations' ORDER BY ordinal_position",
        [schema],
    ).fetchall()

    assert tables(admin, schema) == ["jobs", "keys", "migrations", "nodes", "queues", "schedules"]
    assert [name for (name,) in columns][:3] == ["version", "name", "checksum"]
    assert ("applied_at",) in columns


def test_what_exists_already_is_tolerated_and_kept(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B198."""
    driver.queue_insert("kept")
    whole = structure(admin, schema)
    admin.execute(f'DELETE FROM "{schema}".migrations'.encode())
    admin.execute(f'DROP TABLE "{schema}".nodes; DROP INDEX "{schema}".jobs_ready'.encode())

    make_driver().start()

    assert driver.queue_list() == ["kept"]
    assert structure(admin, schema) == whole
    assert driver.migrations().applied == driver.migrations().all


def test_what_lacks_already_is_no_hindrance_to_a_rollback(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B198."""
    admin.execute(f'DROP TABLE "{schema}".nodes; DROP TABLE "{schema}".jobs'.encode())
    admin.execute(f'DROP FUNCTION "{schema}".ready_1(text[])'.encode())

    driver.rollback(0)

    assert structure(admin, schema) == []


def test_a_failing_migration_leaves_nothing_of_those_before_it_either(
    later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B199."""
    with pytest.raises(DriverError, match="division by zero"):
        later(extra(), BROKEN).migrate()

    assert not exists(admin, schema)


def test_a_failing_update_leaves_the_schema_as_it_was(
    driver: PostgresDriver, later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B199."""
    before = stored(admin, schema), versions(admin, schema)

    with pytest.raises(DriverError, match="division by zero"):
        later(extra(), BROKEN).migrate()

    assert (stored(admin, schema), versions(admin, schema)) == before
    live(driver)


def test_migrations_lists_what_is_known_and_what_is_applied(
    make_driver: MakeDriver, later: MakeDriver
) -> None:
    """B203."""
    driver = make_driver()
    versions_here = [*range(1, NEWEST + 1)]

    assert driver.migrations() == Migrations(all=versions_here, applied=[])
    driver.migrate()
    later(extra("-- compatible: 1")).migrate()
    assert driver.migrations() == Migrations(versions_here, [*versions_here, NEWEST + 1])


# -- checking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("migrate", [True, False])
def test_another_checksum_is_refused_at_start(
    migrate: bool, make_driver: MakeDriver, row: Callable[..., None]
) -> None:
    """B200."""
    row(1, checksum="0" * 64)

    with pytest.raises(MigrationMismatch, match="migration 1: .*" + "0" * 64) as raised:
        make_driver(migrate=migrate).start()

    facts = raised.value.version, raised.value.stored, raised.value.expected
    assert facts == (1, "0" * 64, known()[1].checksum)


def test_another_checksum_is_refused_at_a_rollback_which_changes_nothing(
    driver: PostgresDriver, row: Callable[..., None], admin: psycopg.Connection, schema: str
) -> None:
    """B200."""
    row(2, checksum="f" * 64)
    before = versions(admin, schema)

    with pytest.raises(MigrationMismatch) as raised:
        driver.rollback(0)

    facts = raised.value.version, raised.value.stored, raised.value.expected
    assert facts == (2, "f" * 64, known()[2].checksum)
    assert versions(admin, schema) == before


@pytest.mark.parametrize("migrate", [True, False])
def test_a_newer_schema_that_says_it_is_compatible_does_not_stop_an_older_release(
    migrate: bool, later: MakeDriver, make_driver: MakeDriver
) -> None:
    """F61."""
    later(extra(f"-- Something.\n-- compatible: {NEWEST}")).migrate()
    older = make_driver(migrate=migrate)

    older.start()

    live(older)


@pytest.mark.parametrize("header", ["", f"-- compatible: {NEWEST + 1}"])
def test_a_newer_schema_that_is_not_compatible_stops_an_older_release(
    header: str, later: MakeDriver, make_driver: MakeDriver
) -> None:
    """F61, B202."""
    later(extra(header)).migrate()

    with pytest.raises(MigrationMismatch, match=f"no version after {NEWEST}") as raised:
        make_driver().start()

    assert raised.value.version == NEWEST + 1
    assert raised.value.stored == extra(header).checksum


def test_without_leave_to_migrate_start_says_what_lacks_and_makes_nothing(
    make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    with pytest.raises(MigrationsMissing) as raised:
        make_driver(migrate=False).start()

    assert raised.value.versions == [*range(1, NEWEST + 1)]
    for said in (schema, "1 (tables)", "2 (functions)", "migration_sql()", "migrate=True"):
        assert said in str(raised.value)
    assert not exists(admin, schema)


def test_without_leave_to_migrate_start_says_which_of_several_lack(
    driver: PostgresDriver, make_driver: MakeDriver
) -> None:
    driver.rollback(1)

    with pytest.raises(MigrationsMissing) as raised:
        make_driver(migrate=False).start()

    assert raised.value.versions == [*range(2, NEWEST + 1)]
    assert driver.migrations().applied == [1]


def test_a_role_that_may_create_nothing_starts_on_a_migrated_schema(
    driver: PostgresDriver, make_driver: MakeDriver, admin: psycopg.Connection, server: str
) -> None:
    schema = driver.migration_sql().partition('"')[2].partition('"')[0]
    with login(admin, server, creates=False) as conninfo:
        role = psycopg.conninfo.conninfo_to_dict(conninfo)["user"]
        for right in ("USAGE ON", "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN"):
            admin.execute(f'GRANT {right} SCHEMA "{schema}" TO "{role}"'.encode())
        other = make_driver(conninfo)

        other.start()

        assert other.storage == driver.storage
        live(other)
        with pytest.raises(DriverError, match="permission denied for database"):
            make_driver(conninfo, schema=f"{schema}_b").start()
        other.stop()


# -- taking back -----------------------------------------------------------------------------------


def test_a_rollback_to_nothing_drops_all_tables(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B201."""
    driver.rollback(0)

    assert structure(admin, schema) == []
    assert driver.migrations().applied == []


def test_a_rollback_takes_back_what_is_after_its_target_only(
    driver: PostgresDriver, later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B201."""
    whole, newer = structure(admin, schema), later(extra())
    newer.migrate()
    assert "extra" in tables(admin, schema)

    newer.rollback(NEWEST)

    assert structure(admin, schema) == whole
    assert newer.migrations() == Migrations([*range(1, NEWEST + 2)], [*range(1, NEWEST + 1)])
    live(driver)


def test_a_rollback_takes_back_the_newest_first(
    driver: PostgresDriver, later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B201."""
    up = "CREATE VIEW {schema}.seen AS SELECT * FROM {schema}.extra"
    view = Migration(NEWEST + 2, "view", up, "DROP VIEW {schema}.seen")
    newer = later(extra(), view)
    newer.migrate()

    newer.rollback(NEWEST)

    assert tables(admin, schema) == ["jobs", "keys", "migrations", "nodes", "queues", "schedules"]


@pytest.mark.parametrize("target", [0, 1, NEWEST])
def test_up_down_and_up_again_is_as_up_once(
    target: int, driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B201."""
    whole = structure(admin, schema)

    driver.rollback(target)
    driver.migrate()

    assert structure(admin, schema) == whole
    live(driver)


def test_a_rollback_that_fails_leaves_everything(
    driver: PostgresDriver, later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B201."""
    down = "DROP TABLE {schema}.extra; SELECT 1 / 0"
    newer = later(Migration(NEWEST + 1, "extra", extra().up, down))
    newer.migrate()
    before = stored(admin, schema), versions(admin, schema)

    with pytest.raises(DriverError, match="division by zero"):
        newer.rollback(0)

    assert (stored(admin, schema), versions(admin, schema)) == before


def test_a_rollback_over_a_version_that_is_not_known_is_refused(
    driver: PostgresDriver, later: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    """B202."""
    later(extra("-- compatible: 1")).migrate()
    before = versions(admin, schema)

    with pytest.raises(MigrationMismatch) as raised:
        driver.rollback(0)

    assert raised.value.version == NEWEST + 1
    assert versions(admin, schema) == before


@pytest.mark.parametrize("target", [-1, NEWEST + 1, True, None, "1", 1.0])
def test_a_rollback_to_no_version_names_the_versions(target: int, driver: PostgresDriver) -> None:
    with pytest.raises(DriverError, match=r"rollback\(.*\): the target must be one of 0, 1, 2"):
        driver.rollback(target)

    live(driver)


def test_a_rollback_of_an_empty_database_does_nothing(
    make_driver: MakeDriver, admin: psycopg.Connection, schema: str
) -> None:
    make_driver().rollback(0)

    assert not exists(admin, schema)
