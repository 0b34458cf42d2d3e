"""What a trial comes to: figures, each with the bound that it must keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Figure", "Trial", "at_least", "at_most", "exactly", "percentile"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, as it is printed, and whether its bound is kept."""

    what: str
    value: str
    bound: str
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A trial: *run* takes the settings, by name; *full* are those of the published figures."""

    run: Callable[..., Sequence[Figure]]
    full: Mapping[str, Any]
    short: Mapping[str, Any]


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def exactly(what: str, value: int, bound: int) -> Figure:
    """Return the figure of a count that must be *bound*."""
    return Figure(what, _text(value), _text(bound), value == bound)


def at_most(what: str, value: float, bound: float, unit: str = "") -> Figure:
    """Return the figure of a value that must not exceed *bound*."""
    return Figure(what, _text(value) + unit, f"at most {_text(bound)}{unit}", value <= bound)


def at_least(what: str, value: float, bound: float, unit: str = "") -> Figure:
    """Return the figure of a value that must not fall below *bound*."""
    return Figure(what, _text(value) + unit, f"at least {_text(bound)}{unit}", value >= bound)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of *values* that *share* of them, in (0, 1], do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
