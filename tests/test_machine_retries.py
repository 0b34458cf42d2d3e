"""The state machine over many attempts: backoff, the list of errors, forwarding, pruning."""

from __future__ import annotations

import copy
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import codec, failures, machine
from gaffer.conf import PruneConf
from gaffer.job import Backoff, Complete, Exponential, Fail, Job, JobError, JobState, evolve
from gaffer.machine import MAX_ERRORS, MAX_HOPS

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ID = UUID("01890000-0000-7000-8000-000000000001")
ROLLS = st.floats(min_value=0, max_value=1, exclude_max=True)


def running(**changes: Any) -> Job:
    job = Job(
        id=ID,
        queue="mail",
        payload_json='{"to":"a"}',
        state=JobState.EXECUTING,
        revision=1,
        max_attempts=2**31 - 1,
        timeout=30.0,
        backoff=(1.0,),
        shutdown_timeout=5.0,
        created_at=NOON,
        attempted_at=NOON,
    )
    return evolve(job, **changes)


def fail(job: Job, error: Any = "no", *, roll: float = 0.5) -> Job:
    """Run *job* once more, to a failure at NOON."""
    again = evolve(job, state=JobState.EXECUTING)
    return machine.settle(again, Fail(error), now=NOON, roll=roll)


def wait(backoff: Backoff, failure: int, roll: float = 0.5) -> float:
    """Return the seconds between the end of attempt *failure* and the next one."""
    failed = fail(running(backoff=backoff, attempt=failure - 1), roll=roll)
    assert failed.scheduled_at is not None
    return (failed.scheduled_at - NOON).total_seconds()


def test_the_delays_of_a_backoff_come_in_order_and_the_last_repeats() -> None:
    """B84."""
    job = running(backoff=(0.01, 0.02, 0.03), max_attempts=5)
    waits = []

    while job.state is not JobState.FAILED:
        job = fail(job)
        assert job.scheduled_at is not None
        waits.append((job.scheduled_at - NOON).total_seconds())

    assert waits[:4] == [0.01, 0.02, 0.03, 0.03]
    assert (job.attempt, job.revision) == (5, 6)
    assert [error.attempt for error in job.errors] == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("failure", [1, 2, 100, 2**31 - 2])
def test_one_delay_is_constant_and_may_be_0(failure: int) -> None:
    """B85, B90."""
    assert wait((7.0,), failure) == 7.0
    assert wait((0.0,), failure) == 0.0


def test_an_exponential_backoff_grows_by_its_factor_up_to_its_maximum() -> None:
    backoff = Exponential(base=1.5, factor=2.0, maximum=10.0, jitter=0.0)

    assert [wait(backoff, failure) for failure in (1, 2, 3, 4, 5)] == [1.5, 3.0, 6.0, 10.0, 10.0]


@pytest.mark.parametrize(
    ("roll", "expected"), [(0.0, 9.0), (0.5, 10.0), (math.nextafter(1.0, 0.0), 11.0)]
)
def test_jitter_spreads_a_delay_to_both_sides(roll: float, expected: float) -> None:
    backoff = Exponential(base=10.0, factor=1.0, maximum=60.0, jitter=0.1)

    assert wait(backoff, 1, roll) == pytest.approx(expected, abs=1e-6)


@given(
    st.builds(
        Exponential,
        base=st.floats(min_value=0, max_value=3.2e7),
        factor=st.floats(min_value=1, max_value=1e6),
        maximum=st.floats(min_value=0, max_value=3.2e7),
        jitter=st.floats(min_value=0, max_value=1),
    ),
    st.integers(min_value=1, max_value=2**31 - 2),
    ROLLS,
)
def test_every_delay_is_within_the_jitter_of_its_bounds(
    backoff: Exponential, failure: int, roll: float
) -> None:
    """F54."""
    waited = wait(backoff, failure, roll)

    least = min(backoff.base, backoff.maximum) * (1 - backoff.jitter)
    most = backoff.maximum * (1 + backoff.jitter)
    assert least - 1e-5 <= waited <= most + 1e-5


@pytest.mark.parametrize("failure", [1, 2, 1025, 10_000])
def test_a_power_too_large_for_a_float_is_the_maximum_unless_nothing_grows(failure: int) -> None:
    """F54."""
    growing = Exponential(base=1e-9, factor=1e6, maximum=50.0, jitter=0.0)
    nothing = Exponential(base=0.0, factor=1e6, maximum=50.0, jitter=0.0)

    assert wait(growing, failure) == (50.0 if failure > 2 else pytest.approx(0.0, abs=1e-2))
    assert wait(nothing, failure) == 0.0


@pytest.mark.parametrize("count", [1, 9, 10, 11, 25])
def test_of_many_errors_the_first_and_the_last_nine_are_kept_newest_first(count: int) -> None:
    """B83, F53."""
    job = running()

    for _ in range(count):
        job = fail(job)

    attempts = [error.attempt for error in job.errors]
    newest = list(range(count, 0, -1))
    assert attempts == (newest if count <= MAX_ERRORS else [*newest[:9], 1])
    assert job.attempt == count


def test_ten_thousand_failures_leave_a_small_job() -> None:
    """F53."""
    error = failures.failure(ValueError("x" * 1_000_000))
    job = running()

    for _ in range(10_000):
        job = fail(job, error)

    assert job.attempt == 10_000
    assert [e.attempt for e in job.errors] == [*range(10_000, 9_991, -1), 1]
    assert len(codec.dump_errors(job.errors)) < 200 * 1024


def test_notes_count_among_the_errors_that_are_kept() -> None:
    """F53."""
    job = running()

    for _ in range(30):
        job = machine.noted(job, "beside", now=NOON)

    assert len(job.errors) == MAX_ERRORS
    assert job.revision == 1


@given(st.lists(st.sampled_from(["claim", "fail", "release"]), max_size=30))
def test_every_write_adds_one_to_the_revision_and_every_failure_one_to_the_attempts(
    steps: list[str],
) -> None:
    """B75."""
    job = running(state=JobState.AVAILABLE, revision=0)
    writes = failed = 0

    for step in steps:
        before = copy.copy(job)
        if (step == "claim") == (job.state is JobState.AVAILABLE):
            changed = {
                "claim": lambda job: machine.claim(job, now=NOON),
                "fail": fail,
                "release": machine.release,
            }[step](job)
            writes += 1
            failed += step == "fail"
            assert job == before
            job = changed

    assert (job.revision, job.attempt) == (writes, failed)


def ended(**changes: Any) -> Job:
    job = running(kind="welcome", attempt=1, errors=(JobError(1, {"type": "x"}, NOON),))
    return evolve(machine.settle(job, Complete([1]), now=NOON + timedelta(hours=1)), **changes)


def test_a_forwarded_payload_carries_the_ended_job_in_plain_values() -> None:
    """B123, F46."""
    job = ended()

    payload = machine.forwarded(job)

    assert payload == {
        "id": str(ID),
        "queue": "mail",
        "kind": "welcome",
        "payload": {"to": "a"},
        "state": "completed",
        "attempt": 2,
        "result": [1],
        "errors": [{"attempt": 1, "error": {"type": "x"}, "at": "2026-06-01T12:00:00+00:00"}],
        "at": "2026-06-01T13:00:00+00:00",
        "options": {
            "chain": job.chain,
            "priority": job.priority,
            "max_attempts": job.max_attempts,
            "timeout": job.timeout,
            "backoff": [1.0],
            "shutdown_timeout": job.shutdown_timeout,
        },
    }
    assert type(payload["state"]) is str
    assert codec.decode(codec.encode(payload)) == payload


def test_a_forwarded_payload_is_a_copy() -> None:
    job = ended()

    machine.forwarded(job)["payload"]["to"] = "b"

    assert job.payload == {"to": "a"}
    assert machine.forwarded(job)["payload"] == {"to": "a"}


def test_as_many_hops_as_are_allowed_nest_less_deep_than_a_payload_may() -> None:
    """B127."""
    job = ended()

    for _ in range(MAX_HOPS):
        job = ended(payload_json=codec.encode(machine.forwarded(job)))

    inner = json.loads(job.payload_json)
    for _ in range(MAX_HOPS - 1):
        inner = inner["payload"]
    assert inner["payload"] == {"to": "a"}


def test_a_forwarded_id_is_the_same_at_every_try_and_differs_otherwise() -> None:
    job = ended()

    ids = {
        machine.forwarded_id(job, "dead"),
        machine.forwarded_id(copy.copy(job), "dead"),
        machine.forwarded_id(evolve(job, payload_json="0"), "dead"),
    }
    others = {
        machine.forwarded_id(job, "other"),
        machine.forwarded_id(evolve(job, revision=9), "dead"),
        machine.forwarded_id(evolve(job, id=UUID(int=1)), "dead"),
    }

    assert ids == {UUID("2a126bb4-e29c-5805-9716-03ef7290d4a5")}
    assert len(others - ids) == 3


def test_cutoffs_are_as_old_as_the_ages_and_leave_out_what_is_never_pruned() -> None:
    """B166, B174, B180."""
    prune = PruneConf(1.0, {"completed": 0.0, "failed": 60.0, "cancelled": None})

    cutoffs = machine.cutoffs(prune, now=NOON)

    assert cutoffs == {
        JobState.COMPLETED: "all",
        JobState.FAILED: NOON - timedelta(minutes=1),
    }
    assert machine.cutoffs(PruneConf(1.0, {"*": None}), now=NOON) == {}
    assert machine.cutoffs(PruneConf(1.0, {"*": 0.0}), now=NOON) == dict.fromkeys(JobState, "all")
