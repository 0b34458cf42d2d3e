"""Whatever a job raises or returns: the job ends, it can be read back, and the queue goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gaffer
from tests.rig.waiting import KEEP, Recorder, until


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit("not even this")

    def __repr__(self) -> str:
        raise RuntimeError


class Masked(Exception):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ValueError("no class for you")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise ValueError("no traceback either")


class Selfish(Exception):
    def __init__(self) -> None:
        self.__cause__ = self
        self.__context__ = self
        self.__notes__ = ["\0", "\ud800"]


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        raise RuntimeError(name)


class Nameless(Exception, metaclass=Meta):
    pass


def nested(depth: int) -> BaseException:
    error: Exception = ValueError("deep")
    for _ in range(depth):
        error = ExceptionGroup("group", [error])
    return error


def chained(length: int) -> BaseException:
    error = ValueError(0)
    for number in range(length):
        outer = ValueError(number)
        outer.__cause__ = error
        error = outer
    return error


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "JobTimeout": gaffer.JobTimeout,
    "Stopped": lambda: gaffer.Stopped("mine"),
    "DriverUnavailable": lambda: gaffer.DriverUnavailable("mine"),
    "Conflict": lambda: gaffer.Conflict([]),
    "BaseException": BaseException,
    "no text": Unspeakable,
    "masked": Masked,
    "selfish": Selfish,
    "nameless": Nameless,
    "50 MB": lambda: ValueError("x" * 50_000_000),
    "NUL": lambda: ValueError("a\0b\ud800c"),
    "deep": lambda: nested(1000),
    "long": lambda: chained(3000),
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff" * 10, 0, 1, "bad\udcff"),
}


@pytest.mark.parametrize("interrupt", [False, True])
@pytest.mark.parametrize("name", list(HOSTILE))
def test_whatever_a_job_raises_is_its_failure_and_nothing_else(
    g: gaffer.Gaffer, seen: Recorder, name: str, *, interrupt: bool
) -> None:
    """F35."""

    def work(job: gaffer.Job) -> None:
        if job.payload:
            raise HOSTILE[name]()

    queue = g.ensure_queue(
        "q", worker=work, interrupt=interrupt, max_attempts=1, max_workers=1, prune=KEEP
    )

    bad = queue.insert(True)
    good = queue.insert(False)

    seen.wait(gaffer.JobCompleted, timeout=5)
    stored = queue.get(bad.id)
    assert stored.state is gaffer.JobState.FAILED
    [error] = stored.errors
    assert set(error.error) == {"type", "message", "traceback"}
    assert isinstance(error.error["type"], str)
    assert len(json.dumps(error.error)) < 60_000
    assert queue.get(good.id).state is gaffer.JobState.COMPLETED
    assert queue.info().workers.abandoned == 0


def test_the_name_of_an_exit_is_kept(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F35."""

    def work(job: gaffer.Job) -> None:
        raise SystemExit(3)

    queue = g.ensure_queue("q", worker=work, max_attempts=1, prune=KEEP)
    job = queue.insert(1)
    seen.wait(gaffer.JobFailed)

    [error] = queue.get(job.id).errors

    assert (error.error["type"], error.error["message"]) == ("SystemExit", "3")
    assert "raise SystemExit(3)" in error.error["traceback"]


class Hostile:
    def __repr__(self) -> str:
        raise SystemExit

    def __eq__(self, other: object) -> bool:
        raise KeyboardInterrupt

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise MemoryError

    def __len__(self) -> int:
        raise RuntimeError

    def __iter__(self) -> Any:
        raise GeneratorExit


class Liar:
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise SystemExit


def cycle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


class Text(str):
    __slots__ = ()

    def encode(self, *args: Any, **kwargs: Any) -> Any:
        raise SystemExit

    def __str__(self) -> Any:
        return 3


ODD: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"bytes",
    "set": lambda: {1, 2},
    "tuple": lambda: (1, 2),
    "nan": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "NUL": lambda: "nul \0",
    "surrogate": lambda: "surrogate \ud800",
    "digits": lambda: 10**5000,
    "object": object,
    "hostile": Hostile,
    "liar": Liar,
    "class": lambda: Hostile,
    "text": lambda: Text("x"),
    "cycle": cycle,
    "keys": lambda: {1: 2},
    "bad key": lambda: {"a\0": 1},
    "error": lambda: ValueError("x"),
    "complete": lambda: gaffer.Complete(Hostile()),
    "fail": lambda: gaffer.Fail(Hostile()),
    "cancel": lambda: gaffer.Cancel(Hostile()),
    "schedule nan": lambda: gaffer.Schedule(delay=float("nan")),
    "schedule back": lambda: gaffer.Schedule(delay=-1),
    "schedule never": gaffer.Schedule,
    "schedule odd": lambda: gaffer.Schedule(at=3),  # type: ignore[arg-type]
    "function": lambda: cycle,
    "range": lambda: range(10**9),
    "large": lambda: "x" * 2_000_000,
}


@dataclass(frozen=True)
class Odd:
    """Stands for something odd, which is made in the job only: Hypothesis would trip over it."""

    name: str


def made(value: Any) -> Any:
    """Return *value* with the odd things in their places."""
    match value:
        case Odd(name):
            return ODD[name]()
        case list():
            return [made(item) for item in value]
        case dict():
            return {key: made(item) for key, item in value.items()}
        case tuple():
            return tuple(made(item) for item in value)
        case gaffer.Complete(result):
            return gaffer.Complete(made(result))
        case gaffer.Fail(reason):
            return gaffer.Fail(made(reason))
    return value


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
RETURNED = st.recursive(
    PLAIN | st.sampled_from(list(ODD)).map(Odd),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.tuples(inner)
        | st.builds(gaffer.Complete, inner)
        | st.builds(gaffer.Fail, inner)
    ),
    max_leaves=8,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=RETURNED)
def test_a_job_ends_whatever_it_returns(g: gaffer.Gaffer, value: Any) -> None:
    """F36."""
    queue = g.ensure_queue("q", worker=lambda job: made(value), max_attempts=1, prune=KEEP)

    job = queue.insert(None)
    assert queue.poll() <= 1
    until(lambda: queue.get(job.id).state.terminal, 5)

    stored = queue.get(job.id)
    if type(made(value)) not in (gaffer.Fail, gaffer.Cancel, gaffer.Schedule):
        assert stored.state is gaffer.JobState.COMPLETED
    json.dumps(stored.result)
    assert len(stored.errors) == (stored.state is gaffer.JobState.FAILED)
    g.delete("q", job.id)


def test_what_cannot_be_kept_completes_with_a_note_and_is_not_retried(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    """F36."""
    runs = threading.Semaphore(0)

    def work(job: gaffer.Job) -> object:
        runs.release()
        return {"thing": object()}

    queue = g.ensure_queue("q", worker=work, prune=KEEP)

    job = queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    result = queue.get(job.id).result
    assert result["gaffer:error"] == "unserialisable"
    assert "object object" in result["repr"]
    assert len(result["repr"]) <= 1100
    assert runs.acquire(timeout=1)
    assert not runs.acquire(blocking=False)
