"""Fixtures: for each test a Gaffer of its own, its hook and its storage."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import Recorder


@pytest.fixture
def storage() -> Storage:
    """Give a storage that outlives the drivers on it."""
    return Storage()


@pytest.fixture
def driver(storage: Storage) -> MemoryDriver:
    """Give a driver on that storage."""
    return MemoryDriver(storage=storage)


@pytest.fixture
def seen() -> Recorder:
    """Give the global hook of `g`."""
    return Recorder()


@pytest.fixture
def g(driver: MemoryDriver, seen: Recorder) -> Iterator[gaffer.Gaffer]:
    """Give a Gaffer that is stopped at the end."""
    made = gaffer.Gaffer(driver, hooks=[seen])
    try:
        yield made
    finally:
        made.stop(timeout=0)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Give random numbers, and say in the report of a failure where they began."""
    seed = random.randrange(2**32)
    request.node.add_report_section("setup", "seed", str(seed))
    return random.Random(seed)
