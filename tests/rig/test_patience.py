"""A test that hangs ends the wait for it, and the tests behind it run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
from tests.rig import patience

patience.SECONDS = 1.0

def pytest_configure(config):
    config.pluginmanager.register(patience.Patience(config))
"""

TESTS = """
import threading
import pytest

@pytest.fixture
def stuck():
    yield
    threading.Event().wait(60)

def test_that_fails_and_hangs_at_its_end(stuck):
    assert 1 == 2

@pytest.mark.parametrize("number", range(10))
def test_behind_it(number):
    pass
"""


def test_a_failed_test_that_hangs_at_its_end_is_shown_and_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_it.py").write_text(TESTS)
    root = Path(__file__).parents[2]

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 1, ran.stdout
    told, _, rest = ran.stdout.partition("Timeout (0:00:01)!")
    assert "call of test_it.py::test_that_fails_and_hangs_at_its_end failed:" in told
    assert "assert 1 == 2" in told
    assert "in stuck" in rest
    assert "crashed while running 'test_it.py::test_that_fails_and_hangs_at_its_end'" in rest
    assert "10 passed" in rest
