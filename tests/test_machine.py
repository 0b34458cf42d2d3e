"""The state machine: every transition, and what it does to a job."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest

from gaffer import machine
from gaffer.conf import configured
from gaffer.driver import Driver
from gaffer.errors import InvalidTransition
from gaffer.job import (
    Cancel,
    Complete,
    Fail,
    Job,
    JobError,
    JobState,
    Schedule,
    evolve,
)

DRIVER = cast(Driver, object())
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)
ID = UUID("01890000-0000-7000-8000-000000000001")
AVAILABLE, EXECUTING = JobState.AVAILABLE, JobState.EXECUTING
COMPLETED, FAILED, CANCELLED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED


def new(queue_options: dict[str, Any] | None = None, **options: Any) -> Job:
    conf = configured("mail", None, DRIVER, queue_options or {})
    return machine.create(machine.template(conf), '{"to":"a"}', id=ID, now=NOON, **options)


def running(**changes: Any) -> Job:
    return evolve(machine.claim(new(), now=NOON), **changes)


def fail(job: Job, *, now: datetime = LATER, roll: float = 0.5) -> Job:
    return machine.settle(job, Fail("no"), now=now, roll=roll)


def delay(job: Job) -> float:
    """Return the seconds that *job* waits after a failure at LATER."""
    assert job.scheduled_at is not None
    return (job.scheduled_at - LATER).total_seconds()


STEPS: dict[str, tuple[Callable[[Job], Job], JobState, JobState]] = {
    "claim": (lambda job: machine.claim(job, now=LATER), AVAILABLE, EXECUTING),
    "cancel by a user": (lambda job: machine.cancel(job, now=LATER), AVAILABLE, CANCELLED),
    "release": (machine.release, EXECUTING, AVAILABLE),
    "complete": (lambda job: machine.settle(job, Complete(1), now=LATER), EXECUTING, COMPLETED),
    "fail and retry": (fail, EXECUTING, AVAILABLE),
    "fail for good": (lambda job: fail(evolve(job, max_attempts=1)), EXECUTING, FAILED),
    "cancel by the worker": (
        lambda job: machine.settle(job, Cancel("no"), now=LATER),
        EXECUTING,
        CANCELLED,
    ),
    "schedule": (
        lambda job: machine.settle(job, Schedule(delay=9), now=LATER),
        EXECUTING,
        AVAILABLE,
    ),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", JobState)
def test_a_step_is_taken_from_its_own_state_and_refused_from_every_other(
    step: str, state: JobState
) -> None:
    """B77, B98, B99, B100."""
    function, before, after = STEPS[step]
    job = running(state=state)
    untouched = copy.copy(job)

    if state is before:
        taken = function(job)

        assert taken.state is after
        assert taken.revision == job.revision + 1
    else:
        with pytest.raises(InvalidTransition) as refused:
            function(job)

        assert (refused.value.id, refused.value.from_) == (ID, state)
        assert refused.value.to == after
    assert job == untouched


def test_the_allowed_transitions_are_exactly_the_documented_ones() -> None:
    """B77."""
    pairs = {(before, after) for before in JobState for after in machine.ALLOWED[before]}

    assert pairs == {(before, after) for _, before, after in STEPS.values()}
    assert all(state.terminal == (not machine.ALLOWED[state]) for state in JobState)


@pytest.mark.parametrize("step", STEPS)
def test_a_step_leaves_alone_what_was_given_at_insert(step: str) -> None:
    function, before, _ = STEPS[step]
    job = running(state=before, kind="k", chain="c", priority=7, hops=2)
    given = ["id", "queue", "kind", "chain", "payload_json", "priority", "hops", "timeout"]
    given += ["backoff", "shutdown_timeout", "created_at"]

    taken = function(job)

    assert [getattr(taken, name) for name in given] == [getattr(job, name) for name in given]


def test_a_new_job_takes_what_it_was_not_given_from_its_queue() -> None:
    """B34, B36, B37."""
    options = {"max_attempts": 9, "priority": -2, "timeout": 1.5, "backoff": [1, 2, 4]}

    job = new({**options, "shutdown_timeout": 0})

    assert (job.id, job.queue, job.payload, job.created_at) == (ID, "mail", {"to": "a"}, NOON)
    assert (job.state, job.revision, job.attempt, job.errors) == (AVAILABLE, 0, 0, ())
    assert (job.max_attempts, job.priority, job.timeout) == (9, -2, 1.5)
    assert (job.backoff, job.shutdown_timeout) == ((1.0, 2.0, 4.0), 0.0)
    assert (job.scheduled_at, job.result_json, job.kind, job.chain) == (None, None, None, None)


def test_a_new_job_keeps_the_options_of_its_own() -> None:
    """B35."""
    job = new(priority=5, max_attempts=10, timeout=2.0, kind="k", chain="c", backoff=(0.0,))

    assert (job.priority, job.max_attempts, job.timeout) == (5, 10, 2.0)
    assert (job.kind, job.chain, job.backoff, job.shutdown_timeout) == ("k", "c", (0.0,), 5.0)


def test_a_delay_counts_from_the_insert() -> None:
    """B38."""
    assert new(delay=90.0).scheduled_at == NOON + timedelta(seconds=90)
    assert new(delay=0.0).scheduled_at == NOON
    assert new(scheduled_at=LATER).scheduled_at == LATER
    assert new(delay=90.0).state is AVAILABLE


def test_a_claim_sets_the_instant_and_does_not_count_an_attempt() -> None:
    """B54, B74."""
    claimed = machine.claim(new(), now=LATER)

    assert claimed == evolve(new(), state=EXECUTING, revision=1, attempted_at=LATER)


@pytest.mark.parametrize(("result", "text"), [(None, "null"), ({"a": 1}, '{"a":1}')])
def test_completion_keeps_the_result_and_the_errors_and_counts_an_attempt(
    result: object, text: str
) -> None:
    """B66, B67, B75, B76."""
    job = running(attempt=1, errors=(JobError(1, "no", NOON),))

    done = machine.settle(job, Complete(result), now=LATER)

    assert done == evolve(
        job, state=COMPLETED, revision=2, attempt=2, completed_at=LATER, result_json=text
    )


def test_a_result_that_cannot_be_kept_still_completes_the_job() -> None:
    """F36."""
    done = machine.settle(running(), Complete({1, 2}), now=LATER)

    assert done.state is COMPLETED
    assert done.result["gaffer:error"] == "unserialisable"
    assert done.result["repr"] == "{1, 2}"


def test_a_failure_with_attempts_left_is_tried_again_after_the_backoff() -> None:
    """B81, B83, B86."""
    job = running(backoff=(10.0,))

    failed = fail(job)

    assert failed == evolve(
        job,
        state=AVAILABLE,
        revision=2,
        attempt=1,
        errors=(JobError(1, "no", LATER),),
        scheduled_at=LATER + timedelta(seconds=10),
    )


def test_the_last_attempt_fails_the_job() -> None:
    """B82."""
    job = running(attempt=2)

    failed = fail(job)

    assert (failed.state, failed.attempt, failed.failed_at) == (FAILED, 3, LATER)
    assert failed.scheduled_at == job.scheduled_at
    assert failed.errors == (JobError(3, "no", LATER),)


def test_a_reason_that_cannot_be_kept_becomes_its_text() -> None:
    """B87, F46."""
    failed = machine.settle(running(), Fail({"why": {7}, "nul": "\0"}), now=LATER)

    assert failed.errors[0].error == {"why": "{7}", "nul": "\ufffd"}


def test_a_worker_that_cancels_keeps_its_reason_and_counts_no_attempt() -> None:
    """B71, B75."""
    job = running(attempt=1)

    ended = machine.settle(job, Cancel({"why": {7}}), now=LATER)

    assert ended == evolve(
        job, state=CANCELLED, revision=2, cancelled_at=LATER, result_json='{"why":"{7}"}'
    )


def test_a_user_cancels_without_a_reason() -> None:
    """B95, B96."""
    job = new(delay=60.0)

    ended = machine.cancel(job, now=LATER)

    assert ended == evolve(job, state=CANCELLED, revision=1, cancelled_at=LATER)


@pytest.mark.parametrize(
    ("outcome", "at"),
    [
        (Schedule(at=LATER + timedelta(days=1)), LATER + timedelta(days=1)),
        (Schedule(at=NOON - timedelta(days=1)), NOON - timedelta(days=1)),
        (Schedule(delay=1.5), LATER + timedelta(seconds=1.5)),
        (Schedule(delay=timedelta(hours=2)), LATER + timedelta(hours=2)),
        (Schedule(delay=0), LATER),
    ],
)
def test_a_worker_that_schedules_costs_no_attempt(outcome: Schedule, at: datetime) -> None:
    """B75, B91, B92, B94, F53."""
    job = running(attempt=2, max_attempts=3, errors=(JobError(2, "no", NOON),))

    again = machine.settle(job, outcome, now=LATER)

    assert again == evolve(job, state=AVAILABLE, revision=2, scheduled_at=at)


def test_a_release_changes_nothing_but_the_state() -> None:
    job = running(attempt=1, scheduled_at=NOON)

    assert machine.release(job) == evolve(job, state=AVAILABLE, revision=2)


def test_a_note_is_one_more_error_at_the_same_revision() -> None:
    job = running(attempt=1, errors=(JobError(1, "no", NOON),))

    noted = machine.noted(job, "could not forward", now=LATER)

    assert noted == evolve(
        job, errors=(JobError(1, "could not forward", LATER), JobError(1, "no", NOON))
    )
