"""What a failed attempt leaves behind: plain values, whatever the exception does when asked."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import codec, failures
from gaffer.errors import InvalidPayload


class Hostile(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(3)

    def __repr__(self) -> NoReturn:
        raise KeyboardInterrupt


class Classless(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Outer:
    class Inner(Exception):
        pass


def raised(error: BaseException) -> BaseException:
    """Return *error* after it went through two frames, as gaffer's and a worker's."""

    def worker() -> NoReturn:
        raise error

    try:
        worker()
    except BaseException as caught:
        return caught


def outcome(function: Callable[[], Any]) -> Any:
    """Return what *function* returns, or the name of what it raises."""
    try:
        return function()
    except BaseException as error:
        return f"raised {type(error).__name__}"


def stored(error: Any) -> Any:
    """Return a failure as a job keeps it, through everything that stands in between."""
    return codec.decode(codec.encode(codec.storable(error)))


def test_a_failure_tells_type_message_and_traceback() -> None:
    """B69, B88."""
    failure = failures.failure(raised(ValueError("no such customer")))

    assert failure.keys() == {"type", "message", "traceback"}
    assert (failure["type"], failure["message"]) == ("ValueError", "no such customer")
    assert failure["traceback"].startswith("Traceback (most recent call last):")
    assert failure["traceback"].endswith("ValueError: no such customer\n")


def test_a_traceback_begins_with_the_frame_below_the_one_that_caught() -> None:
    traceback = failures.failure(raised(ValueError("no")))["traceback"]

    assert "in worker" in traceback
    assert "in raised" not in traceback


def test_an_exception_that_was_never_raised_has_a_failure_too() -> None:
    assert failures.failure(ValueError("no")) == {
        "type": "ValueError",
        "message": "no",
        "traceback": "ValueError: no\n",
    }


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (SystemExit(3), "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit(), "GeneratorExit"),
        (StopIteration(), "StopIteration"),
        (MemoryError(), "MemoryError"),
        (Outer.Inner(), f"{__name__}.Outer.Inner"),
        (InvalidPayload("payload", "no"), "gaffer.errors.InvalidPayload"),
    ],
)
def test_the_name_of_the_type_is_kept_with_its_module(error: BaseException, name: str) -> None:
    """B88, F35."""
    failure = failures.failure(raised(error))

    assert failure["type"] == name
    assert stored(failure) == failure


@pytest.mark.parametrize("kind", [Hostile, Classless])
def test_no_exception_escapes_its_own_recording(kind: type[Exception]) -> None:
    """F35."""
    failure: Any = outcome(lambda: failures.failure(raised(kind("no"))))

    assert failure["type"] == f"{__name__}.{kind.__qualname__}"
    assert failure["message"]
    assert failure["traceback"]
    assert stored(failure) == failure


def test_a_cause_and_a_context_are_told() -> None:
    """B88."""
    error = RuntimeError("effect")
    error.__cause__ = raised(KeyError("cause"))

    traceback = failures.failure(raised(error))["traceback"]

    assert "KeyError: 'cause'" in traceback
    assert "direct cause" in traceback


@pytest.mark.parametrize("depth", [10, 1000, 5000])
def test_a_group_nested_too_deep_is_recorded_all_the_same(depth: int) -> None:
    """F35."""
    group: Exception = ValueError("core")
    for _ in range(depth):
        group = ExceptionGroup("group", [group])

    failure = outcome(lambda: failures.failure(raised(group)))

    assert (failure["type"], failure["message"]) == ("ExceptionGroup", "group (1 sub-exception)")
    assert failure["traceback"]
    assert stored(failure) == failure


@pytest.mark.parametrize(
    "letter", ["x", "é", "\U0001f600", "\0", "\ud800", "\x01", '"', "\\", "\n"], ids=ascii
)
def test_a_failure_is_small_and_keeps_its_form_however_long_the_message_is(letter: str) -> None:
    """F35, F53."""
    failure = failures.failure(raised(ValueError(f"begin {letter * 1_000_000} end")))

    kept = stored(failure)
    assert isinstance(kept, dict)
    assert kept.keys() == {"type", "message", "traceback"}
    assert kept["message"].startswith("begin ")
    assert kept["message"].endswith(" end")
    assert kept["traceback"].endswith(" end\n")
    assert len(codec.encode(failure)) < 2**17


def test_a_message_of_fifty_megabytes_is_cut() -> None:
    """F35."""
    failure = failures.failure(raised(ValueError("x" * 50_000_000)))

    assert 2048 <= len(failure["message"]) <= 2100
    assert 16_384 <= len(failure["traceback"]) <= 16_500


@given(st.text(st.characters(), max_size=50))
def test_a_failure_is_stored_as_it_is(message: str) -> None:
    """F35, F46."""
    failure = failures.failure(raised(ValueError(message)))

    assert stored(failure) == failure


def test_a_failure_keeps_no_frame_alive() -> None:
    class Resource:
        pass

    def fail() -> tuple[Any, weakref.ref[Resource]]:
        resource = Resource()
        try:
            raise ValueError(resource)
        except ValueError as error:
            return failures.failure(error), weakref.ref(resource)

    failure, resource = fail()
    gc.collect()

    assert failure["type"] == "ValueError"
    assert resource() is None


def test_a_timeout_tells_the_limit_and_where_the_thread_was() -> None:
    failure = failures.timed_out(1.5, ["  File a.py, line 1\n", "  File b.py, line 2\n"])

    assert failure == {
        "type": "timeout",
        "message": "timeout: still running after 1.5 s",
        "traceback": "  File a.py, line 1\n  File b.py, line 2\n",
    }
    assert stored(failure) == failure


def test_a_timeout_of_a_deep_stack_is_cut_in_the_middle() -> None:
    """F53."""
    failure = failures.timed_out(30.0, [f"frame {n}\n" for n in range(100_000)])

    assert failure["message"] == "timeout: still running after 30 s"
    assert failure["traceback"].startswith("frame 0\n")
    assert failure["traceback"].endswith("frame 99999\n")
    assert len(failure["traceback"]) <= 16_500


def test_a_lost_attempt_tells_how_long_its_node_was_silent() -> None:
    assert failures.lost(20.0) == {
        "type": "lost",
        "message": "lost: the node that ran it was silent for 20 s",
        "traceback": "",
    }
