"""Values of workers: whatever they fail or complete with can be stored, and fast."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NoReturn, SupportsIndex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import codec

LEAVES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers()
    | st.fractions()
)
HASHABLE = st.integers() | st.text(st.characters()) | st.binary() | st.none()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.frozensets(HASHABLE, max_size=3)
    ),
    max_leaves=20,
)


class Level(IntEnum):
    HIGH = 7


class Colour(StrEnum):
    RED = "red"


class HostileText:
    def __str__(self) -> NoReturn:
        raise SystemExit(3)

    def __repr__(self) -> NoReturn:
        raise KeyboardInterrupt


class HostileClass:
    def __getattribute__(self, name: str) -> NoReturn:
        raise RuntimeError(name)


class HostileList(list[Any]):
    def __iter__(self) -> NoReturn:
        raise SystemExit(3)


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> NoReturn:
        raise SystemExit(3)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class HostileFloat(float):
    def __float__(self) -> NoReturn:
        raise SystemExit(3)


class HostileString(str):
    __slots__ = ()

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> NoReturn:
        raise SystemExit(3)


class HostileStringText:
    def __str__(self) -> str:
        return HostileString("x")


class SelfRepr:
    def __repr__(self) -> str:
        return "a\0b\ud800" * 100_000


HOSTILE: list[type] = [
    HostileText,
    HostileClass,
    HostileList,
    HostileMapping,
    HostileFloat,
    HostileStringText,
    SelfRepr,
]


def outcome(function: Callable[[], Any]) -> Any:
    """Return what *function* returns, or the name of what it raises."""
    try:
        return function()
    except BaseException as error:
        return f"raised {type(error).__name__}"


def is_stored_as_it_is(value: Any) -> bool:
    return bool(codec.decode(codec.encode(value)) == value)


@given(VALUES)
def test_whatever_a_worker_fails_with_becomes_storable(value: Any) -> None:
    """B87, F35, F46."""
    made = codec.storable(value)

    assert is_stored_as_it_is(made)
    assert len(codec.encode(made)) <= 2**17


@given(VALUES)
def test_whatever_a_worker_returns_becomes_a_result(value: Any) -> None:
    """F36."""
    encoded = codec.encode_result(value)

    assert is_stored_as_it_is(codec.decode(encoded))


@pytest.mark.parametrize("make", HOSTILE)
def test_no_object_breaks_the_storing_of_a_failure(make: Callable[[], Any]) -> None:
    """B87, F35."""
    result = outcome(lambda: is_stored_as_it_is(codec.storable(make())))
    inside = outcome(lambda: is_stored_as_it_is(codec.storable({"a": [make(), (make(),)]})))

    assert (result, inside) == (True, True)


@pytest.mark.parametrize("make", HOSTILE)
def test_no_object_breaks_the_storing_of_a_result(make: Callable[[], Any]) -> None:
    """F36."""
    result: Any = outcome(lambda: json.loads(codec.encode_result([make()])))

    assert result["gaffer:error"] == "unserialisable"
    assert make.__name__ in result["reason"]
    assert is_stored_as_it_is(result)


@pytest.mark.parametrize("make", HOSTILE)
def test_every_object_has_a_text(make: Callable[[], Any]) -> None:
    """F35."""
    made: Any = outcome(lambda: codec.text(make(), 100))

    assert type(made) is str
    assert is_stored_as_it_is(made)
    assert not made.startswith("raised")


def test_an_object_whose_text_raises_is_named() -> None:
    """F35."""
    made = outcome(lambda: codec.text(HostileText(), 100))

    assert made == "<HostileText whose text raises SystemExit>"


@pytest.mark.parametrize("value", [None, True, 0, -(2**70), 1.5, -0.0, "text", [], {}, [{"a": 1}]])
def test_plain_values_stay_as_they_are(value: Any) -> None:
    """B87."""
    made = codec.storable(value)

    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: {None: (b"x",)}}, {"1": {"None": ["b'x'"]}}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        ("a\0b", "a\ufffdb"),
        ("\ud800", "\\ud800"),
        (Fraction(1, 3), "1/3"),
        (Level.HIGH, "7"),
        (Colour.RED, "red"),
        ({7}, "{7}"),
        (10**5000, "<int whose text raises ValueError>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_converted_inside_or_become_their_text(value: Any, expected: Any) -> None:
    """B87."""
    assert codec.storable(value) == expected


def test_what_is_nested_too_deep_is_cut_where_it_is_too_deep() -> None:
    deep: Any = "core"
    for _ in range(10_000):
        deep = [deep]

    made = codec.storable(deep)

    assert is_stored_as_it_is(made)
    assert "core" not in codec.encode(made)
    assert "…" in codec.encode(made)


def test_a_text_too_long_keeps_its_beginning_and_its_end() -> None:
    """F35, F53."""
    made = codec.text("begin " + "x" * 50_000_000 + " end", 2048)

    assert made.startswith("begin xxx")
    assert " … " in made
    assert made.endswith("xxx end")
    assert 2048 <= len(made) <= 2100
    assert codec.text("x" * 2048, 2048) == "x" * 2048


def test_a_failure_too_large_is_cut_and_not_dropped() -> None:
    """F35, F53."""
    made = codec.storable(["begin", *["y" * 1000] * 1000])

    assert "begin" in codec.encode(made)
    assert len(codec.encode(made)) < 2**17


def test_a_result_that_can_be_kept_is_kept() -> None:
    """B67."""
    assert codec.encode_result({"sent": [1, None]}) == '{"sent":[1,null]}'
    assert codec.encode_result(None) == "null"


def test_a_result_that_cannot_be_kept_is_replaced_by_a_note_of_why() -> None:
    """F36."""
    note = json.loads(codec.encode_result({"when": {1, 2}}))

    assert note == {
        "gaffer:error": "unserialisable",
        "reason": "result.when: a set; use a list",
        "repr": "{'when': {1, 2}}",
    }


def test_a_result_too_large_is_replaced_by_a_short_note() -> None:
    """F36."""
    encoded = codec.encode_result("x" * 2**21)

    note = json.loads(encoded)
    assert note["reason"].startswith("result: ")
    assert "at most 1048576" in note["reason"]
    assert note["repr"].startswith("'xxx")
    assert len(encoded) < 4096
    assert codec.encode_result("x" * 200, limit=100).startswith('{"gaffer:error"')


CYCLES = {
    "a list that holds itself twice": "a = []; a += [a, a]",
    "a dict that holds itself twice": "a = {}; a.update(one=a, two=a)",
    "parent and children": "a = {'children': []}; a['children'] += [{'up': a}, {'up': a}]",
    "shared parts": "a = []\nfor _ in range(60): a = [a, a]",
}


@pytest.mark.parametrize("made", CYCLES.values(), ids=CYCLES)
@pytest.mark.parametrize("function", ["storable", "encode_result"])
def test_a_value_that_unfolds_without_end_is_stored_at_once(made: str, function: str) -> None:
    """B87, F36, F46."""
    script = f"from gaffer import codec\n{made}\nprint(len(str(codec.{function}(a))) < 2**17)"

    ran: Any = outcome(
        lambda: subprocess.run(
            ["/bin/sh", "-c", f'ulimit -v 2000000; exec "{sys.executable}" -c "$0"', script],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    )

    assert getattr(ran, "stdout", ran) == "True\n"
