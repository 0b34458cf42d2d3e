"""The events: what each tells, who caused it, and when there is none."""

from __future__ import annotations

from typing import Any

import pytest

from gaffer import (
    AlreadyActive,
    AlreadyPaused,
    Cancel,
    Fail,
    Gaffer,
    InvalidTransition,
    JobCancelled,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobInserted,
    JobScheduled,
    JobsClaimed,
    Queue,
    QueueCreated,
    QueueDeleted,
    QueueHasJobs,
    QueuePaused,
    QueueResumed,
    QueueUpdated,
    Schedule,
)
from gaffer.driver import Driver
from tests.conftest import Gate, Recorder, quiet


def heard(gaffer_: Gaffer, recorder: Recorder, worker: Any = None, **options: Any) -> Queue:
    """Declare a queue whose events are recorded from here on."""
    options = {"max_attempts": 1, "hooks": [recorder], **options}
    queue = gaffer_.ensure_queue("q", worker=worker, **quiet(**options))
    recorder.events.clear()
    return queue


@pytest.mark.parametrize("declare", ["create_queue", "ensure_queue"])
def test_a_new_queue_is_told_with_its_configuration(
    declare: str, manual: Gaffer, recorder: Recorder
) -> None:
    """B136 [D], B156."""
    getattr(manual, declare)("q", max_workers=3, hooks=[recorder])

    [event] = recorder.events
    assert isinstance(event, QueueCreated)
    assert (event.path, event.actor) == (("gaffer", "queue", "create"), "user")
    assert (event.queue, event.conf) == ("q", manual.get_queue("q"))


def test_an_update_is_told_with_what_was_given(manual: Gaffer, recorder: Recorder) -> None:
    """B137 [D]."""
    queue = heard(manual, recorder)

    queue.update(max_workers=3)

    [event] = recorder.events
    assert isinstance(event, QueueUpdated)
    assert (event.path, event.actor) == (("gaffer", "queue", "update"), "user")
    assert (event.queue, event.source, event.updates) == ("q", "update", {"max_workers": 3})
    assert event.conf == queue.conf


def test_a_hook_that_an_update_removes_hears_of_it(manual: Gaffer, recorder: Recorder) -> None:
    """B155, B18 [D]."""
    manual.create_queue("q", hooks=[recorder])

    manual.update_queue("q", hooks=[])
    manual.update_queue("q", priority=1)

    [event] = recorder.of(QueueUpdated)
    assert event.updates == {"hooks": []}


def test_every_ensure_of_a_queue_that_exists_is_told_as_an_update(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B137 [D]."""
    queue = heard(manual, recorder)

    manual.ensure_queue("q", **quiet(max_attempts=1, hooks=[recorder]))

    [event] = recorder.of(QueueUpdated)
    assert (event.source, event.updates, event.conf) == ("ensure", {}, queue.conf)
    assert len(recorder.events) == 1


def test_pause_and_resume_are_told(manual: Gaffer, recorder: Recorder) -> None:
    """B138 [T], [D]."""
    queue = heard(manual, recorder)

    queue.pause()
    queue.resume()

    paused, resumed = recorder.events
    assert isinstance(paused, QueuePaused)
    assert isinstance(resumed, QueueResumed)
    assert (paused.path, paused.actor, paused.queue) == (("gaffer", "queue", "pause"), "user", "q")
    assert (resumed.path, resumed.actor) == (("gaffer", "queue", "resume"), "user")
    assert resumed.queue == "q"


def test_a_pause_or_resume_that_changes_nothing_is_not_told(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B138 [T], B161 [T]."""
    queue = heard(manual, recorder)

    with pytest.raises(AlreadyActive):
        queue.resume()
    queue.pause()
    with pytest.raises(AlreadyPaused):
        queue.pause()

    assert recorder.paths() == ["queue.pause"]


def test_a_deleted_queue_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B139 [D]."""
    heard(manual, recorder)

    manual.delete_queue("q")

    [event] = recorder.events
    assert isinstance(event, QueueDeleted)
    assert (event.path, event.actor) == (("gaffer", "queue", "delete"), "user")
    assert event.queue == "q"


def test_a_queue_deleted_with_its_jobs_is_told_after_each_job(
    manual: Gaffer, driver: Driver, recorder: Recorder
) -> None:
    """B139 [D]."""
    queue = heard(manual, recorder)
    jobs = queue.insert_many([1, 2])
    recorder.events.clear()

    manual.delete_queue("q", driver)

    assert [event.job_id for event in recorder.of(JobDeleted)] == [job.id for job in jobs]
    assert recorder.paths() == ["job.delete", "job.delete", "queue.delete"]


def test_a_queue_that_is_not_deleted_is_not_told(manual: Gaffer, recorder: Recorder) -> None:
    """B139 [D]."""
    queue = heard(manual, recorder)
    queue.insert(1)

    with pytest.raises(QueueHasJobs):
        manual.delete_queue("q")

    assert recorder.of(QueueDeleted) == []


def test_each_inserted_job_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B140 [D], B153 [T]."""
    queue = heard(manual, recorder)

    jobs = [queue.insert(1), *queue.insert_many([2, 3])]

    assert [event.job for event in recorder.of(JobInserted)] == jobs
    assert {(event.path, event.actor) for event in recorder.events} == {
        (("gaffer", "job", "insert"), "user")
    }


def test_one_claim_of_many_is_told_once(manual: Gaffer, recorder: Recorder) -> None:
    """B141 [D]."""
    queue = heard(manual, recorder, lambda job: None, max_workers=None)
    jobs = queue.insert_many([1, 2])

    queue.poll()

    [event] = recorder.of(JobsClaimed)
    assert (event.path, event.actor, event.queue) == (("gaffer", "job", "claim"), "runner", "q")
    assert [job.id for job in event.jobs] == [job.id for job in jobs]
    assert {job.state for job in event.jobs} == {"executing"}


def test_a_claim_that_finds_nothing_is_not_told(manual: Gaffer, recorder: Recorder) -> None:
    """B154 [T]."""
    queue = heard(manual, recorder, lambda job: None)

    queue.poll()

    assert recorder.events == []


@pytest.mark.parametrize(
    ("answer", "kind", "path"),
    [
        ("done", JobCompleted, "complete"),
        (Fail("no"), JobFailed, "fail"),
        (Cancel("off"), JobCancelled, "cancel"),
        (Schedule(delay=60), JobScheduled, "schedule"),
    ],
)
def test_what_a_worker_does_with_its_job_is_told(
    answer: Any, kind: Any, path: str, manual: Gaffer, recorder: Recorder
) -> None:
    """B142 [D], B143 [D], B144 [D], B145 [D], B153 [T], B154 [T]."""
    queue = heard(manual, recorder, lambda job: answer)
    job = queue.insert(1)

    queue.poll()

    [event] = recorder.of(kind)
    assert (event.path, event.actor) == (("gaffer", "job", path), "worker")
    assert (event.job, event.queue) == (queue.get(job.id), "q")
    assert recorder.paths() == ["job.insert", "job.claim", f"job.{path}"]


def test_a_timeout_is_told_as_a_failure_by_the_runner(
    manual: Gaffer, recorder: Recorder, gate: Gate
) -> None:
    """B143 [D], B112 [D]."""
    queue = heard(manual, recorder, gate, timeout=0.05)
    job = queue.insert(1, max_attempts=2)

    queue.poll()

    [event] = recorder.of(JobFailed)
    assert (event.actor, event.job, event.job.state) == ("runner", queue.get(job.id), "available")


def test_a_cancel_by_a_user_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B144 [D]."""
    queue = heard(manual, recorder)
    job = queue.insert(1)

    cancelled = queue.cancel(job.id)
    with pytest.raises(InvalidTransition):
        queue.cancel(job.id)

    [event] = recorder.of(JobCancelled)
    assert (event.actor, event.job) == ("user", cancelled)


def test_a_job_that_is_deleted_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B146 [D]."""
    queue = heard(manual, recorder)
    job = queue.insert(1)

    queue.delete(job.id)

    [event] = recorder.of(JobDeleted)
    assert (event.path, event.actor) == (("gaffer", "job", "delete"), "user")
    assert (event.queue, event.job_id) == ("q", job.id)


def test_each_job_that_a_user_prunes_is_told(manual: Gaffer, recorder: Recorder) -> None:
    """B146 [D]."""
    queue = heard(manual, recorder, lambda job: None, max_workers=None)
    queue.insert_many([1, 2])
    queue.poll()

    ids = queue.prune()

    events = recorder.of(JobDeleted)
    assert [(event.actor, event.job_id) for event in events] == [("user", id) for id in ids]
    assert len(ids) == 2


def test_each_job_that_the_pruner_deletes_is_told(gaffer_: Gaffer, recorder: Recorder) -> None:
    """B146 [D], B175 [T]."""
    queue = heard(gaffer_, recorder, lambda job: None, prune={"interval": 0.02})
    job = queue.insert(1)

    queue.poll()

    [event] = recorder.wait_for(JobDeleted)
    assert (event.actor, event.queue, event.job_id) == ("pruner", "q", job.id)
