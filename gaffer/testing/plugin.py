"""The pytest plugin that runs tests on drivers: opt in with ``-p gaffer.testing.plugin``.

``--driver=NAME``, repeatable, chooses among the installed drivers; without it the memory driver is
meant. It is no ``pytest11`` entry point on purpose: nobody else's test run should meet it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# Before anything imports these: the asserts of a library are plain otherwise.
pytest.register_assert_rewrite("gaffer.testing.suite", "gaffer.testing.lockstep")

from gaffer.driver import Driver  # noqa: E402
from gaffer.testing.harness import DriverHarness, installed, load  # noqa: E402

__all__ = ["driver", "harness", "other"]

DEFAULT = "memory"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option ``--driver``."""
    parser.getgroup("gaffer").addoption(
        "--driver",
        action="append",
        default=[],
        metavar="NAME",
        help=f"run tests on this gaffer driver; may be repeated (default: {DEFAULT})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse names that no installed distribution offers."""
    known = installed()
    for name in config.getoption("--driver"):
        if name not in known:
            raise pytest.UsageError(
                f"--driver={name}: no such harness; installed: {', '.join(known) or 'none'}"
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses `harness`, `driver` or `other` once for each driver asked for."""
    if "harness" in metafunc.fixturenames:
        names = list(dict.fromkeys(metafunc.config.getoption("--driver"))) or [DEFAULT]
        metafunc.parametrize("harness", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def harness(request: pytest.FixtureRequest) -> Iterator[DriverHarness]:
    """Give the harness of each driver asked for, set up."""
    made = load(request.param)
    try:
        made.setup()
        yield made
    finally:
        made.teardown()


@pytest.fixture
def driver(harness: DriverHarness) -> Iterator[Driver]:
    """Give a handle onto empty storage."""
    harness.reset()
    opened = harness.open()
    try:
        yield opened
    finally:
        opened.stop()


@pytest.fixture
def other(harness: DriverHarness, driver: Driver) -> Iterator[Driver]:
    """Give a second handle onto the storage of `driver`."""
    opened = harness.open()
    try:
        yield opened
    finally:
        opened.stop()
