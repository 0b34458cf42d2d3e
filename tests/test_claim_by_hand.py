"""Jobs claimed by hand, in a block of code instead of a worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from gaffer import (
    ClaimedJob,
    Conflict,
    DriverUnavailable,
    Gaffer,
    GafferError,
    JobCompleted,
    JobLate,
    JobsClaimed,
    JobState,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from tests.conftest import MakeGaffer, Recorder, quiet


def test_a_job_completes_at_the_end_of_its_block(manual: Gaffer, recorder: Recorder) -> None:
    """B66 [T], B79 [T], B141 [D]."""
    queue = manual.create_queue("q", hooks=[recorder])
    job = queue.insert({"n": 1})

    with queue.claim() as claimed:
        assert claimed is not None
        inside = queue.get(job.id)
        assert (claimed.job, claimed.id, claimed.payload) == (inside, job.id, {"n": 1})

    [claim], [completed] = recorder.of(JobsClaimed), recorder.of(JobCompleted)
    stored = queue.get(job.id)
    assert (inside.state, stored.state, stored.attempt) == ("executing", "completed", 1)
    assert (claim.actor, [each.id for each in claim.jobs]) == ("user", [job.id])
    assert (completed.actor, completed.job) == ("worker", stored)


def test_without_a_job_there_is_none(manual: Gaffer, recorder: Recorder) -> None:
    """B154 [T]."""
    queue = manual.create_queue("q", hooks=[recorder])

    with queue.claim() as claimed:
        assert claimed is None

    assert recorder.of(JobsClaimed) == []


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_an_exception_fails_the_attempt_and_goes_on(error: BaseException, manual: Gaffer) -> None:
    """B69 [T], B81 [T], B88."""
    queue = manual.create_queue("q", **quiet(backoff=9))
    job = queue.insert(1)

    with pytest.raises(type(error)) as caught, queue.claim():
        raise error

    stored = queue.get(job.id)
    assert caught.value is error
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 1)
    assert stored.errors[0].error["type"] == type(error).__name__


@pytest.mark.parametrize(
    ("verb", "arguments", "state", "attempt", "result"),
    [
        ("complete", {"result": {"a": 1}}, "completed", 1, {"a": 1}),
        ("fail", {"reason": "no"}, "available", 1, None),
        ("cancel", {"reason": "off"}, "cancelled", 0, "off"),
        ("schedule", {"delay": 60}, "available", 0, None),
    ],
)
def test_a_job_can_be_settled_inside_its_block(
    verb: str, arguments: dict[str, Any], state: str, attempt: int, result: Any, manual: Gaffer
) -> None:
    """B67 [T], B68 [T], B71, B75, B91 [T]."""
    queue = manual.create_queue("q")
    job = queue.insert(1)

    with queue.claim() as claimed:
        assert claimed is not None
        settled = getattr(claimed, verb)(**arguments)

    stored = queue.get(job.id)
    assert settled == stored
    assert (stored.state, stored.attempt, stored.result) == (state, attempt, result)


def test_schedule_by_hand_sets_the_time(manual: Gaffer, driver: Driver) -> None:
    """B91 [T]."""
    queue = manual.create_queue("q")
    queue.insert(1)
    at = driver.now() + timedelta(hours=1)

    with queue.claim() as claimed:
        assert claimed is not None
        stored = claimed.schedule(at)

    assert stored.scheduled_at == at
    with queue.claim() as again:
        assert again is None


def test_an_exception_after_the_settlement_changes_nothing(manual: Gaffer) -> None:
    """B77 [D]."""
    queue = manual.create_queue("q")
    job = queue.insert(1)

    def settle_and_raise() -> None:
        with queue.claim() as claimed:
            assert claimed is not None
            claimed.complete("done")
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        settle_and_raise()

    assert queue.get(job.id).result == "done"


def test_a_job_is_settled_once(manual: Gaffer) -> None:
    """B77 [D]."""
    queue = manual.create_queue("q")
    queue.insert(1)

    with queue.claim() as claimed:
        assert claimed is not None
        claimed.cancel("off")
        with pytest.raises(GafferError, match="settled already"):
            claimed.complete()

    assert claimed.settled


def test_a_job_that_was_taken_away_is_told_and_does_not_come_back(
    manual: Gaffer, recorder: Recorder
) -> None:
    """B103."""
    queue = manual.create_queue("q", hooks=[recorder])
    job = queue.insert(1)

    with pytest.raises(Conflict) as caught, queue.claim():
        queue.delete(job.id)

    assert caught.value.ids == {job.id}
    assert queue.list() == []
    assert [event.job.id for event in recorder.of(JobLate)] == [job.id]


def test_a_paused_queue_gives_no_job(manual: Gaffer) -> None:
    """B157 [T]."""
    queue = manual.create_queue("q")
    queue.insert(1)
    queue.pause()

    with queue.claim() as claimed:
        assert claimed is None


def test_global_limits_count_what_is_claimed_by_hand(manual: Gaffer) -> None:
    """B52 [T]."""
    queue = manual.create_queue("q", worker=lambda job: None, **quiet(global_max_workers=1))
    queue.insert_many([1, 2])

    with queue.claim() as claimed:
        assert claimed is not None
        assert queue.poll() == 0
        with queue.claim() as second:
            assert second is None

    assert queue.poll() == 1


def test_a_job_claimed_by_hand_is_not_run_by_the_queue(gaffer_: Gaffer) -> None:
    """B57."""
    ran: list[Any] = []
    queue = gaffer_.create_queue("q", worker=lambda job: ran.append(job.payload), **quiet())
    queue.insert("by hand")

    with queue.claim() as claimed:
        assert claimed is not None
        assert queue.poll() == 0

    assert ran == []


def test_what_is_claimed_by_hand_goes_back_when_its_gaffer_stops(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    """B118."""
    gaffer_ = make_gaffer(work=False)
    queue = gaffer_.create_queue("q")
    job = queue.insert(1)
    claimed: ClaimedJob | None = queue.claim().__enter__()

    gaffer_.stop()

    stored = driver.job_get(job.id)
    assert claimed is not None
    assert stored is not None
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 0)


def test_a_job_claimed_by_hand_waits_for_its_retry_like_any(
    manual: Gaffer, harness: DriverHarness
) -> None:
    """B86 [T]."""
    queue = manual.create_queue("q", **quiet(backoff=5))
    queue.insert(1)
    with queue.claim() as claimed:
        assert claimed is not None
        claimed.fail("no")
    with queue.claim() as early:
        pass

    harness.advance(5)

    with queue.claim() as again:
        assert again is not None
        assert (early, again.attempt) == (None, 1)


def test_a_settlement_by_hand_that_storage_does_not_take_can_be_repeated(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, harness: DriverHarness
) -> None:
    """B208 [T]."""
    queue = make_gaffer(faulty, work=False).create_queue("q")
    job = queue.insert(1)

    with queue.claim() as claimed:
        assert claimed is not None
        faulty.fail("job_write", times=1, after=True)
        with pytest.raises(DriverUnavailable):
            claimed.complete("done")
        harness.advance(1)
        claimed.complete("done")

    stored = queue.get(job.id)
    assert (stored.result, stored.attempt) == ("done", 1)


def test_a_block_whose_end_storage_does_not_take_lets_go_of_its_job(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    queue = make_gaffer(faulty, work=False).create_queue("q")
    job = queue.insert(1)
    faulty.fail("job_write", times=1)

    with pytest.raises(DriverUnavailable), queue.claim():
        pass

    with queue.claim() as again:
        assert again is not None
        assert (again.id, again.attempt) == (job.id, 0)


def test_a_block_whose_end_was_taken_and_not_confirmed_has_ended_its_job(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    queue = make_gaffer(faulty, work=False).create_queue("q")
    job = queue.insert(1)
    faulty.fail("job_write", times=1, after=True)

    with pytest.raises(DriverUnavailable), queue.claim():
        pass

    with queue.claim() as again:
        assert again is None
    assert queue.get(job.id).state is JobState.COMPLETED


def test_what_a_block_could_not_end_goes_back_when_its_gaffer_stops(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, driver: Driver
) -> None:
    gaffer_ = make_gaffer(faulty, work=False)
    queue = gaffer_.create_queue("q")
    job = queue.insert(1)
    faulty.fail("job_write", times=1)
    with pytest.raises(DriverUnavailable), queue.claim():
        pass

    gaffer_.stop()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 0)


def test_a_claim_whose_answer_is_lost_costs_nobody_the_job_in_hand(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    """B57, B208 [T]."""
    queue = make_gaffer(faulty, work=False).create_queue("q", worker=lambda job: None, **quiet())
    queue.insert_many(["in hand", "lost"])

    with queue.claim() as claimed:
        assert claimed is not None
        faulty.fail("job_claim", times=1, after=True)
        with pytest.raises(DriverUnavailable):
            queue.poll()
        ran = queue.poll()
        in_hand = queue.get(claimed.id)

    assert ran == 1
    assert in_hand == claimed.job
    assert {job.state for job in queue.list()} == {JobState.COMPLETED}
