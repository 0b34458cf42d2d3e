"""Hypothesis strategies for what a driver is given, aimed at what breaks stores."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hypothesis import strategies as st

from gaffer import machine
from gaffer.checks import INT32, NAME_LENGTH
from gaffer.conf import check_job
from gaffer.driver import Claim, Cutoffs
from gaffer.job import (
    JSON,
    Backoff,
    Cancel,
    Complete,
    Exponential,
    Fail,
    Job,
    JobState,
    Outcome,
    Schedule,
)
from gaffer.testing.values import NOW, new_job

__all__ = [
    "backoffs",
    "claims",
    "cutoffs",
    "instants",
    "jobs",
    "names",
    "options",
    "outcomes",
    "payloads",
    "refused_payloads",
    "settled_jobs",
    "texts",
]

NASTY_TEXTS = [
    "",
    " ",
    "\\u0000",
    "\\x00",
    '"',
    "'; DROP TABLE jobs; --",
    "%s %(name)s {} $1 ?",
    "a\nb\r\tc\x01\x1f\x7f",
    "\u2028\u2029\ufeff\ufffe\uffff",
    "e\u0301 \u00e9",
    "\U0001f4a5\U0010ffff",
    "\u202eright to left",
    "null",
    "NaN",
]
NASTY_NUMBERS = [
    0.0,
    -0.0,
    0.1,
    1e16,
    1e22,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1e300,
    float(2**53 + 1),
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**400,
]
NASTY_NAMES = [
    "a",
    "A",
    "'",
    '"',
    "\\",
    "%",
    "%s",
    "a'; DROP TABLE jobs; --",
    " leading and trailing ",
    "new\nline",
    "caf\u00e9",
    "cafe\u0301",
    "\U0001f4a5",
    "\uffff",
    "null",
    "*",
    "x" * NAME_LENGTH,
    "\U0001f4a5" * NAME_LENGTH,
]
LAST_MICROSECOND = datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
EDGES = [
    NOW,
    LAST_MICROSECOND,
    LAST_MICROSECOND + timedelta(microseconds=1),
    datetime.min.replace(tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
]


def texts() -> st.SearchStrategy[str]:
    """Text that payloads may contain: anything but NUL and lone surrogates."""
    return st.sampled_from(NASTY_TEXTS) | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
    )


def payloads() -> st.SearchStrategy[JSON]:
    """Give what `codec.encode` takes."""
    numbers = (
        st.sampled_from(NASTY_NUMBERS)
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
    )
    leaves = st.none() | st.booleans() | numbers | texts()
    trees = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=12,
    )
    return trees | st.builds(_nested, leaves, st.integers(1, 100))


def _nested(leaf: JSON, depth: int) -> JSON:
    value = leaf
    for level in range(depth):
        value = [value] if level % 2 else {"": value}
    return value


@st.composite
def refused_payloads(draw: st.DrawFn) -> tuple[Any, str]:
    """Give a value that `codec.encode` refuses, and the path that its error names."""
    value: Any = draw(
        st.sampled_from(
            [math.nan, math.inf, -math.inf, "\0", "a\0b", "\ud800", b"a", (1,), {1}, 1j, NOW]
        )
        | st.just(object())
        | st.sampled_from([{"k\0": 1}, {1: 1}, {None: 1}])
    )
    path = ""
    if isinstance(value, dict) and "k\0" in value:
        path = "['k\ufffd']".encode("ascii", "backslashreplace").decode()
    for step in draw(st.lists(st.sampled_from(["key", "two words", ""]) | st.integers(0, 2))):
        if isinstance(step, int):
            value, path = [*[None] * step, value], f"[{step}]{path}"
        else:
            part = f".{step}" if step.isidentifier() else f"[{step!r}]"
            value, path = {step: value}, part + path
    return value, f"payload{path}"


def names() -> st.SearchStrategy[str]:
    """Names of queues, kinds, chains and nodes: 1 to 200 characters."""
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.sampled_from(NASTY_NAMES) | st.text(alphabet, min_size=1, max_size=30)


def instants() -> st.SearchStrategy[datetime]:
    """Aware instants in UTC, the first and the last that there are among them."""
    return st.sampled_from(EDGES) | st.datetimes(timezones=st.just(UTC))


def backoffs() -> st.SearchStrategy[Backoff]:
    """Delays one by one, and exponential ones."""
    delays = st.sampled_from([0.0, 0.1, 1.0, 1e-9, 366 * 86_400.0]) | st.floats(0, 1e6)
    exponential = st.builds(
        Exponential,
        base=delays,
        factor=st.floats(1, 1e6),
        maximum=delays,
        jitter=st.floats(0, 1),
    )
    return st.lists(delays, min_size=1, max_size=5).map(tuple) | exponential


def options() -> st.SearchStrategy[dict[str, Any]]:
    """Checked options of a job."""
    seconds = st.sampled_from([0.001, 0.1, 1.0, 86_400.0]) | st.floats(0.001, 86_400)
    limits = st.sampled_from([1, 2, INT32])
    priorities = st.sampled_from([0, 1, -1, INT32, -INT32 - 1]) | st.integers(-INT32 - 1, INT32)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "kind": names(),
        "chain": names(),
        "priority": priorities,
        "max_attempts": limits,
        "timeout": seconds,
        "backoff": backoffs(),
        "shutdown_timeout": st.just(0.0) | seconds,
        "scheduled_at": instants(),
    }
    return st.fixed_dictionaries({}, optional=optional).map(check_job)


_Q = st.just("q")
_MADE = st.sampled_from([NOW, NOW, LAST_MICROSECOND])


@st.composite
def jobs(
    draw: st.DrawFn,
    queues: st.SearchStrategy[str] = _Q,
    now: st.SearchStrategy[datetime] = _MADE,
) -> Job:
    """Give a new job, at revision 0; many are made at the same instant."""
    return new_job(
        draw(queues),
        draw(payloads()),
        id=draw(st.uuids()),
        now=draw(now),
        hops=draw(st.sampled_from([0, 1, machine.MAX_HOPS])),
        **draw(options()),
    )


@st.composite
def settled_jobs(draw: st.DrawFn) -> list[Job]:
    """Give one job at each of its revisions: inserted, claimed, settled, and so on."""
    history = [draw(jobs(now=st.just(NOW)))]
    for outcome in draw(st.lists(outcomes(), min_size=1, max_size=12)):
        history.append(machine.claim(history[-1], now=draw(instants())))
        roll = draw(st.floats(0, 1, exclude_max=True))
        history.append(machine.settle(history[-1], outcome, now=LAST_MICROSECOND, roll=roll))
        if history[-1].state.terminal:
            break
    return history


def outcomes() -> st.SearchStrategy[Outcome]:
    """What a worker may answer."""
    return (
        st.builds(Complete, payloads())
        | st.builds(Fail, payloads())
        | st.builds(Cancel, payloads())
        | st.builds(Schedule, at=instants())
        | st.builds(Schedule, delay=st.floats(0, 1e6))
    )


def claims(
    queues: st.SearchStrategy[str], now: st.SearchStrategy[datetime]
) -> st.SearchStrategy[Claim]:
    """Claims of all kinds."""
    limits = st.none() | st.integers(0, 4)
    return st.builds(
        Claim,
        queue=queues,
        limit=limits,
        global_max_workers=st.none() | st.integers(1, 4),
        node=names(),
        now=now,
        even_paused=st.booleans(),
    )


def cutoffs(now: st.SearchStrategy[datetime]) -> st.SearchStrategy[Cutoffs]:
    """Cutoffs for some of the states, or none."""
    everything: st.SearchStrategy[Literal["all"]] = st.just("all")
    before: st.SearchStrategy[datetime | Literal["all"]] = st.one_of(everything, now)
    return st.dictionaries(st.sampled_from(JobState), before)
