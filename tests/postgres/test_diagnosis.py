"""What the driver finds wrong with the server, and names."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from gaffer.driver import Finding
from gaffer_driver_postgres import PostgresDriver, diagnosis
from tests.postgres.conftest import MakeDriver


def of(driver: PostgresDriver, code: str) -> Finding | None:
    """Return the finding of *code*, if it is found."""
    return next((one for one in driver.diagnose(5.0) if one.code == code), None)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is told of after five minutes told of at once."""
    for name in ("_TRANSACTIONS", "_PREPARED"):
        text = getattr(diagnosis, name).replace("'300 seconds'", "'0 seconds'")
        monkeypatch.setattr(diagnosis, name, text)


def test_a_transaction_that_is_open_for_long_is_named(
    database: str, make_driver: MakeDriver, at_once: None
) -> None:
    driver = make_driver(database)
    driver.start()
    assert of(driver, "transaction") is None

    with psycopg.connect(database, application_name="report") as report:
        report.execute("CREATE TABLE held ()")

        finding = of(driver, "transaction")

        assert finding is not None
        assert (finding.severity, finding.facts["application"]) == ("warning", "report")
        assert f"pid {report.info.backend_pid}, report, of " in finding.text
        assert "CREATE TABLE held" in finding.text
        assert f"pg_terminate_backend({report.info.backend_pid})" in finding.remedy

    assert of(driver, "transaction") is None


def test_names_that_a_remedy_holds_are_quoted_for_sql() -> None:
    rows: dict[str, list[tuple[Any, ...]]] = {
        "prepared transactions": [("it's", 900.0)],
        "replication slots": [("it's", 7)],
        "settings": [("on", "on", "on", 100, 1)],
    }

    def read(what: str, statement: str, values: Any) -> list[tuple[Any, ...]]:
        return rows.get(what, [])

    found = diagnosis.diagnosed(read, "gaffer.jobs", pooled=False)

    assert [one.remedy.partition(",")[0] for one in found] == [
        "COMMIT PREPARED or ROLLBACK PREPARED 'it''s'",
        "SELECT pg_drop_replication_slot('it''s')",
    ]


def test_settings_that_lose_jobs_are_told(database: str, make_driver: MakeDriver) -> None:
    driver = make_driver(f"{database} options='-c synchronous_commit=off'")
    driver.start()

    finding = of(driver, "synchronous_commit")

    assert finding is not None
    assert "loses what was just inserted" in finding.text
    well = make_driver(database)
    well.start()
    assert of(well, "synchronous_commit") is None


def test_a_table_without_autovacuum_is_told(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    assert of(driver, "autovacuum") is None

    admin.execute(f'ALTER TABLE "{schema}".jobs SET (autovacuum_enabled = off)'.encode())

    finding = of(driver, "autovacuum")
    assert finding is not None
    assert finding.remedy == f'ALTER TABLE "{schema}".jobs RESET (autovacuum_enabled)'


def test_a_pooler_is_told_and_no_reason_to_worry(make_driver: MakeDriver) -> None:
    driver = make_driver(pooler=True)
    driver.start()

    finding = of(driver, "pooler")

    assert finding is not None
    assert finding.severity == "info"
