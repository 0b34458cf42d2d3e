"""The pytest plugin for tests of programs that use gaffer.

Opt in with ``pytest_plugins = ["gaffer.testing.fixtures"]`` in the ``conftest.py`` at the root, or
with ``-p gaffer.testing.fixtures``. It is no ``pytest11`` entry point on purpose. While it is
loaded, the environment's ``GAFFER_DRIVER`` is ``memory``: what a program declares when it is
imported goes to no database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import gaffer
from gaffer.driver import SystemClock
from gaffer.testing.doubles import ManualClock
from gaffer.testing.in_memory import MemoryStage
from gaffer.testing.jobs import Jobs
from gaffer.testing.stage import Stage

__all__ = ["gaffer_clock", "gaffer_jobs", "gaffer_stage"]

VARIABLE = "GAFFER_DRIVER"

_before = pytest.StashKey[str | None]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is imported from now on away from databases."""
    config.stash[_before] = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "memory"


def pytest_unconfigure(config: pytest.Config) -> None:
    """Put the environment back."""
    before = config.stash.get(_before, None)
    if before is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = before


@pytest.fixture
def gaffer_clock() -> ManualClock:
    """Give the clock of the test's jobs: it begins at the present, and goes on by `advance`."""
    return ManualClock(SystemClock().now())


@pytest.fixture
def gaffer_stage(gaffer_clock: ManualClock) -> Stage:
    """Give the place where the test's jobs are: memory, unless a fixture of this name overrides it.

    The driver of PostgreSQL has another, `gaffer_driver_postgres.testing.TransactionStage`.
    """
    return MemoryStage.on(gaffer_clock)


@pytest.fixture
def gaffer_jobs(gaffer_clock: ManualClock, gaffer_stage: Stage) -> Iterator[Jobs]:
    """Give the jobs of the module-level gaffer, run by hand, for one test."""
    with Jobs(gaffer_clock, gaffer_stage) as jobs:
        jobs.take(gaffer.default)
        yield jobs
