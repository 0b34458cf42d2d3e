"""What the tests of the command line share: commands run here, on a schema of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
import pytest

from gaffer import Gaffer
from gaffer.cli import main
from gaffer_driver_postgres import PostgresDriver


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The JSON values that it printed, one on each line."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """Give the URL of a driver on a schema that nobody else has; it is not there yet."""
    schema = f"gaffer_test_{uuid4().hex[:12]}"
    given = {**psycopg.conninfo.conninfo_to_dict(server), "schema": schema}
    yield f"postgresql://?{urlencode(given, quote_via=quote)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute("SET lock_timeout = '30s'")
        admin.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())


@pytest.fixture
def g(url: str) -> Iterator[Gaffer]:
    """Give a Gaffer on the storage at `url`; it works what is polled."""
    driver = PostgresDriver.from_url(url)
    with Gaffer(driver, work=False) as made:
        yield made
    driver.stop()


@pytest.fixture
def run(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give what runs a command on the storage at `url`."""
    monkeypatch.setenv("GAFFER_DRIVER", url)
    monkeypatch.delenv("GAFFER_APP", raising=False)

    def call(*argv: object) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:  # of argparse
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def environment(url: str) -> dict[str, str]:
    """Give the environment of a process that finds the storage at `url`."""
    return {**os.environ, "GAFFER_DRIVER": url, "PYTHONUNBUFFERED": "1"}
