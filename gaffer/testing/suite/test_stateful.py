"""Whatever is done in whatever order: the driver answers as the model does."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from gaffer.testing.harness import DriverHarness
from gaffer.testing.stateful import driver_machine, machine_settings


def test_the_driver_answers_as_the_model_does(harness: DriverHarness) -> None:
    run_state_machine_as_test(driver_machine(harness), settings=machine_settings())
