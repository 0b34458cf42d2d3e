"""Harnesses are found by name, and the suite that they run is whole."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest

import gaffer.testing.suite
from gaffer.errors import InvalidDriver, UnknownDriver
from gaffer.testing.harness import installed, load
from gaffer.testing.model import ModelHarness


def offer(folder: Path, distribution: str, value: str) -> None:
    """Make a distribution that offers a harness called ``odd``."""
    info = folder / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gaffer.harnesses]\nodd = {value}\n")


def test_a_harness_is_found_by_its_name() -> None:
    assert {"memory", "model"} <= set(installed())
    assert isinstance(load("model"), ModelHarness)


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownDriver) as raised:
        load("fiel")

    assert raised.value.name == "fiel"
    assert raised.value.installed == tuple(installed())


def test_a_name_that_two_distributions_offer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, "one", "gaffer.testing.model:ModelHarness")
    offer(tmp_path, "two", "gaffer.testing.model:ModelHarness")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidDriver, match=r"several harnesses.*'odd': .* of one, .* of two"):
        load("odd")
    assert installed().count("odd") == 1


@pytest.mark.parametrize("value", ["gaffer.testing.model:ModelStore", "gaffer.testing.values:NOW"])
def test_what_is_no_harness_is_refused(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(tmp_path, "one", value)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(InvalidDriver, match="must be a subclass of DriverHarness"):
        load("odd")


def test_the_suite_hands_on_every_test_of_its_modules() -> None:
    folder = Path(gaffer.testing.suite.__file__).parent
    names = [
        name
        for path in sorted(folder.glob("test_*.py"))
        for name, value in vars(import_module(f"gaffer.testing.suite.{path.stem}")).items()
        if name.startswith("test_") and isinstance(value, FunctionType)
    ]

    # Equal names in two modules would hide one of the tests from those who adopt the suite.
    assert sorted(names) == sorted(gaffer.testing.suite.__all__)


def test_the_plugin_imports_neither_hypothesis_nor_a_driver() -> None:
    script = (
        "import sys, gaffer.testing.plugin\n"
        "print([n for n in sys.modules if n.startswith(('hypothesis', 'gaffer_driver_'))])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"


def test_the_doubles_need_no_test_tool() -> None:
    script = (
        "import sys, gaffer.testing, gaffer.testing.model\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('hypothesis', 'pytest', '_pytest')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "[]\n"
