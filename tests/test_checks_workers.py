"""The checks of options that hold more than a value: forward, hooks, prune, worker."""

from __future__ import annotations

import functools
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

from gaffer import checks
from gaffer.events import Event
from gaffer.job import Job, JobState


class Performing:
    def perform(self, job: Job) -> str:
        return job.queue


class Demanding:
    def __init__(self, connection: str) -> None:
        self.connection = connection

    def perform(self, job: Job) -> str:
        return self.connection + job.queue


def greet(job: Job) -> str:
    return f"Hello, {job.queue}"


async def later(job: Job) -> None:
    raise AssertionError(job)


class LaterPerforming:
    async def perform(self, job: Job) -> None:
        raise AssertionError(job)


class LaterCalled:
    async def __call__(self, job: Job) -> None:
        raise AssertionError(job)


class NotPerforming:
    perform = "not callable"


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
def test_forward_takes_terminal_states_by_member_or_by_name(state: JobState) -> None:
    """B31."""
    for key in (state, state.value):
        checked = checks.forward({key: "ended"})

        assert checked == {state: "ended"}
        assert all(isinstance(key, JobState) for key in checked)


def test_a_checked_forward_cannot_be_changed_and_is_a_copy() -> None:
    given = {"failed": "dead"}

    checked = checks.forward(given)
    given["completed"] = "other"

    assert checked == {JobState.FAILED: "dead"}
    assert isinstance(checked, MappingProxyType)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ({"available": "q"}, "unknown: available; known are cancelled, completed, failed"),
        ({JobState.EXECUTING: "q"}, "unknown: executing"),
        ({"discarded": "q", 3: "q"}, "unknown: 3, discarded"),
        ({"failed": ""}, "1 to 200 characters"),
        ({"failed": None}, "string"),
        ([("failed", "q")], "must be a mapping"),
        (None, "must be a mapping"),
    ],
)
def test_what_is_no_forward_is_refused(refused: object, why: str) -> None:
    """B31."""
    with pytest.raises(ValueError, match=why):
        checks.forward(refused)


def test_hooks_are_callables_or_objects_with_gaffer_hook() -> None:
    """B150."""
    module = ModuleType("watching")
    vars(module)["gaffer_hook"] = print

    class Watching:
        def gaffer_hook(self, event: Event) -> None:
            raise AssertionError(event)

    watching = Watching()

    assert checks.hooks([print, watching, module]) == (print, watching, module)
    assert checks.hooks(()) == ()


@pytest.mark.parametrize("refused", [None, print, {print}, "hooks", iter([print])])
def test_hooks_come_as_a_list_or_tuple(refused: object) -> None:
    with pytest.raises(ValueError, match="must be a list or tuple of hooks"):
        checks.hooks(refused)


def test_a_hook_that_cannot_be_called_is_named() -> None:
    with pytest.raises(ValueError, match="'nonsense' is neither callable nor has a method"):
        checks.hooks([print, "nonsense"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"interval": None}, {"interval": None}),
        ({"interval": 2}, {"interval": 2.0}),
        ({"interval": 0.001}, {"interval": 0.001}),
        ({"interval": checks.YEAR}, {"interval": checks.YEAR}),
        ({"max_age": {}}, {"max_age": {}}),
        ({"max_age": {"*": None, JobState.FAILED: 0}}, {"max_age": {"*": None, "failed": 0.0}}),
        ({"max_age": {"available": 5}}, {"max_age": {JobState.AVAILABLE: 5.0}}),
        ({"max_age": {"failed": checks.CENTURY}}, {"max_age": {"failed": checks.CENTURY}}),
    ],
)
def test_prune_holds_an_interval_and_ages(given: object, expected: object) -> None:
    """B166, B177."""
    assert checks.prune(given) == expected


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (None, "must be a mapping with keys among interval, max_age"),
        ({"intervall": 1}, "unknown: intervall; known are interval, max_age"),
        ({"interval": 0}, r"between 0\.001"),
        ({"interval": checks.YEAR + 1}, "milliseconds"),
        ({"interval": True}, "finite number"),
        ({"max_age": None}, "must be a mapping"),
        ({"max_age": {"_": 0}}, r"unknown: _; known are \*, available"),
        ({"max_age": {"done": 0, 7: 0}}, "unknown: 7, done"),
        ({"max_age": {"failed": -1}}, "between 0 and"),
        ({"max_age": {"failed": checks.CENTURY + 1}}, "milliseconds"),
    ],
)
def test_what_is_no_prune_is_refused(refused: object, why: str) -> None:
    """B166, F54."""
    with pytest.raises(ValueError, match=why):
        checks.prune(refused)


def test_a_function_an_object_and_a_module_can_work() -> None:
    """B21."""
    module = ModuleType("working")
    vars(module)["perform"] = greet
    performing = Performing()

    for worker in (greet, performing, performing.perform, module, functools.partial(greet)):
        assert checks.worker(worker) is worker


def test_a_class_with_perform_is_made_without_arguments() -> None:
    """B21."""
    made = checks.worker(Performing)

    assert isinstance(made, Performing)


def test_a_class_without_perform_is_a_callable_like_any_other() -> None:
    class Called:
        def __init__(self, job: Job) -> None:
            self.job = job

    assert checks.worker(Called) is Called


def test_a_mapping_of_kinds_is_checked_all_the_way_down_and_copied() -> None:
    given: dict[str, Any] = {"greet": greet, "other": {"deep": Performing}}

    checked: Any = checks.worker(given)
    given.clear()

    assert checked.keys() == {"greet", "other"}
    assert checked["greet"] is greet
    assert isinstance(checked["other"]["deep"], Performing)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (later, "coroutine function"),
        (functools.partial(later), "coroutine function"),
        (LaterPerforming(), "coroutine function"),
        (LaterPerforming, "coroutine function"),
        (LaterCalled(), "coroutine function"),
        ({"a": {"b": later}}, "coroutine function"),
        (Demanding, "without arguments, but .*connection"),
        (NotPerforming(), "must be callable"),
        (7, "must be callable"),
        ("module.greet", "must be callable"),
        ({}, "must not be empty"),
        ({"a": {}}, "must not be empty"),
        ({"a": None}, "must be callable"),
        ({"": greet}, "1 to 200 characters"),
        ({1: greet}, "must be a string"),
    ],
)
def test_what_cannot_work_is_refused(refused: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checks.worker(refused)


def produces(job: Job) -> Any:
    yield job


async def produces_later(job: Job) -> Any:
    yield job


@pytest.mark.parametrize("refused", [produces, produces_later])
def test_a_generator_function_is_refused_because_its_body_would_never_run(refused: object) -> None:
    with pytest.raises(ValueError, match="never run"):
        checks.worker(refused)
