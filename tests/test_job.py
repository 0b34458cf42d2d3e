"""The job as a value: frozen, decoded late, copied whole."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer.job import Exponential, Job, JobError, JobFilter, JobState, StateStats, evolve, restored

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
INSTANTS = st.datetimes(timezones=st.just(UTC))
SECONDS = st.floats(min_value=0, max_value=1e6)
BACKOFFS = st.lists(SECONDS, min_size=1).map(tuple) | st.builds(Exponential, base=SECONDS)
ERRORS = st.builds(JobError, st.integers(1, 100), st.text(), INSTANTS)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.uuids(),
    "queue": st.text(min_size=1),
    "kind": st.none() | st.text(min_size=1),
    "chain": st.none() | st.text(min_size=1),
    "payload_json": st.sampled_from(["null", "[1]", '{"a":1}']),
    "state": st.sampled_from(JobState),
    "revision": st.integers(0, 100),
    "attempt": st.integers(0, 100),
    "max_attempts": st.integers(1, 100),
    "priority": st.integers(-100, 100),
    "timeout": SECONDS,
    "backoff": BACKOFFS,
    "shutdown_timeout": SECONDS,
    "hops": st.integers(0, 16),
    "created_at": INSTANTS,
    "scheduled_at": st.none() | INSTANTS,
    "attempted_at": st.none() | INSTANTS,
    "completed_at": st.none() | INSTANTS,
    "failed_at": st.none() | INSTANTS,
    "cancelled_at": st.none() | INSTANTS,
    "result_json": st.none() | st.sampled_from(["null", '"done"', '{"b":[2]}']),
    "errors": st.lists(ERRORS, max_size=3).map(tuple),
    "unique": st.none() | st.text(min_size=1, max_size=3),
    "unique_until": st.none() | st.just(NOON),
}
JOBS = st.fixed_dictionaries(FIELDS).map(lambda values: Job(**values))
CHANGES = st.fixed_dictionaries({}, optional=FIELDS)


def job(**changes: Any) -> Job:
    given: dict[str, Any] = {
        "id": UUID(int=1),
        "queue": "mail",
        "payload_json": '{"to":["a"]}',
        "max_attempts": 3,
        "timeout": 30.0,
        "backoff": (1.0,),
        "shutdown_timeout": 5.0,
        "created_at": NOON,
    }
    return Job(**{**given, **changes})


def test_the_strategies_cover_every_field_that_is_kept() -> None:
    assert FIELDS.keys() == {field.name for field in dataclasses.fields(Job) if field.init}


@given(JOBS)
def test_a_job_is_restored_from_its_values_in_the_order_of_its_fields(one: Job) -> None:
    names = [field.name for field in dataclasses.fields(Job) if field.init]

    restored_ = restored(*(getattr(one, name) for name in names))

    assert restored_ == one
    assert type(restored_) is Job
    assert (restored_.payload, restored_.result) == (one.payload, one.result)


@given(JOBS, CHANGES)
def test_evolve_is_dataclasses_replace(one: Job, changes: dict[str, Any]) -> None:
    before = copy.copy(one)

    evolved = evolve(one, **changes)

    assert evolved == dataclasses.replace(one, **changes)
    assert type(evolved) is Job
    assert one == before
    assert evolved is not one


@given(JOBS, CHANGES)
def test_evolve_carries_no_decoded_value_over(one: Job, changes: dict[str, Any]) -> None:
    seen = (one.payload, one.result)

    evolved = evolve(one, **changes)

    assert evolved.payload == dataclasses.replace(one, **changes).payload
    assert evolved.result == dataclasses.replace(one, **changes).result
    assert evolved.payload is None or evolved.payload is not seen[0]
    assert not isinstance(evolved.result, dict) or evolved.result is not seen[1]


def test_evolve_knows_no_other_field() -> None:
    with pytest.raises(AttributeError, match="colour"):
        evolve(job(), colour="red")


def test_a_new_job_is_available_at_revision_0_and_has_not_been_tried() -> None:
    """B34, B45."""
    new = job()

    assert (new.state, new.revision, new.attempt, new.errors) == (JobState.AVAILABLE, 0, 0, ())
    assert (new.kind, new.chain, new.priority, new.hops) == (None, None, 0, 0)
    assert (new.result, new.result_json, new.scheduled_at) == (None, None, None)
    assert (new.attempted_at, new.completed_at) == (None, None)
    assert (new.failed_at, new.cancelled_at) == (None, None)


def test_the_payload_is_decoded_when_first_asked_for_and_then_kept() -> None:
    broken = job(payload_json="{not json", result_json="{neither")
    good = job(result_json="[1]")

    with pytest.raises(ValueError, match="Expecting"):
        _ = broken.payload
    with pytest.raises(ValueError, match="Expecting"):
        _ = broken.result

    assert good.payload is good.payload == {"to": ["a"]}
    assert good.result is good.result == [1]


def test_a_decoded_value_belongs_to_one_object_alone() -> None:
    one, other = job(result_json="[1]"), job(result_json="[1]")

    one.payload["to"].append("b")
    one.result.clear()

    assert other.payload == {"to": ["a"]}
    assert other.result == [1]
    assert evolve(one, revision=1).payload == {"to": ["a"]}
    assert one == other


@pytest.mark.parametrize(("text", "result"), [(None, None), ("null", None), ("0", 0)])
def test_a_result_of_null_and_no_result_are_told_apart_by_their_text(
    text: str | None, result: object
) -> None:
    """B45, B66."""
    ended = job(result_json=text)

    assert ended.result == result
    assert (ended.result_json is None) == (text is None)


def test_a_job_cannot_be_changed() -> None:
    fixed: Any = job()

    for name in ("state", "payload_json", "revision", "_payload"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(fixed, name, None)
    for name in ("payload", "result", "other"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(fixed, name, None)
    assert fixed == job()


COPIES: dict[str, Callable[[Job], Job]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda one: pickle.loads(pickle.dumps(one)),
}


@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("decoded", [False, True])
def test_a_copied_job_has_the_same_payload_and_result(
    make: Callable[[Job], Job], decoded: bool
) -> None:
    """A worker may hand its job to another process."""
    one = job(result_json="[1]")
    if decoded:
        assert (one.payload, one.result) == ({"to": ["a"]}, [1])

    copied = make(one)

    assert copied == one
    assert copied.payload == {"to": ["a"]}
    assert copied.result == [1]


ENTERED = {
    JobState.AVAILABLE: "created_at",
    JobState.EXECUTING: "attempted_at",
    JobState.COMPLETED: "completed_at",
    JobState.FAILED: "failed_at",
    JobState.CANCELLED: "cancelled_at",
}


@pytest.mark.parametrize("state", JobState)
def test_a_state_is_entered_at_its_own_instant(state: JobState) -> None:
    """B174."""
    instants = {name: NOON + timedelta(hours=n) for n, name in enumerate(ENTERED.values())}
    one = job(state=state, scheduled_at=NOON + timedelta(days=9), **instants)

    assert one.entered_at == instants[ENTERED[state]]
    assert job(state=state).entered_at == NOON


@pytest.mark.parametrize("state", JobState)
def test_a_state_is_its_name_and_three_of_them_are_final(state: JobState) -> None:
    assert state == state.value == str(state)
    assert state.terminal == (state.value in ("completed", "failed", "cancelled"))


def test_the_text_of_a_job_tells_it_apart_and_shows_no_payload() -> None:
    one = job(kind="welcome", payload_json='"secret"', result_json='"secret"')
    _ = (one.payload, one.result)

    assert str(one) == f"<job {one.id} welcome in 'mail': available>"
    assert str(job()) == f"<job {one.id} in 'mail': available>"
    assert "secret" not in repr(one)


def test_a_filter_and_statistics_are_empty_unless_told_otherwise() -> None:
    everything = JobFilter()

    assert dataclasses.astuple(everything) == (None,) * 5
    assert (StateStats().count, StateStats().oldest, StateStats().newest) == (0, None, None)
