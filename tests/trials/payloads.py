"""Values of all kinds, as payloads and as results: every driver says the same, and keeps the same.

What one driver takes the other takes, and what one refuses the other refuses at the same place.
What is taken reads back as it was, in type too. A job that returns or fails with such a value
ends, whatever the value is (F36, F46).
"""

from __future__ import annotations

import math
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gaffer import Fail, Gaffer, InvalidPayload, Job, JobState, Queue
from gaffer.codec import MAX_BYTES, MAX_DEPTH
from gaffer.driver import Driver
from gaffer.testing.strategies import NASTY_TEXTS, payloads, refused_payloads
from gaffer.testing.values import typed
from gaffer_driver_memory import MemoryDriver
from gaffer_driver_postgres import PostgresDriver
from tests.rig.server import own_server
from tests.rig.waiting import KEEP
from tests.trials.figures import Figure, Trial, at_least, exactly

ROOM = 10_000
"""How many values are drawn, and then kept, at a time."""
AT_ONCE = 500


# -- values ----------------------------------------------------------------------------------------


class Level(IntEnum):
    HIGH = 7


class Colour(StrEnum):
    RED = "red"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Number(int):
    def __repr__(self) -> str:
        return "[]"


class Items(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(("other", "items"))


class Table(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items")


class Hostile:
    """Raises whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)

    def __repr__(self) -> str:
        raise SystemExit("no repr")

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise MemoryError

    def __hash__(self) -> int:
        raise RecursionError

    def __bool__(self) -> bool:
        raise ZeroDivisionError


def knot() -> Any:
    """Return a list that holds itself."""
    made: list[Any] = []
    made.append({"again": made})
    return made


def bomb() -> Any:
    """Return a value that is small in memory, and without end as text."""
    value: Any = ["x" * 100]
    for _ in range(60):
        value = [value, value]
    return value


@dataclass(frozen=True, slots=True)
class Later:
    """Stands for a value while it is drawn: what draws may not look at it."""

    make: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Deep:
    """Stands for *leaf* below so many lists or dicts."""

    leaf: Any
    depth: int
    by_key: bool


def made(value: Any) -> Any:
    """Return what was drawn, with what its parts stand for."""
    if type(value) is Later:
        return value.make()
    if type(value) is Deep:
        inner = made(value.leaf)
        for _ in range(value.depth):
            inner = {"deep": inner} if value.by_key else [inner]
        return inner
    if type(value) is list:
        return [made(item) for item in value]
    if type(value) is dict:
        return {key: made(item) for key, item in value.items()}
    return value


LONE: Sequence[str] = ["\ud800", "a\udfff", "\udc00\ud800", "\ud83d", "\0", "a\0b", "\\u0000\0"]
LITERAL: Sequence[str] = [
    "\\u0000",
    "\\\\u0000",
    '"\\u0000"',
    "\\ud800",
    "\\x00",
    "\\",
    '\\"',
    "\x7f",
]
NUMBERS: Sequence[Any] = [
    math.nan, -math.nan, math.inf, -math.inf, -0.0, 0.0, 5e-324, 1.7976931348623157e308, 1e16, 1e22,
    2**63, -(2**63), 2**64, 10**400, 10**4299, True, False,
    1j, Decimal("0.1"), Decimal("NaN"), Fraction(1, 3), Number(3), Level.HIGH,
]  # fmt: skip
OTHERS: Sequence[Callable[[], Any]] = [
    lambda: 10**4300, lambda: 10**5000, lambda: -(10**5000), lambda: [1 << 20_000],
    lambda: b"bytes", lambda: bytearray(b"x"), lambda: memoryview(b"x"), lambda: {1, 2}, set,
    lambda: frozenset({"a"}), lambda: (1, "a"), tuple, lambda: range(3), lambda: deque([1]),
    lambda: Text("text"), lambda: Colour.RED, lambda: Items([1]), lambda: Table(a=1),
    lambda: OrderedDict(b=1, a=2), lambda: defaultdict(list, a=[1]), lambda: Counter("aab"),
    lambda: UserDict(a=1), lambda: SimpleNamespace(a=1), lambda: {1: "int", "1": "str"},
    lambda: {None: 1}, lambda: {True: 1}, lambda: {1.5: 1}, lambda: {(1, 2): 3}, lambda: {b"k": 1},
    lambda: {Text("k"): 1}, lambda: {"k\0": 1}, lambda: {"\ud800": 1}, lambda: {"": {"": {"": 0}}},
    lambda: datetime(2026, 1, 2, tzinfo=UTC), lambda: date(2026, 1, 2), lambda: timedelta(1),
    lambda: UUID(int=1), lambda: Ellipsis, lambda: NotImplemented, lambda: object(), Hostile,
    lambda: Hostile, lambda: print, lambda: (n for n in (1, 2)), lambda: iter([]), lambda: math,
    lambda: ValueError("x"), lambda: [Hostile()], lambda: {"a": Hostile()}, knot, bomb,
]  # fmt: skip


def leaves() -> st.SearchStrategy[Any]:
    """Give values of every kind, most of which no store keeps."""
    return (
        st.sampled_from([*LONE, *LITERAL, *NASTY_TEXTS])
        | st.text(st.characters(), max_size=8)
        | st.sampled_from(NUMBERS)
        | st.sampled_from(OTHERS).map(Later)
        | st.binary(max_size=4)
    )


def large() -> st.SearchStrategy[Any]:
    """Give values about as large as what is kept."""
    sizes = st.integers(-3, 3).map(lambda beside: MAX_BYTES + beside)
    return (
        sizes.map(lambda size: "x" * (size - 2))
        | sizes.map(lambda size: "é" * ((size - 2) // 2))
        | sizes.map(lambda size: "\\" * ((size - 2) // 2))
        | sizes.map(lambda size: [0] * 1000 + ["x" * (size - 2004)])
        | sizes.map(lambda size: {"k" * (size - 6): 1})
    )


def hostile() -> st.SearchStrategy[Any]:
    """Give one hostile value somewhere in a larger one."""
    keys = st.text(max_size=3) | st.sampled_from([*LONE, *LITERAL])
    trees = st.recursive(
        leaves(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )
    edges = st.sampled_from([MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 990, 5000])
    return trees | st.builds(Deep, leaves(), edges | st.integers(1, MAX_DEPTH), st.booleans())


def values() -> st.SearchStrategy[Any]:
    """Give values: about half of them can be kept, and a few are very large."""
    kinds = [payloads()] * 8 + [hostile()] * 6 + [refused_payloads().map(lambda pair: pair[0])] * 2
    common = st.one_of(kinds)
    return st.integers(0, 999).flatmap(lambda die: large() if die == 7 else common)


def drawn(number: int, where: int) -> list[Any]:
    """Return so many values, the same for the same *where*."""
    found: list[Any] = []

    @seed(where)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(values())
    def draw(value: Any) -> None:
        found.append(value)

    with warnings.catch_warnings():
        # The threads of the drivers use it while values are drawn.
        warnings.filterwarnings("ignore", "Do not use the .random. module")
        draw()
    return [made(value) for value in found[:number]]


# -- drivers ---------------------------------------------------------------------------------------

Verdict = tuple[Any, ...]


def verdict(insert: Callable[[Any], Job], value: Any) -> Verdict:
    """Return what came of inserting *value*: what is kept, or what was wrong, and where."""
    try:
        job = insert(value)
    except InvalidPayload as error:
        return (InvalidPayload, error.path, error.reason)
    except BaseException as error:
        return (type(error), str(error))
    return ("kept", job.payload_json)


class Side:
    """One driver, with a queue that keeps and one that works."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.values: Sequence[Any] = []
        self.g = Gaffer(driver)
        self.kept: Queue = self.g.ensure_queue("kept", prune=KEEP)
        self.many: Queue = self.g.ensure_queue("many", prune=KEEP)
        self.done: Queue = self.g.ensure_queue(
            "done", worker=self._work, max_workers=4, max_attempts=1, prune=KEEP
        )

    def _work(self, job: Job) -> Any:
        place: int = job.payload
        value = self.values[place // 2]
        return value if place % 2 else Fail(value)

    def read(self) -> list[Any]:
        """Return the payloads that are kept, and what stands behind each when inserted at once."""
        one = [job.payload for job in self.kept.list()]
        self.many.insert_many(one)
        return [one, [job.payload for job in self.many.list()]]

    def ends(self, values: Sequence[Any]) -> list[Any]:
        """Have jobs return *values*, and fail with them; return how these ended, in order."""
        self.values = values
        jobs = self.done.insert_many(range(2 * len(values)))
        self.done.flush(timeout=60.0)
        stored = {job.id: job for job in self.done.list()}
        return [_end(stored[job.id]) for job in jobs]

    def forget(self) -> None:
        """Delete all jobs."""
        for queue in (self.kept, self.many, self.done):
            while self.driver.job_prune(queue.name, dict.fromkeys(JobState, "all"), 10_000):
                pass


def _end(job: Job) -> Verdict:
    errors = [(error.attempt, error.error) for error in job.errors]
    return (job.state, job.result_json, errors)


@contextmanager
def sides(conninfo: str) -> Iterator[list[Side]]:
    """Give the memory driver's side and PostgreSQL's."""
    drivers = [MemoryDriver(), PostgresDriver(conninfo)]
    made = [Side(driver) for driver in drivers]
    try:
        yield made
    finally:
        for side in made:
            side.g.stop(0)
            side.driver.stop()


# -- the trial -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Count:
    """What was seen so far."""

    taken: int = 0
    refused: int = 0
    verdicts: int = 0
    changed: int = 0
    ends: int = 0
    stuck: int = 0
    strange: Counter[str] = field(default_factory=Counter)

    def batch(self, both: Sequence[Side], some: Sequence[Any]) -> None:
        """Give *some* values to both sides, and compare."""
        here, there = ([verdict(side.kept.insert, value) for value in some] for side in both)
        self.verdicts += sum(one != other for one, other in zip(here, there, strict=True))
        kept = [v for v, said in zip(some, here, strict=True) if said[0] == "kept"]
        self.taken += len(kept)
        self.refused += sum(said[0] is InvalidPayload for said in here)
        self.strange.update(
            said[0].__name__ for said in here if said[0] not in ("kept", InvalidPayload)
        )
        wanted = [typed(value) for value in kept]
        for side in both:
            for read in side.read():
                self.changed += abs(len(read) - len(kept))
                pairs = zip(wanted, read, strict=False)
                self.changed += sum(one != typed(other) for one, other in pairs)
        ended, others = (side.ends(some) for side in both)
        self.ends += sum(one != other for one, other in zip(ended, others, strict=True))
        self.stuck += sum(not state.terminal for state, *_ in [*ended, *others])
        for side in both:
            side.forget()


def run(*, examples: int, start: int) -> list[Figure]:
    """Draw *examples* values from the seed *start* on; give each to both drivers."""
    count = Count()
    with own_server({"fsync": "off"}) as server, sides(server.conninfo) as both:
        for first in range(0, examples, ROOM):
            found = drawn(min(ROOM, examples - first), start + first)
            for place in range(0, len(found), AT_ONCE):
                count.batch(both, found[place : place + AT_ONCE])
    return [
        at_least("values that were taken", count.taken, examples // 4),
        at_least("values that were refused", count.refused, examples // 10),
        exactly("values refused with another error than InvalidPayload", count.strange.total(), 0),
        exactly("values on which the drivers disagree", count.verdicts, 0),
        exactly("payloads that read back otherwise", count.changed, 0),
        exactly("ends of jobs on which the drivers disagree", count.ends, 0),
        exactly("jobs that did not end", count.stuck, 0),
    ]


TRIAL = Trial(
    run=run,
    full={"examples": 50_000, "start": 46},
    short={"examples": 400, "start": 46},
)
