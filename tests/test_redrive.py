"""What `redrive` sends back, what stays, and that nothing is doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from gaffer import (
    Exponential,
    Gaffer,
    InvalidJob,
    Job,
    JobCancelled,
    JobInserted,
    JobState,
    Queue,
    Stopped,
)
from gaffer.driver import Driver, DriverUnavailable
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from gaffer_driver_memory import MemoryDriver
from tests.conftest import MakeGaffer, Recorder, fail, quiet
from tests.rig.waiting import until


def pair(app: Gaffer, **options: Any) -> tuple[Queue, Queue]:
    """Declare "dlq", and "q" that forwards its failed jobs there."""
    letters = app.ensure_queue("dlq", **quiet())
    given = quiet(max_attempts=1, forward={"failed": "dlq"}, **options)
    return app.ensure_queue("q", worker=fail, **given), letters


def failed(queue: Queue, payloads: list[Any], **options: Any) -> list[Job]:
    """Have jobs fail for good; return them as they were."""
    jobs: list[Job] = queue.insert_many(payloads, **options)
    while queue.poll():
        pass
    return jobs


def test_a_forwarded_job_goes_back_with_its_payload_kind_and_options(manual: Gaffer) -> None:
    queue, letters = pair(manual)
    [before] = failed(
        queue,
        [{"a": [1]}],
        kind="k",
        chain="c",
        priority=-2,
        max_attempts=1,
        timeout=7,
        backoff=Exponential(base=2.0),
        shutdown_timeout=1.5,
    )
    [letter] = letters.list()

    redriven = letters.redrive()

    assert (redriven.sent, redriven.left) == (1, {})
    [back] = queue.list(state="available")
    assert back.id not in (before.id, letter.id)
    assert (back.payload, back.kind, back.chain) == ({"a": [1]}, "k", "c")
    assert (back.priority, back.max_attempts, back.timeout) == (-2, 1, 7.0)
    assert (back.backoff, back.shutdown_timeout) == (before.backoff, 1.5)
    assert (back.attempt, back.revision, back.errors, back.hops) == (0, 0, (), 0)
    ended = letters.get(letter.id)
    assert (ended.state, ended.result) == (
        JobState.CANCELLED,
        {"redriven": str(back.id), "queue": "q"},
    )


def test_the_job_and_the_end_of_its_letter_are_one_write_and_both_are_told(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, recorder: Recorder
) -> None:
    app = make_gaffer(faulty, work=False, hooks=[recorder])
    queue, letters = pair(app)
    failed(queue, [1])
    before = faulty.calls.count("job_write")

    letters.redrive()

    assert faulty.calls.count("job_write") == before + 1
    assert recorder.of(JobInserted)[-1].job.queue == "q"
    assert [event.actor for event in recorder.of(JobCancelled)] == ["user"]


def test_a_letter_that_is_sent_back_is_not_forwarded_as_cancelled(manual: Gaffer) -> None:
    queue, letters = pair(manual)
    manual.ensure_queue("archive", **quiet())
    letters.update(forward={"cancelled": "archive"})
    failed(queue, [1])

    letters.redrive()

    assert manual.list("archive") == []


def test_no_more_go_back_than_the_limit_says_and_those_that_waited_longest_first(
    manual: Gaffer, harness: DriverHarness
) -> None:
    queue, letters = pair(manual)
    for number in range(5):
        failed(queue, [number])
        harness.advance(1)

    assert letters.redrive(limit=0).sent == 0
    assert letters.redrive(limit=2).sent == 2

    assert {job.payload for job in queue.list(state="available")} == {0, 1}
    assert letters.redrive().sent == 3


def test_what_was_not_forwarded_or_cannot_go_back_stays_and_is_named(manual: Gaffer) -> None:
    queue, letters = pair(manual)
    failed(queue, ["well"])
    odd: dict[UUID, str] = {
        letters.insert(payload).id: reason
        for payload, reason in [
            ("text", "it was not forwarded"),
            ({}, "names no queue"),
            ({"queue": "q"}, "no payload"),
            ({"queue": "q", "payload": {"gaffer:error": "omitted"}}, "too large"),
            ({"queue": "gone", "payload": 1}, "no queue 'gone' any more"),
            ({"queue": "q", "payload": 1, "options": {"timeout": "long"}}, "timeout='long'"),
            ({"queue": "q", "payload": 1, "options": {"backoff": {"x": 1}}}, "backoff"),
            ({"queue": "q", "payload": 1, "options": 7}, "options that are none: 7"),
        ]
    }

    redriven = letters.redrive()

    assert redriven.sent == 1
    assert redriven.left.keys() == odd.keys()
    for id, reason in odd.items():
        assert reason in redriven.left[id]
    assert {job.id for job in letters.list(state="available")} == odd.keys()


def test_a_letter_that_somebody_works_stays(manual: Gaffer) -> None:
    queue, letters = pair(manual)
    failed(queue, [1, 2])

    with letters.claim() as letter:
        assert letter is not None
        assert letters.redrive().sent == 1

    assert letters.get(letter.id).state is JobState.COMPLETED


def test_a_queue_that_is_not_declared_here_gets_its_jobs_back(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    queue, _ = pair(make_gaffer(work=False))
    failed(queue, [1], timeout=9)

    stranger = make_gaffer(work=False)
    stranger.ensure_queue("dlq", **quiet())

    assert stranger.redrive("dlq").sent == 1
    [back] = queue.list(state="available")
    assert (back.queue, back.timeout) == ("q", 9.0)


def test_a_letter_can_go_and_come_back_again_and_again(manual: Gaffer) -> None:
    queue, letters = pair(manual)
    failed(queue, [1])

    for _ in range(20):  # more often than a cycle of queues may forward
        assert letters.redrive().sent == 1
        assert queue.poll() == 1

    assert len(letters.list(state="available")) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_answer_that_is_lost_doubles_nothing(
    after: bool, make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    queue, letters = pair(make_gaffer(faulty, work=False))
    failed(queue, [1, 2, 3])
    faulty.fail("job_write", after=after)

    with pytest.raises(DriverUnavailable):
        letters.redrive()
    assert letters.redrive().sent == (0 if after else 3)

    assert sorted(job.payload for job in queue.list(state="available")) == [1, 2, 3]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_between_two_storages_the_job_is_stored_first_and_once(
    after: bool, make_gaffer: MakeGaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    app, there = make_gaffer(work=False), FaultyDriver(elsewhere)
    letters = app.ensure_queue("dlq", driver=there, **quiet())
    queue = app.ensure_queue("q", worker=fail, **quiet(max_attempts=1, forward={"failed": "dlq"}))
    failed(queue, [1])
    there.fail("job_write", after=after)

    with pytest.raises(DriverUnavailable):
        letters.redrive()
    assert len(queue.list(state="available")) == 1
    assert letters.redrive().sent == (0 if after else 1)

    assert len(queue.list(state="available")) == 1
    assert letters.list(state="available") == []


def test_redrives_at_once_send_each_letter_once(make_gaffer: MakeGaffer) -> None:
    queue, letters = pair(make_gaffer(work=False))
    failed(queue, list(range(250)))
    sent: list[int] = []
    threads = [
        threading.Thread(target=lambda: sent.append(letters.redrive().sent)) for _ in range(3)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    # Two that made the same write, of one instant, both say so.
    assert sum(sent) >= 250
    assert sorted(job.payload for job in queue.list(state="available")) == list(range(250))


def test_jobs_that_fail_again_meanwhile_are_not_taken_along(make_gaffer: MakeGaffer) -> None:
    """What was wrong is not mended yet: without that it would go on for ever."""
    app = make_gaffer(MemoryDriver(), work=True)
    letters = app.ensure_queue("dlq", prune={"interval": None})
    queue = app.ensure_queue(
        "q", worker=fail, max_attempts=1, forward={"failed": "dlq"}, poll_interval=0.001
    )
    queue.insert_many(range(5))
    queue.flush(20)

    redriven = letters.redrive(rate=50)
    queue.flush(20)

    assert redriven.sent == 5
    assert len(letters.list(state="available")) == 5


# -- the rate --------------------------------------------------------------------------------------


def test_a_rate_spreads_the_jobs_over_time(make_gaffer: MakeGaffer) -> None:
    queue, letters = pair(make_gaffer(work=False))
    failed(queue, list(range(6)))
    began = time.monotonic()

    assert letters.redrive(rate=20).sent == 6

    assert time.monotonic() - began >= 6 / 20


def test_a_stop_ends_a_redrive_that_would_go_on_for_long(make_gaffer: MakeGaffer) -> None:
    app = make_gaffer(work=False)
    queue, letters = pair(app)
    failed(queue, list(range(3)))
    ended: list[str] = []

    def redrive() -> None:
        try:
            letters.redrive(rate=0.001)
        except Stopped:
            ended.append("stopped")

    thread = threading.Thread(target=redrive)
    thread.start()
    until(lambda: len(queue.list(state="available")) == 1)
    app.stop()
    thread.join(10)

    assert ended == ["stopped"]


BAD: list[tuple[str, Callable[[Queue], object]]] = [
    ("rate=0", lambda letters: letters.redrive(rate=0)),
    ("rate=-1", lambda letters: letters.redrive(rate=-1)),
    ("rate=inf", lambda letters: letters.redrive(rate=float("inf"))),
    ("rate='5'", lambda letters: letters.redrive(rate="5")),  # type: ignore[arg-type]
    ("limit=-1", lambda letters: letters.redrive(limit=-1)),
    ("limit=1.5", lambda letters: letters.redrive(limit=1.5)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("named", "call"), BAD, ids=[named for named, _ in BAD])
def test_bad_numbers_are_refused_by_name(
    named: str, call: Callable[[Queue], object], manual: Gaffer
) -> None:
    _, letters = pair(manual)

    with pytest.raises(InvalidJob, match=named):
        call(letters)
