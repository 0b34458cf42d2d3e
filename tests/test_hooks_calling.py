"""How hooks are called: which, in what order, when, and what they cannot do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import current_thread
from types import SimpleNamespace
from typing import Any

import pytest

from gaffer import Event, Gaffer, Job, JobCompleted, JobInserted, JobState
from gaffer.driver import Driver
from tests.conftest import MakeGaffer, Recorder, quiet


def work(job: Job) -> None:
    """Do nothing."""


def naming(names: list[str], name: str) -> Callable[[Event], None]:
    """Return a hook that adds *name* for every event."""
    return lambda event: names.append(name)


def test_what_a_hook_returns_changes_nothing(manual: Gaffer) -> None:
    """B147 [D]."""
    queue = manual.create_queue("q", worker=work, **quiet(hooks=[lambda event: False]))
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).state is JobState.COMPLETED


def test_a_hook_cannot_change_what_is_stored(manual: Gaffer) -> None:
    """B147 [D]."""

    def meddle(event: Event) -> None:
        if isinstance(event, JobInserted):
            event.job.payload["n"] = 2

    queue = manual.create_queue("q", worker=lambda job: job.payload, **quiet(hooks=[meddle]))
    job = queue.insert({"n": 1})

    queue.poll()

    assert queue.get(job.id).result == {"n": 1}


@pytest.mark.parametrize("error", [RuntimeError("broken"), SystemExit(1), KeyboardInterrupt()])
def test_a_hook_that_raises_is_logged_and_the_others_go_on(
    error: BaseException, gaffer_: Gaffer, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    """B148 [T]."""

    def broken(event: Event) -> None:
        raise error

    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[broken, recorder]))

    with caplog.at_level(logging.WARNING, "gaffer"):
        first = queue.insert(1)
        cancelled = queue.cancel(first.id)
        second = queue.insert(2)
        queue.poll()

    assert cancelled.state is JobState.CANCELLED
    assert queue.get(second.id).state is JobState.COMPLETED
    assert "job.cancel" in recorder.paths()
    assert len(recorder.of(JobCompleted)) == 1
    levels = {record.levelname for record in caplog.records if "hook" in record.message}
    assert levels == {"WARNING"}


def test_global_hooks_come_first_each_list_in_order(make_gaffer: MakeGaffer) -> None:
    """B149 [T]."""
    names: list[str] = []
    gaffer_ = make_gaffer(work=False, hooks=[naming(names, "global 1"), naming(names, "global 2")])

    hooks = [naming(names, "queue 1"), naming(names, "queue 2")]
    queue = gaffer_.create_queue("q", hooks=hooks)
    queue.insert(1)

    assert names == ["global 1", "global 2", "queue 1", "queue 2"] * 2


def test_a_hook_is_a_callable_or_has_gaffer_hook(manual: Gaffer) -> None:
    """B150 [T]."""
    function, method = list[Event](), list[Event]()
    hooks: list[Any] = [function.append, SimpleNamespace(gaffer_hook=method.append)]

    manual.create_queue("q", hooks=hooks).insert(1)

    assert [event.path[1:] for event in function] == [("queue", "create"), ("job", "insert")]
    assert method == function


def test_a_change_of_the_global_hooks_holds_at_once_for_all_queues(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B151 [T]."""
    queue = manual.create_queue("q")

    manual.configure(hooks=[recorder])
    queue.insert(1)
    manual.configure(hooks=[])
    queue.insert(2)

    assert [event.job.payload for event in recorder.of(JobInserted)] == [1]


def test_events_come_after_the_write_in_the_thread_that_made_it(
    gaffer_: Gaffer, driver: Driver
) -> None:
    """B152."""
    told: list[tuple[str, bool, str]] = []

    def look(event: Event) -> None:
        if isinstance(event, JobInserted | JobCompleted):
            stored = driver.job_get(event.job.id) == event.job
            told.append((event.path[-1], stored, current_thread().name))

    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[look]))

    queue.insert(1)
    queue.poll()

    assert told == [
        ("insert", True, current_thread().name),
        ("complete", True, "gaffer:q:runner"),
    ]


def test_a_hook_may_call_gaffer(gaffer_: Gaffer, recorder: Recorder) -> None:
    """B152, B147 [D]."""

    def again(event: Event) -> None:
        if isinstance(event, JobCompleted) and event.job.payload == "first":
            gaffer_.insert("q", "second")
            gaffer_.update_queue("q", max_workers=2)
            gaffer_.info("q")

    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[again, recorder]))
    queue.insert("first")

    queue.poll()

    done = recorder.wait_for(JobCompleted, 2)
    assert [event.job.payload for event in done] == ["first", "second"]


def test_the_events_of_a_job_come_in_order(manual: Gaffer, recorder: Recorder) -> None:
    """B154 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet(hooks=[recorder]))
    queue.insert(1)

    queue.poll()

    assert recorder.paths() == ["queue.create", "job.insert", "job.claim", "job.complete"]
