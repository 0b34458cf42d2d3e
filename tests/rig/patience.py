"""A test that hangs is shown and ended, and one that fails is told of at once.

pytest's own `faulthandler_timeout` falls silent when a test has failed, and that is when an end
hangs: on a lock that the failed test still has. And what failed is only told at the end of a run,
which a hang, or a machine that is taken away, keeps from coming.
"""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from typing import IO

import pytest

__all__ = ["Patience"]

SECONDS = 240.0
"""No test takes so long to be set up, called, or torn down."""


class Patience:
    """A plugin: after `SECONDS` in one phase of a test, print all stacks, and end the process.

    With ``-n`` another takes its place, and the test is told to have crashed.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._stderr: IO[str] = os.fdopen(os.dup(2), "w")  # not what a test captures

    def _arm(self) -> Iterator[None]:
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=self._stderr)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        """Guard the setup."""
        return (yield from self._arm())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        """Guard the test."""
        return (yield from self._arm())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Guard the end, also that of a test which has failed."""
        return (yield from self._arm())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell of a failure at once, in the process that writes to the terminal."""
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and reporter is not None and not hasattr(self._config, "workerinput"):
            reporter.write_line(
                f"\n{report.when} of {report.nodeid} failed:\n{report.longreprtext}"
            )
