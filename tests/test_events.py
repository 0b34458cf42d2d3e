"""Events and hooks: the seeds' paths, the order of calls, and hooks that misbehave."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, NoReturn, cast, get_args
from uuid import UUID

import pytest

from gaffer import events
from gaffer.conf import configured
from gaffer.driver import Driver
from gaffer.events import (
    Actor,
    Event,
    Hook,
    JobCancelled,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobInserted,
    JobLate,
    JobReplaced,
    JobRescued,
    JobScheduled,
    JobsClaimed,
    QueueCreated,
    QueueDeleted,
    QueuePaused,
    QueueResumed,
    QueueStuck,
    QueueUpdated,
    RunnerFailed,
    emit,
)
from gaffer.machine import create, template

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONF = configured("mail", None, cast(Driver, object()), {})
JOB = create(template(CONF), "null", id=UUID(int=1), now=NOON)
ERROR = RuntimeError("no")
PAUSED = QueuePaused(actor="user", queue="mail")

EVENTS: list[tuple[Event, tuple[str, str]]] = [
    (QueueCreated(actor="user", queue="mail", conf=CONF), ("queue", "create")),  # B136
    (
        QueueUpdated(actor="user", queue="mail", conf=CONF, updates={}, source="ensure"),
        ("queue", "update"),  # B137
    ),
    (PAUSED, ("queue", "pause")),  # B138
    (QueueResumed(actor="user", queue="mail"), ("queue", "resume")),
    (QueueDeleted(actor="user", queue="mail"), ("queue", "delete")),  # B139
    (JobInserted(actor="user", job=JOB), ("job", "insert")),  # B140
    (JobsClaimed(actor="runner", queue="mail", jobs=(JOB,)), ("job", "claim")),  # B141
    (JobCompleted(actor="worker", job=JOB), ("job", "complete")),  # B142
    (JobFailed(actor="worker", job=JOB), ("job", "fail")),  # B143
    (JobCancelled(actor="user", job=JOB), ("job", "cancel")),  # B144
    (JobScheduled(actor="worker", job=JOB), ("job", "schedule")),  # B145
    (JobDeleted(actor="pruner", queue="mail", job_id=JOB.id), ("job", "delete")),  # B146
    (JobReplaced(actor="user", job=JOB), ("job", "replace")),
    (JobRescued(actor="runner", job=JOB), ("job", "rescue")),
    (JobLate(actor="runner", job=JOB), ("job", "late")),
    (QueueStuck(actor="runner", queue="mail", abandoned=2), ("queue", "stuck")),
    (RunnerFailed(actor="runner", queue="mail", error=ERROR), ("runner", "fail")),
]


class Recorder:
    """A hook object that notes what it is called with."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def gaffer_hook(self, event: Event) -> str:
        self.seen.append(event)
        return "ignored"


class Unprintable:
    def __call__(self, event: Event) -> NoReturn:
        raise ValueError(event.path)

    def __repr__(self) -> NoReturn:
        raise SystemExit(3)


class NoHook:
    @property
    def gaffer_hook(self) -> NoReturn:
        raise SystemExit(3)


def raising(error: BaseException) -> Hook:
    def hook(event: Event) -> NoReturn:
        raise error

    return hook


def outcome(function: Callable[[], Any]) -> Any:
    """Return what *function* returns, or the name of what it raises."""
    try:
        return function()
    except BaseException as error:
        return f"raised {type(error).__name__}"


@pytest.mark.parametrize(("event", "path"), EVENTS, ids=[type(e).__name__ for e, _ in EVENTS])
def test_an_event_has_its_path_its_queue_and_its_actor(event: Any, path: tuple[str, str]) -> None:
    """B136 to B146."""
    assert event.path == ("gaffer", *path)
    assert event.queue == "mail"
    assert event.actor in get_args(Actor)


@pytest.mark.parametrize("event", [e for e, _ in EVENTS], ids=lambda e: type(e).__name__)
def test_an_event_cannot_be_changed(event: Any) -> None:
    """B147."""
    for field in dataclasses.fields(event):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, None)


def test_every_kind_of_event_is_listed_and_has_a_path_of_its_own() -> None:
    kinds = {
        name
        for name, value in vars(events).items()
        if isinstance(value, type) and issubclass(value, Event) and not name.startswith("_")
    }

    assert kinds <= set(events.__all__)
    assert kinds - {"Event"} == {type(event).__name__ for event, _ in EVENTS}
    assert len({event.path for event, _ in EVENTS}) == len(EVENTS)
    assert set(get_args(Actor)) == {"user", "worker", "runner", "pruner"}


def test_events_can_be_matched_by_class_and_by_attribute() -> None:
    def describe(event: Event) -> str:
        match event:
            case JobFailed(job=job, actor="worker"):
                return f"{job.queue} failed"
            case JobInserted() | JobCompleted():
                return "other job"
            case Event(path=("gaffer", "queue", verb)):
                return f"queue {verb}"
            case _:
                return "unknown"

    described = [describe(event) for event, _ in EVENTS]

    assert described.count("mail failed") == 1
    assert described.count("other job") == 2
    assert described[:3] == ["queue create", "queue update", "queue pause"]
    assert describe(JobFailed(actor="runner", job=JOB)) == "unknown"


def test_events_are_told_apart_by_their_values() -> None:
    assert QueuePaused(actor="user", queue="mail") == PAUSED
    assert len({QueueResumed(actor="user", queue="mail"), PAUSED}) == 2
    assert dataclasses.replace(PAUSED, queue="other") != PAUSED


def test_an_event_says_who_caused_it() -> None:
    with pytest.raises(TypeError, match="actor"):
        QueuePaused(queue="mail")  # type: ignore[call-arg]


def test_hooks_are_called_in_order_each_with_the_same_event() -> None:
    """B147, B149, B150."""
    seen: list[tuple[str, Event]] = []
    recorder = Recorder()
    module = ModuleType("watching")
    vars(module)["gaffer_hook"] = lambda event: seen.append(("module", event))

    emit([lambda event: seen.append(("first", event)), recorder, cast(Hook, module)], PAUSED)
    emit([], PAUSED)

    assert seen == [("first", PAUSED), ("module", PAUSED)]
    assert [event is PAUSED for event in recorder.seen] == [True]


def test_an_object_that_is_callable_and_has_gaffer_hook_is_called_once_by_the_method() -> None:
    """B150."""

    class Both(Recorder):
        def __call__(self, event: Event) -> NoReturn:
            raise AssertionError(event)

    both = Both()

    emit([both], PAUSED)

    assert both.seen == [PAUSED]


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()],
    ids=lambda error: type(error).__name__,
)
def test_a_raising_hook_is_logged_and_the_rest_are_called(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """B148, F35."""
    after = Recorder()

    result = outcome(lambda: emit([raising(error), after], PAUSED))

    assert result is None
    assert after.seen == [PAUSED]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("gaffer.events", logging.WARNING)
    assert "('gaffer', 'queue', 'pause')" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def nested_group() -> Exception:
    group: Exception = ValueError("core")
    for _ in range(5000):
        group = ExceptionGroup("group", [group])
    return group


@pytest.mark.parametrize(
    "make",
    [Unprintable, NoHook, lambda: raising(nested_group()), lambda: cast(Hook, 7)],
    ids=["unprintable", "method that raises", "nested group", "not callable"],
)
def test_no_hook_can_break_the_calling_of_hooks_or_its_log(
    make: Callable[[], Hook], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B148."""
    log = logging.getLogger("gaffer.events")
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(_Sink())])
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    after = Recorder()

    result = outcome(lambda: emit([make(), after], PAUSED))

    assert (result, after.seen) == (None, [PAUSED])


class _Sink:
    """A stream that drops what is written."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""
