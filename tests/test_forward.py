"""Forwarding: what a job that has ended leaves to another queue."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from gaffer import (
    Cancel,
    Fail,
    Gaffer,
    JobCancelled,
    JobFailed,
    JobInserted,
    JobState,
    Queue,
    RunnerFailed,
    UnknownQueue,
)
from gaffer.machine import MAX_HOPS
from tests.conftest import Gate, MakeGaffer, Recorder, fail, failing, quiet


def pair(gaffer_: Gaffer, worker: Any = fail, **options: Any) -> tuple[Queue, Queue]:
    """Declare "dlq", and "q" that forwards its failed jobs there."""
    target = gaffer_.ensure_queue("dlq", **quiet())
    given = {"forward": {"failed": "dlq"}, "max_attempts": 1, **options}
    return gaffer_.ensure_queue("q", worker=worker, **quiet(**given)), target


def test_a_job_that_fails_for_good_leaves_a_job_in_the_target(manual: Gaffer) -> None:
    """B122 [T]."""
    source, target = pair(manual)
    job = source.insert(1)

    source.poll()

    assert source.get(job.id).state is JobState.FAILED
    assert len(target.list()) == 1


def test_the_payload_carries_the_original(manual: Gaffer) -> None:
    """B123 [T]."""
    source, target = pair(manual, failing("first", "second"), max_attempts=2, backoff=0)
    job = source.insert({"a": 1}, kind="k")

    while source.poll():
        pass

    original, [forwarded] = source.get(job.id), target.list()
    carried = forwarded.payload
    assert set(carried) == {
        "id", "queue", "kind", "payload", "state", "attempt", "result", "errors", "at",
        "options",
    }  # fmt: skip
    assert (carried["id"], carried["queue"], carried["kind"]) == (str(job.id), "q", "k")
    assert (carried["payload"], carried["state"]) == ({"a": 1}, "failed")
    assert (carried["attempt"], carried["result"]) == (2, None)
    assert [(error["attempt"], error["error"]) for error in carried["errors"]] == [
        (2, "second"),
        (1, "first"),
    ]
    assert datetime.fromisoformat(carried["at"]) == original.failed_at


def test_the_forwarded_job_is_fresh(manual: Gaffer, recorder: Recorder) -> None:
    """B124 [T], B135."""
    source, target = pair(manual)
    target.update(hooks=[recorder])
    source.insert(1)

    source.poll()

    [job], [inserted] = target.list(), recorder.of(JobInserted)
    assert (job.state, job.attempt, job.errors) == (JobState.AVAILABLE, 0, ())
    assert (job.revision, job.attempted_at, job.scheduled_at) == (0, None, None)
    assert inserted.job == job


def test_the_forwarded_job_takes_the_defaults_of_its_target(manual: Gaffer) -> None:
    """B125 [T]."""
    source, target = pair(manual)
    target.update(max_attempts=10, priority=3, timeout=7, backoff=[4, 5], shutdown_timeout=2)
    source.insert(1, priority=9, timeout=1)

    source.poll()

    [job] = target.list()
    assert (job.max_attempts, job.priority, job.timeout) == (10, 3, 7.0)
    assert (job.backoff, job.shutdown_timeout) == ((4.0, 5.0), 2.0)


def test_a_failure_with_attempts_left_forwards_nothing(manual: Gaffer) -> None:
    """B126 [T]."""
    source, target = pair(manual, max_attempts=2)
    source.insert(1)

    source.poll()

    assert target.list() == []


def test_forwarding_nests(manual: Gaffer) -> None:
    """B127 [T]."""
    manual.create_queue("q3", **quiet())
    for name, target in [("q2", "q3"), ("q1", "q2")]:
        options = quiet(forward={"failed": target}, max_attempts=1)
        manual.create_queue(name, worker=fail, **options)
    manual.insert("q1", "innermost")
    manual.poll("q1")

    manual.poll("q2")

    [job] = manual.list("q3")
    outer, inner = job.payload, job.payload["payload"]
    assert (outer["queue"], inner["queue"], inner["payload"]) == ("q2", "q1", "innermost")
    assert [len(layer["errors"]) for layer in (outer, inner)] == [1, 1]
    assert [layer["attempt"] for layer in (outer, inner)] == [1, 1]


@pytest.mark.parametrize(
    ("answer", "state"),
    [("done", "completed"), (Cancel("off"), "cancelled"), (Fail("no"), "failed")],
)
def test_each_terminal_state_has_its_own_target(answer: Any, state: str, manual: Gaffer) -> None:
    """B128 [D]."""
    targets = {name: f"on_{name}" for name in ("completed", "cancelled", "failed")}
    for target in targets.values():
        manual.create_queue(target)
    options = quiet(forward=targets, max_attempts=1)
    manual.create_queue("q", worker=lambda job: answer, **options).insert(1)

    manual.poll("q")

    forwarded = [(job.queue, job.payload["state"]) for job in manual.list() if job.queue != "q"]
    assert forwarded == [(f"on_{state}", state)]


@pytest.mark.parametrize("answer", ["done", Cancel("off")])
def test_states_that_are_not_listed_forward_nothing(answer: Any, manual: Gaffer) -> None:
    """B128 [D]."""
    source, target = pair(manual, lambda job: answer)
    source.insert(1)

    source.poll()

    assert target.list() == []


@pytest.mark.parametrize(("answer", "result"), [({"a": 1}, {"a": 1}), (Cancel("off"), "off")])
def test_the_result_is_carried(answer: Any, result: Any, manual: Gaffer) -> None:
    """B123 [T], B128 [D]."""
    forward = {"completed": "dlq", "cancelled": "dlq"}
    source, target = pair(manual, lambda job: answer, forward=forward)
    source.insert(1)

    source.poll()

    assert target.list()[0].payload["result"] == result


def test_the_events_of_the_source_come_first_then_the_insert_on_the_target(manual: Gaffer) -> None:
    """B132 [T], B140 [D]."""
    told: list[tuple[str, Any]] = []
    source, target = pair(manual)
    source.update(hooks=[lambda event: told.append(("source", event))])
    target.update(hooks=[lambda event: told.append(("target", event))])
    source.insert(1)
    told.clear()

    source.poll()

    kinds = [(where, type(event), event.actor) for where, event in told]
    assert kinds[1:] == [("source", JobFailed, "worker"), ("target", JobInserted, "worker")]


def test_a_timeout_is_forwarded_too(manual: Gaffer, gate: Gate, recorder: Recorder) -> None:
    """B133."""
    source, target = pair(manual, gate, timeout=0.05)
    target.update(hooks=[recorder])
    source.insert(1)

    source.poll()

    [job], [inserted] = target.list(), recorder.of(JobInserted)
    assert job.payload["errors"][0]["error"]["type"] == "timeout"
    assert (inserted.actor, inserted.job) == ("runner", job)


def test_a_cancel_by_a_user_is_forwarded(manual: Gaffer, recorder: Recorder) -> None:
    """B134, B140 [D]."""
    source, target = pair(manual, forward={"cancelled": "dlq"}, hooks=[recorder])
    target.update(hooks=[recorder])
    job = source.insert(1)

    source.cancel(job.id)

    [forwarded] = target.list()
    assert (forwarded.payload["id"], forwarded.payload["state"]) == (str(job.id), "cancelled")
    assert [event.actor for event in recorder.of(JobCancelled)] == ["user"]
    assert [(e.actor, e.job.queue) for e in recorder.of(JobInserted)] == [
        ("user", "q"),
        ("user", "dlq"),
    ]


def test_a_cycle_of_queues_ends(manual: Gaffer) -> None:
    """B127 [T]."""
    manual.create_queue("a")
    manual.create_queue("b", worker=lambda job: None, **quiet(forward={"completed": "a"}))
    manual.ensure_queue("a", worker=lambda job: None, **quiet(forward={"completed": "b"}))
    manual.insert("a", "round")

    ran = 0
    while done := manual.poll("a") + manual.poll("b"):
        ran += done
        assert ran <= MAX_HOPS + 1, "round and round"

    jobs = manual.list()
    assert ran == MAX_HOPS + 1
    assert [job.state for job in jobs] == [JobState.COMPLETED] * ran
    assert [job.hops for job in jobs if job.errors] == [MAX_HOPS]
    assert "not forwarded" in next(job.errors[0].error for job in jobs if job.errors)


def test_a_job_whose_target_is_gone_keeps_its_outcome_until_the_target_is_back(
    make_gaffer: MakeGaffer, make_gate: Callable[..., Gate], recorder: Recorder
) -> None:
    """B30 [T], B130 [D]."""
    gate = make_gate(Fail("no"))
    gaffer_ = make_gaffer(hooks=[recorder])
    source, _ = pair(gaffer_, gate, poll_interval=0.01)
    job = source.insert(1)
    gate.wait_for(1)
    gaffer_.delete_queue("dlq")

    gate.let()
    [failed, *_] = recorder.wait_for(RunnerFailed)
    held = source.get(job.id)
    gaffer_.ensure_queue("dlq", **quiet())

    recorder.wait_for(JobFailed)
    [forwarded] = gaffer_.list("dlq")
    assert isinstance(failed.error, UnknownQueue)
    assert (failed.queue, failed.error.queue, held.state) == ("q", "dlq", JobState.EXECUTING)
    assert forwarded.payload["id"] == str(job.id)
    assert source.get(job.id).state is JobState.FAILED
    assert len(gate.entered) == 1


def test_a_cancel_whose_target_is_gone_is_refused_and_changes_nothing(manual: Gaffer) -> None:
    """B30 [T], B134."""
    source, _ = pair(manual, forward={"cancelled": "dlq"})
    job = source.insert(1)
    manual.delete_queue("dlq")

    with pytest.raises(UnknownQueue) as caught:
        source.cancel(job.id)

    assert caught.value.queue == "dlq"
    assert source.get(job.id) == job
