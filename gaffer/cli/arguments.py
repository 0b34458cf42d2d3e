"""Types of arguments: what a word of the command line means."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from gaffer import JobState

__all__ = ["age", "count", "instant", "job_id", "names", "rate", "seconds", "state"]

T = TypeVar("T")

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


def seconds(text: str) -> float:
    """Return the seconds that ``90``, ``90s``, ``5m``, ``2h``, ``1d`` or ``1w`` means."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration; write 90, 90s, 5m, 2h, 1d or 1w"
        )
    return float(match[1]) * _UNITS[match[2]]


def age(text: str) -> tuple[str, float | None]:
    """Return state and seconds of ``completed=1h``; ``never`` is `None`."""
    name, separator, duration = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is no age of a state; write completed=1h")
    return state(name), None if duration == "never" else seconds(duration)


def state(text: str) -> str:
    """Return the name of a state, or ``incomplete``."""
    known = [*map(str, JobState), "incomplete"]
    if text not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is no state; these are {', '.join(known)}")
    return text


def job_id(text: str) -> UUID:
    """Return the id of a job."""
    return _read(UUID, text, "no id of a job; it looks like 019a2b3c-4d5e-7f60-8192-a3b4c5d6e7f8")


def instant(text: str) -> datetime:
    """Return an instant with a time zone, from ISO 8601."""
    moment = _read(datetime.fromisoformat, text, "no instant; write 2026-03-29T06:00:00+01:00")
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone; add Z, or +01:00")
    return moment


def count(text: str) -> int:
    """Return a natural number."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no natural number")
    return int(text)


def rate(text: str) -> float:
    """Return a number above 0."""
    number = _read(float, text, "no number")
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be more than 0")
    return number


def names(text: str) -> list[str]:
    """Return the names of ``a,b``."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(f"{text!r}: write names with commas between: emails,sms")
    return found


def _read(call: Callable[[str], T], text: str, otherwise: str) -> T:
    try:
        return call(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is {otherwise}") from None
