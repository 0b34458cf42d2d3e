"""The normal form of values: what is taken reads back equal, what is not is refused with a path."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import codec
from gaffer.codec import MAX_BYTES, MAX_DEPTH, decode, encode
from gaffer.errors import InvalidPayload
from gaffer.job import Exponential, JobError

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)
INSTANTS = st.datetimes(timezones=st.just(UTC))


class Level(IntEnum):
    HIGH = 7


class Colour(StrEnum):
    RED = "red"


class Name(str):
    __slots__ = ()


def same(one: object, other: object) -> bool:
    """Tell whether two JSON values are equal, all types, orders and signs of zero included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return one == other


def nested(depth: int) -> Any:
    value: Any = "core"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def shared(leaf: Any, doublings: int) -> Any:
    """Return a list that is small in memory and 2 ** *doublings* leaves large in JSON."""
    for _ in range(doublings):
        leaf = [leaf, leaf]
    return leaf


@given(VALUES)
def test_what_is_taken_reads_back_equal_with_all_its_types(value: Any) -> None:
    """B46, F46."""
    encoded = encode(value)

    assert same(decode(encoded), value)
    assert encode(decode(encoded)) == encoded


@pytest.mark.parametrize(
    "value",
    [
        -0.0,
        5e-324,
        sys.float_info.max,
        1e16,
        2**63,
        -(2**63) - 1,
        10**4299,
        "\\u0000",
        "\\ud800",
        '"\\',
        "\x01\x1f\x7f\x85\u2028\u2029\ufeff\uffff",
        "\U0010ffff",
        {"": {"": []}},
        {"\\u0000": {}},
        {"b": 1, "a": 2},
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_the_edges_of_json_read_back_equal(value: Any) -> None:
    """F46."""
    assert same(decode(encode(value)), value)


def test_the_text_is_compact_and_keeps_all_characters_as_they_are() -> None:
    assert encode({"größe": [1, 2.5, None, True, "☃"]}) == '{"größe":[1,2.5,null,true,"☃"]}'


@given(VALUES)
def test_the_text_is_what_the_standard_library_writes(value: Any) -> None:
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))

    assert encode(value) == text


def test_a_standard_library_of_other_parts_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)

    assert codec._encoding()({"a": [1, "é"]}) == '{"a":[1,"é"]}'


REFUSED: list[tuple[Any, str, str]] = [
    ("a\0b", "", "NUL"),
    ("\ud800", "", "lone surrogate at 0"),
    ("ok \udfff", "", "lone surrogate at 3"),
    (math.nan, "", "nan has no place in JSON"),
    (math.inf, "", "inf has no place"),
    (-math.inf, "", "-inf has no place"),
    (b"x", "", "a bytes; use text, for example base64"),
    (bytearray(b"x"), "", "a bytearray; use text"),
    ({1, 2}, "", "a set; use a list"),
    (frozenset(), "", "a frozenset; use a list"),
    ((1, 2), "", "a tuple; use a list"),
    (datetime(2026, 1, 1, tzinfo=UTC), "", "a datetime; use text, as isoformat"),
    (Decimal("1.5"), "", "a Decimal; convert it to plain JSON values"),
    (UUID(int=1), "", "an? UUID; convert it"),
    (Level.HIGH, "", "a Level; convert it"),
    (Colour.RED, "", "a Colour; convert it"),
    (Name("x"), "", "a Name; convert it"),
    (OrderedDict(a=1), "", "an OrderedDict; convert it"),
    (10**5000, "", "an integer of too many digits"),
    ({"items": [0, 1, 2, {"name": "a\0"}]}, ".items[3].name", "NUL"),
    ({"a": {"not an identifier": [math.nan]}}, ".a['not an identifier'][0]", "nan has no place"),
    ({"größe": {"": b""}}, ".größe['']", "a bytes"),
    ({"a": [{1: "x"}]}, ".a[0]", "the key '1' is an int; keys must be strings"),
    ({None: 1}, "", "the key 'None' is a NoneType"),
    ({Colour.RED: 1}, "", "the key 'red' is a Colour"),
    ({"a": {"x\0": 1}}, r".a['x\ufffd']", "NUL"),
    ({"a": {"\ud800": 1}}, r".a['\\ud800']", "lone surrogate"),
    ([[], [10**5000]], "[1][0]", "too many digits"),
    (nested(MAX_DEPTH + 1), ".a[0]" * (MAX_DEPTH // 2), "nested deeper than 100 levels"),
]


@pytest.mark.parametrize(
    ("value", "path", "reason"), REFUSED, ids=[f"{path}: {reason}" for _, path, reason in REFUSED]
)
def test_what_cannot_read_back_equal_is_refused_with_its_path(
    value: Any, path: str, reason: str
) -> None:
    """B47, F46."""
    with pytest.raises(InvalidPayload, match=reason) as refused:
        encode(value)
    with pytest.raises(InvalidPayload) as elsewhere:
        encode(value, root="result")

    assert refused.value.path == f"payload{path}"
    assert elsewhere.value.path == f"result{path}"
    assert str(refused.value) == f"payload{path}: {refused.value.reason}"


def test_a_value_may_be_as_deep_as_the_limit() -> None:
    """F46."""
    value = nested(MAX_DEPTH)

    assert same(decode(encode(value)), value)


@pytest.mark.parametrize("letter", ["a", "ä", "\U0001f600", "\x01", '"'])
def test_the_limit_is_in_bytes_of_utf_8_and_exact(letter: str) -> None:
    """F46."""
    size = len(json.dumps(letter, ensure_ascii=False).encode()) - 2
    fits = letter * ((1000 - 2) // size)
    exact = fits + "a" * (1000 - 2 - len(fits) * size)

    assert len(encode(exact, limit=1000).encode()) == 1000
    with pytest.raises(InvalidPayload, match="at most 1000 are kept"):
        encode(exact + "a", limit=1000)


def test_a_value_may_take_one_mebibyte_unless_told_otherwise() -> None:
    """F46."""
    exact = "a" * (MAX_BYTES - 2)

    assert MAX_BYTES == 2**20
    assert len(encode(exact)) == 2**20
    with pytest.raises(InvalidPayload, match="at most 1048576 are kept"):
        encode(exact + "a")
    assert len(encode(exact + "a", limit=2**21)) == 2**20 + 1


def test_a_limit_smaller_than_the_number_of_values_says_that_there_are_too_many() -> None:
    """F46."""
    with pytest.raises(InvalidPayload, match="too many values"):
        encode([0] * 101, limit=100)


@pytest.mark.parametrize("kind", [list, dict])
def test_a_cycle_is_refused(kind: type[Any]) -> None:
    """F46."""
    cycle: Any = [] if kind is list else {}
    if kind is list:
        cycle += [cycle, cycle]
    else:
        cycle.update(one=cycle, two=cycle)

    with pytest.raises(InvalidPayload, match="nested deeper"):
        encode(cycle)


def test_a_structure_whose_parts_are_shared_is_refused_before_it_is_unfolded() -> None:
    """F46."""
    with pytest.raises(InvalidPayload, match="too many values"):
        encode(shared([], 60), limit=10_000)


@pytest.mark.parametrize("leaf", ["x" * 100_000, 10**4000], ids=["text", "integer"])
def test_a_shared_part_is_refused_without_being_copied_for_each_place(leaf: Any) -> None:
    """F46."""
    value = [leaf] * 500
    tracemalloc.start()

    try:
        with pytest.raises(InvalidPayload):
            encode(value)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2 * MAX_BYTES


ERRORS = st.lists(
    st.builds(JobError, st.integers(min_value=1, max_value=2**31 - 1), VALUES, INSTANTS),
    max_size=10,
).map(tuple)


@given(ERRORS)
def test_errors_read_back_equal(errors: tuple[JobError, ...]) -> None:
    """B83."""
    loaded = codec.load_errors(codec.dump_errors(errors))

    assert loaded == errors
    assert all(map(same, [e.error for e in loaded], [e.error for e in errors]))
    assert all(error.at.tzinfo is UTC for error in loaded)


def test_an_error_of_another_zone_reads_back_in_utc() -> None:
    at = datetime(2026, 1, 1, 12, 0, 0, 1, timezone(timedelta(hours=3)))

    (loaded,) = codec.load_errors(codec.dump_errors([JobError(1, None, at)]))

    assert loaded.at.isoformat() == "2026-01-01T09:00:00.000001+00:00"


DELAYS = st.floats(min_value=0, max_value=1e9)


@given(st.lists(DELAYS, min_size=1).map(tuple))
def test_delays_read_back_equal(backoff: tuple[float, ...]) -> None:
    """B37."""
    loaded = codec.load_backoff(codec.dump_backoff(backoff))

    assert loaded == backoff
    assert {type(delay) for delay in loaded} == {float}


@given(st.builds(Exponential, base=DELAYS, factor=DELAYS, maximum=DELAYS, jitter=DELAYS))
def test_an_exponential_backoff_reads_back_equal(backoff: Exponential) -> None:
    assert codec.load_backoff(codec.dump_backoff(backoff)) == backoff


def test_reading_takes_what_a_store_may_have_made_of_whole_delays() -> None:
    loaded = codec.load_backoff("[1, 2]")

    assert loaded == (1.0, 2.0)
    assert isinstance(loaded, tuple)
    assert [type(delay) for delay in loaded] == [float, float]
