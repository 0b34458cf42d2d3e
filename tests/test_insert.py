"""Inserting: what a new job looks like, where its options come from, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from gaffer import (
    Conflict,
    DriverUnavailable,
    Exponential,
    Gaffer,
    InvalidJob,
    InvalidPayload,
    JobInserted,
    JobState,
    NewJob,
    UnknownQueue,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import MakeGaffer, Recorder


def test_insert_returns_the_stored_job(manual: Gaffer, driver: Driver) -> None:
    """B34 [T], B43, B45 [T]."""
    queue = manual.create_queue("q")
    before = driver.now()

    job = queue.insert({"to": "a"})

    assert queue.get(job.id) == job
    assert (job.queue, job.payload, job.state) == ("q", {"to": "a"}, JobState.AVAILABLE)
    assert (job.attempt, job.errors, job.priority, job.max_attempts) == (0, (), 0, 3)
    assert job.id.version == 7
    assert before <= job.created_at <= driver.now()
    assert (job.result, job.scheduled_at, job.attempted_at) == (None, None, None)
    assert (job.completed_at, job.failed_at, job.cancelled_at) == (None, None, None)


def test_the_options_of_a_job_override_those_of_its_queue(manual: Gaffer) -> None:
    """B35 [T], B116 [T]."""
    queue = manual.create_queue("q", priority=1, max_attempts=2, timeout=9, shutdown_timeout=8)

    job = queue.insert(
        1, priority=5, max_attempts=10, timeout=3, backoff=timedelta(seconds=2), shutdown_timeout=4
    )

    stored = queue.get(job.id)
    assert (stored.priority, stored.max_attempts) == (5, 10)
    assert (stored.timeout, stored.backoff, stored.shutdown_timeout) == (3.0, (2.0,), 4.0)


def test_a_job_keeps_the_defaults_that_its_queue_had(manual: Gaffer) -> None:
    """B36 [T]."""
    queue = manual.create_queue(
        "q", priority=2, max_attempts=7, timeout=11, backoff=[1, 2], shutdown_timeout=6
    )
    job = queue.insert(1)

    queue.update(priority=0, max_attempts=1, timeout=1, backoff=9, shutdown_timeout=1)

    stored = queue.get(job.id)
    assert (stored.priority, stored.max_attempts) == (2, 7)
    assert (stored.timeout, stored.backoff, stored.shutdown_timeout) == (11.0, (1.0, 2.0), 6.0)


@pytest.mark.parametrize(
    ("given", "kept"),
    [([1, 2, 4], (1.0, 2.0, 4.0)), (0, (0.0,)), (Exponential(base=2), Exponential(base=2))],
)
def test_a_backoff_is_stored_as_it_was_given(given: Any, kept: Any, manual: Gaffer) -> None:
    """B37 [T], B85 [T], B90 [T]."""
    queue = manual.create_queue("q")

    job = queue.insert(1, backoff=given)

    assert queue.get(job.id).backoff == kept


def test_a_scheduled_job_is_available_and_has_its_time(manual: Gaffer) -> None:
    """B38 [T]."""
    queue = manual.create_queue("q")
    at = datetime(2099, 1, 1, tzinfo=UTC)

    job = queue.insert(1, scheduled_at=at)

    stored = queue.get(job.id)
    assert (stored.state, stored.scheduled_at) == (JobState.AVAILABLE, at)


def test_an_instant_is_kept_to_the_microsecond_whatever_its_zone(manual: Gaffer) -> None:
    """B39 [T]."""
    queue = manual.create_queue("q")
    at = datetime.fromisoformat("2099-01-02T03:04:05.678901+05:30")

    job = queue.insert(1, scheduled_at=at)

    assert queue.get(job.id).scheduled_at == at


@pytest.mark.parametrize("delay", [90, 90.0, timedelta(minutes=1, seconds=30)])
def test_a_delay_is_a_number_of_seconds_or_a_timedelta(delay: Any, manual: Gaffer) -> None:
    """B39 [T]."""
    queue = manual.create_queue("q")

    job = queue.insert(1, delay=delay)

    assert job.scheduled_at == job.created_at + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"max_attempts": 0}, {"max_attempts"}),
        ({"priority": 1.5}, {"priority"}),
        ({"priority": "high"}, {"priority"}),
        ({"backoff": []}, {"backoff"}),
        ({"timeout": 0}, {"timeout"}),
        ({"scheduled_at": datetime(2099, 1, 1)}, {"scheduled_at"}),  # noqa: DTZ001
        ({"scheduled_at": datetime.now(UTC), "delay": 1}, {"scheduled_at", "delay"}),
        ({"wings": 2, "tail": 1}, {"wings", "tail"}),
        ({"chain": ""}, {"chain"}),
        ({"id": "1"}, {"id"}),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_stored(
    options: dict[str, Any], keys: set[str], manual: Gaffer
) -> None:
    """B39 [T], B40 [T], B41, B49, B89."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidJob) as caught:
        queue.insert(1, **options)

    assert caught.value.keys == keys
    assert queue.list() == []


def test_insert_into_an_unknown_queue_names_it(manual: Gaffer) -> None:
    """B42."""
    with pytest.raises(UnknownQueue) as caught:
        manual.insert("nowhere", 1)

    assert caught.value.queue == "nowhere"


@pytest.mark.parametrize(
    "payload",
    [None, True, 0, -1.5, 1e308, 2**63, "", "ü\n\U0001f600", [], {}, {"a": [1, {"b": None}]}],
)
def test_a_payload_reads_back_equal(payload: Any, manual: Gaffer) -> None:
    """B46."""
    queue = manual.create_queue("q")

    job = queue.insert(payload)

    stored = queue.get(job.id).payload
    assert (stored, type(stored)) == (payload, type(payload))


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"items": [1, {"at": datetime.now(UTC)}]}, "payload.items[1].at"),
        ((1, 2), "payload"),
        ([float("nan")], "payload[0]"),
        ({"a": "\0"}, "payload.a"),
        ({"a": {1: 2}}, "payload.a"),
    ],
)
def test_a_payload_that_json_cannot_keep_is_refused_by_its_place(
    payload: Any, path: str, manual: Gaffer
) -> None:
    """B47."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidPayload) as caught:
        queue.insert(payload)

    assert caught.value.path == path
    assert queue.list() == []


class Hostile:
    """Raises whatever it is asked, its class included."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)


def test_a_payload_that_raises_when_it_is_asked_is_refused_like_any_other(manual: Gaffer) -> None:
    """F46."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidPayload) as one:
        queue.insert(Hostile())
    with pytest.raises(InvalidPayload) as many:
        queue.insert_many([1, Hostile()])

    assert (one.value.path, many.value.path) == ("payload", "payloads[1]")


def test_a_payload_is_taken_as_it_was_at_insert(manual: Gaffer) -> None:
    """B34 [T]."""
    queue = manual.create_queue("q")
    payload = {"items": [1]}

    job = queue.insert(payload)
    payload["items"].append(2)

    assert queue.get(job.id).payload == {"items": [1]}


def test_a_paused_queue_takes_jobs(manual: Gaffer) -> None:
    """B48 [T]."""
    queue = manual.create_queue("q")
    queue.pause()

    job = queue.insert(1)

    assert queue.get(job.id).state is JobState.AVAILABLE


def test_an_id_of_the_callers_own_is_taken_once(manual: Gaffer) -> None:
    """B43."""
    queue = manual.create_queue("q")
    id = uuid4()
    queue.insert(1, id=id)

    with pytest.raises(Conflict) as caught:
        queue.insert(2, id=id)

    assert caught.value.ids == {id}
    assert queue.get(id).payload == 1


def test_many_are_inserted_in_order_each_with_its_own_options(manual: Gaffer) -> None:
    """B34 [T], B35 [T]."""
    queue = manual.create_queue("q")

    jobs = queue.insert_many([1, NewJob(2, priority=9), 3], priority=4)

    assert [(job.payload, job.priority) for job in jobs] == [(1, 4), (2, 9), (3, 4)]
    assert queue.list() == jobs


def test_many_that_are_not_returned_are_counted(manual: Gaffer) -> None:
    queue = manual.create_queue("q")

    listed = queue.insert_many([1, NewJob(2)], returning=False, priority=3)
    streamed = manual.insert_many("q", (number for number in range(2500)), returning=False)

    assert (listed, streamed) == (2, 2500)
    assert [job.payload for job in queue.list()] == [1, 2, *range(2500)]
    assert queue.list(limit=1)[0].priority == 3
    assert queue.insert_many([], returning=False) == 0


def test_the_order_of_many_is_theirs_whatever_ids_are_given(make_gaffer: MakeGaffer) -> None:
    queue = make_gaffer("memory", work=False).create_queue("q")  # on a clock that goes on
    lowest = UUID(int=1)

    jobs = queue.insert_many([1, 2, NewJob(3, id=lowest), 4, NewJob(5)])

    assert jobs[2].id == lowest
    assert queue.list() == jobs


def test_of_many_all_are_inserted_or_none(manual: Gaffer) -> None:
    """B40 [T], B47."""
    queue = manual.create_queue("q")

    with pytest.raises(InvalidPayload):
        queue.insert_many([1, 2, object()])
    with pytest.raises(InvalidJob):
        queue.insert_many([1, NewJob(2, max_attempts=0)])

    assert queue.list() == []


def test_an_iterator_is_inserted_in_batches(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> None:
    """B34 [T]."""
    queue = make_gaffer(faulty, work=False).create_queue("q")

    def payloads() -> Iterator[int]:
        yield from range(1001)

    jobs = queue.insert_many(payloads())

    assert [job.payload for job in jobs] == list(range(1001))
    assert faulty.calls.count("job_write") == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_insert_whose_answer_is_lost_is_repeated_and_stores_one_job(
    after: bool, make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B43."""
    queue = make_gaffer(faulty, work=False).create_queue("q", hooks=[recorder])
    faulty.fail("job_write", times=1, after=after)

    job = queue.insert(1)

    assert queue.list() == [job]
    assert len(recorder.of(JobInserted)) == 1


def test_an_insert_gives_up_when_storage_does_not_answer(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    """B47."""
    queue = make_gaffer(faulty, work=False).create_queue("q", hooks=[recorder])
    faulty.fail("job_write", times=None)

    with pytest.raises(DriverUnavailable):
        queue.insert(1)

    faulty.heal()
    assert queue.list() == []
    assert recorder.of(JobInserted) == []


def test_many_of_which_one_cannot_be_stored_are_not_stored(manual: Gaffer) -> None:
    """B189 [D]."""
    queue = manual.create_queue("q")
    taken = queue.insert(1)

    with pytest.raises(Conflict) as caught:
        queue.insert_many([2, NewJob(3, id=taken.id), 4])

    assert caught.value.ids == {taken.id}
    assert queue.list() == [taken]
