"""The checks of single options: what passes, as what, and what is refused, with which words."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import checks
from gaffer.job import Exponential, JobState


class Level(IntEnum):
    HIGH = 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0.0),
        (1, 1.0),
        (0.1, 0.1),
        (-0.0, 0.0),
        (timedelta(milliseconds=250), 0.25),
        (timedelta(0), 0.0),
        (timedelta(days=36_600), checks.CENTURY),
        (checks.CENTURY, checks.CENTURY),
    ],
)
def test_a_duration_is_seconds_or_a_timedelta_and_becomes_a_float(
    given: float | timedelta, expected: float
) -> None:
    checked = checks.seconds(given)

    assert checked == expected
    assert type(checked) is float


@pytest.mark.parametrize(
    "refused",
    [
        math.nan,
        math.inf,
        -math.inf,
        -0.001,
        10**400,
        10**5000,
        checks.CENTURY + 1,
        timedelta(microseconds=-1),
        timedelta.max,
        True,
        "1",
        None,
        1j,
        datetime(2026, 1, 1, tzinfo=UTC),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_duration_in_bounds_is_refused(refused: object) -> None:
    """F54."""
    with pytest.raises(ValueError, match="must be"):
        checks.seconds(refused)


def test_too_long_a_duration_is_suspected_to_be_milliseconds() -> None:
    """F54."""
    check = checks.duration(0.001, 60)

    with pytest.raises(ValueError, match=r"between 0\.001 and 60 seconds \(are these millisec"):
        check(30_000)
    with pytest.raises(ValueError, match=r"between 0\.001 and 60 seconds$"):
        check(0)


@given(st.integers(min_value=-100, max_value=100) | st.floats() | st.booleans() | st.text())
def test_an_integer_check_takes_exactly_the_integers_in_bounds(value: object) -> None:
    """F54, B41."""
    check = checks.integer(-5, 20)
    good = type(value) is int and -5 <= value <= 20

    try:
        taken = check(value) == value
    except ValueError:
        taken = False

    assert taken == good


def test_an_integer_of_a_subclass_becomes_a_plain_one() -> None:
    checked = checks.integer(0)(Level.HIGH)

    assert (type(checked), checked) == (int, 7)


def test_integers_are_bounded_by_what_every_store_keeps() -> None:
    """F54."""
    check = checks.integer(-(2**31))

    assert check(2**31 - 1) == 2**31 - 1
    assert check(-(2**31)) == -(2**31)
    for refused in (2**31, -(2**31) - 1, 10**5000):
        with pytest.raises(ValueError, match="between -2147483648 and 2147483647"):
            check(refused)


def test_or_none_lets_none_pass_and_nothing_else() -> None:
    check = checks.or_none(checks.integer(1))

    assert check(None) is None
    assert check(3) == 3
    with pytest.raises(ValueError, match="must be an integer"):
        check(0)


@pytest.mark.parametrize("refused", [0, 1, "yes", None])
def test_a_flag_is_a_boolean(refused: object) -> None:
    assert checks.flag(True) is True
    assert checks.flag(False) is False
    with pytest.raises(ValueError, match="must be True or False"):
        checks.flag(refused)


def test_an_instant_is_aware_and_becomes_utc() -> None:
    """F48."""
    tokyo = timezone(timedelta(hours=9))

    checked = checks.instant(datetime(2026, 3, 1, 8, 30, 0, 123456, tokyo))

    assert checked == datetime(2026, 2, 28, 23, 30, 0, 123456, UTC)
    assert checked.tzinfo is UTC


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (datetime(2026, 1, 1), "naive"),  # noqa: DTZ001 - that is the point
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=5))), "years 1 and 9999"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))), "years 1 and 9999"),
        (1_700_000_000, "aware datetime"),
        ("2026-01-01T00:00:00Z", "aware datetime"),
        (datetime(2026, 1, 1, tzinfo=UTC).date(), "aware datetime"),
        (None, "aware datetime"),
    ],
)
def test_what_is_no_instant_is_refused(refused: object, why: str) -> None:
    """F48, F54."""
    with pytest.raises(ValueError, match=why):
        checks.instant(refused)


@pytest.mark.parametrize("good", ["a", "a" * 200, "größe", "with space", "\N{SNOWMAN}" * 200])
def test_a_name_is_text_of_1_to_200_characters(good: str) -> None:
    assert checks.name(good) is good


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ("", "1 to 200 characters"),
        ("a" * 201, "1 to 200 characters"),
        ("a\0b", "NUL"),
        ("\ud800", "surrogates"),
        (b"mail", "string"),
        (None, "string"),
        (7, "string"),
        (JobState.FAILED, "string"),
    ],
)
def test_what_is_no_name_is_refused(refused: object, why: str) -> None:
    """F46."""
    with pytest.raises(ValueError, match=why):
        checks.name(refused)


def test_an_id_is_a_uuid() -> None:
    id = UUID(int=5)

    assert checks.uuid(id) is id
    with pytest.raises(ValueError, match=r"uuid\.UUID"):
        checks.uuid(str(id))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, (0.0,)),
        (1.5, (1.5,)),
        (timedelta(minutes=1), (60.0,)),
        ([1, timedelta(seconds=2), 4.5], (1.0, 2.0, 4.5)),
        ((10,), (10.0,)),
        (checks.YEAR, (checks.YEAR,)),
        (Exponential(), Exponential()),
        (
            Exponential(base=1, factor=2, maximum=60, jitter=0),
            Exponential(base=1.0, factor=2.0, maximum=60.0, jitter=0.0),
        ),
    ],
)
def test_a_backoff_is_one_delay_or_several_or_exponential(given: object, expected: object) -> None:
    """B37, B85, B90."""
    assert checks.backoff(given) == expected


def test_the_numbers_of_an_exponential_backoff_become_floats() -> None:
    given: Any = Exponential(
        base=timedelta(seconds=2),  # type: ignore[arg-type]
        factor=3,
        maximum=timedelta(hours=1),  # type: ignore[arg-type]
        jitter=0,
    )

    checked: Any = checks.backoff(given)

    assert checked == Exponential(base=2.0, factor=3.0, maximum=3600.0, jitter=0.0)
    assert {type(checked.base), type(checked.factor), type(checked.jitter)} == {float}


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        ([], "at least one delay"),
        ((), "at least one delay"),
        (-1, "between 0 and"),
        (checks.YEAR + 1, "milliseconds"),
        ([1, -1], "between 0 and"),
        ([1, None], "finite number"),
        ("10", "finite number"),
        ({1, 2}, "finite number"),
        (math.inf, "finite number"),
        (Exponential(base=-1.0), "between 0 and"),
        (Exponential(maximum=math.inf), "finite number"),
        (Exponential(factor=0.5), "factor must be a number between 1 and 1e"),
        (Exponential(factor=math.nan), "factor must be"),
        (Exponential(factor=1e7), "factor must be"),
        (Exponential(jitter=1.1), "jitter must be a number between 0 and 1"),
        (Exponential(jitter=-0.1), "jitter must be"),
        (Exponential(jitter=True), "jitter must be"),
    ],
)
def test_what_is_no_backoff_is_refused(refused: object, why: str) -> None:
    """B89, F54."""
    with pytest.raises(ValueError, match=why):
        checks.backoff(refused)
