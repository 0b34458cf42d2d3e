"""The checks of single options: each takes a value and returns it normalised, or raises ValueError.

Names, numbers, durations, instants, backoffs, workers. `gaffer.conf` says which option needs which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

from gaffer.job import Backoff, Exponential, JobState, Worker

__all__ = [
    "CENTURY",
    "DAY",
    "DEFAULT_AGE",
    "INT32",
    "YEAR",
    "Check",
    "backoff",
    "duration",
    "flag",
    "forward",
    "hooks",
    "instant",
    "integer",
    "listed",
    "name",
    "or_none",
    "prune",
    "seconds",
    "uuid",
    "worker",
]

Check: TypeAlias = Callable[[Any], Any]

INT32 = 2**31 - 1
DAY = 86_400.0
YEAR = 366 * DAY
CENTURY = 100 * YEAR
NAME_LENGTH = 200
DEFAULT_AGE = "*"
"""The key of `PruneConf.max_age` that stands for every state without one of its own."""


def listed(names: Iterable[Any]) -> str:
    """Return *names* sorted, for a message."""
    return ", ".join(sorted(map(str, names)))


def seconds(value: Any, *, least: float = 0.0, most: float = CENTURY) -> float:
    """Return a duration in seconds, given as a number or a `timedelta`."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if not _number(value, -math.inf, math.inf):
        raise ValueError("must be a finite number of seconds, or a timedelta")
    if not least <= value <= most:
        hint = " (are these milliseconds?)" if value > most else ""
        raise ValueError(f"must be between {least:g} and {most:g} seconds{hint}")
    return float(value)


def _number(value: Any, least: float, most: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= 1e300 and least <= value <= most


def duration(least: float, most: float) -> Check:
    """Return a check for a number of seconds, or a `timedelta`."""
    return lambda value: seconds(value, least=least, most=most)


def integer(least: int, most: int = INT32) -> Check:
    """Return a check for an integer in bounds; `True` and `False` are none."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be an integer between {least} and {most}")
        return int(value)

    return check


def or_none(check: Check) -> Check:
    """Return a check that takes `None` too."""
    return lambda value: None if value is None else check(value)


def flag(value: Any) -> bool:
    """Check for `True` or `False`."""
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def instant(value: Any) -> datetime:
    """Return an aware datetime in UTC."""
    if not isinstance(value, datetime):
        raise ValueError("must be an aware datetime")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError("must be an aware datetime, as datetime.now(UTC) gives; this one is naive")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


def name(value: Any) -> str:
    """Check for text of 1 to 200 characters that every store keeps."""
    if type(value) is not str or not 1 <= len(value) <= NAME_LENGTH:
        raise ValueError(f"must be a string of 1 to {NAME_LENGTH} characters")
    if "\0" in value:
        raise ValueError("must not contain NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return value


def uuid(value: Any) -> UUID:
    """Check for a UUID."""
    if not isinstance(value, UUID):
        raise ValueError("must be a uuid.UUID")
    return value


def backoff(value: Any) -> Backoff:
    """Return a backoff: one delay, a sequence of delays, or an `Exponential`."""
    if isinstance(value, Exponential):
        return _exponential(value)
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("must have at least one delay")
        return tuple(seconds(delay, most=YEAR) for delay in value)
    return (seconds(value, most=YEAR),)


def _exponential(value: Exponential) -> Exponential:
    for attribute, least, most in (("factor", 1.0, 1e6), ("jitter", 0.0, 1.0)):
        if not _number(getattr(value, attribute), least, most):
            raise ValueError(f"{attribute} must be a number between {least:g} and {most:g}")
    return Exponential(
        base=seconds(value.base, most=YEAR),
        factor=float(value.factor),
        maximum=seconds(value.maximum, most=YEAR),
        jitter=float(value.jitter),
    )


def forward(value: Any) -> Mapping[JobState, str]:
    """Check for a mapping of terminal states to queue names."""
    known: dict[Any, JobState] = {state: state for state in JobState if state.terminal}
    _keys(value, known)
    return MappingProxyType({known[state]: name(queue) for state, queue in value.items()})


def hooks(value: Any) -> tuple[Any, ...]:
    """Check for a list of hooks."""
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list or tuple of hooks")
    for hook in value:
        if not callable(hook) and not callable(getattr(hook, "gaffer_hook", None)):
            raise ValueError(f"{hook!r} is neither callable nor has a method gaffer_hook(event)")
        if iscoroutinefunction(getattr(hook, "gaffer_hook", hook)):
            raise ValueError(f"{hook!r} is a coroutine function, which would never run")
    return tuple(value)


def prune(value: Any) -> dict[str, Any]:
    """Check for a mapping with ``interval`` and ``max_age``, each optional."""
    _keys(value, ["interval", "max_age"])
    checks = {"interval": or_none(duration(0.001, YEAR)), "max_age": _max_age}
    return {key: checks[key](value[key]) for key in value}


def _max_age(value: Any) -> dict[str, float | None]:
    known: dict[Any, str] = {**{state: state for state in JobState}, DEFAULT_AGE: DEFAULT_AGE}
    _keys(value, known)
    age = or_none(duration(0.0, CENTURY))
    return {known[state]: age(value[state]) for state in value}


def _keys(value: Any, known: Iterable[Any]) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping with keys among {listed(known)}")
    if unknown := [key for key in value if key not in known]:
        raise ValueError(f"unknown: {listed(unknown)}; known are {listed(known)}")


_NEVER_RUN = (iscoroutinefunction, isasyncgenfunction, isgeneratorfunction)


def worker(value: Any) -> Worker:
    """Check for something that can work jobs; a class is made here, without arguments."""
    if isinstance(value, Mapping):
        if not value:
            raise ValueError("a mapping of kinds to workers must not be empty")
        return {name(kind): worker(one) for kind, one in value.items()}
    if isinstance(value, type) and hasattr(value, "perform"):
        try:
            value = value()
        except TypeError as reason:
            raise ValueError(f"a class is made without arguments, but {reason}") from None
    perform = getattr(value, "perform", value)
    if not callable(perform):
        raise ValueError("must be callable, have a method perform(job), or map kinds to workers")
    if any(
        never_runs(one) for one in (perform, type(perform).__call__) for never_runs in _NEVER_RUN
    ):
        raise ValueError(
            "must be an ordinary function; a coroutine function or a generator would never run"
        )
    checked: Worker = value
    return checked
