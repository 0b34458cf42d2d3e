"""Waiting for results: futures of jobs that end here or elsewhere, well or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed, wait
from typing import Any
from uuid import uuid4

import pytest

from gaffer import (
    Cancel,
    Fail,
    Gaffer,
    InvalidJob,
    Job,
    JobState,
    Queue,
    ResultCancelled,
    ResultError,
    ResultFailed,
    ResultGone,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import PATIENCE, MakeGaffer, failing, quiet
from tests.rig.waiting import threads, until


def double(job: Job) -> Any:
    return 2 * job.payload


def missing(job: Job) -> Any:
    return dict[str, Any]()["missing"]


def looks(driver: FaultyDriver) -> int:
    """Return how often storage was asked what has ended."""
    return driver.calls.count("job_ended")


@pytest.fixture
def deaf(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> Gaffer:
    """Give a Gaffer that learns what has ended from itself only, and works when polled."""
    faulty.fail("job_ended", times=None)
    return make_gaffer(faulty, work=False)


@pytest.fixture
def here(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> Queue:
    """Give a queue whose jobs are waited for here."""
    return make_gaffer(faulty, work=False).create_queue("q", **quiet())


@pytest.fixture
def there(make_gaffer: MakeGaffer, other: Driver) -> Callable[..., Queue]:
    """Give a factory of the same queue elsewhere, worked when it is polled."""

    def make(worker: Any = double, **options: Any) -> Queue:
        return make_gaffer(other, work=False).create_queue("q", worker=worker, **quiet(**options))

    return make


# -- what ends here --------------------------------------------------------------------------------


def test_a_job_that_is_worked_here_gives_its_result_with_the_defaults(gaffer_: Gaffer) -> None:
    queue = gaffer_.create_queue("q", worker=double)

    futures = [queue.submit(number) for number in range(20)]

    assert [future.result(PATIENCE) for future in futures] == list(range(0, 40, 2))
    assert len(threads("gaffer:results")) == 1


def test_what_ends_here_is_told_without_asking_storage_and_although_it_is_pruned(
    deaf: Gaffer,
) -> None:
    queue = deaf.create_queue("q", worker=double, **quiet())
    future = queue.submit(21)

    queue.poll()
    pruned = queue.prune()

    assert pruned == [future.id]
    assert future.result(PATIENCE) == 42


def test_retries_are_waited_through(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=failing("one", "two"), **quiet(backoff=0.0))
    future = queue.submit(None, max_attempts=3)

    queue.poll()
    queue.poll()
    undecided = future.done()
    queue.poll()

    assert not undecided
    assert future.result(PATIENCE) == "done"


def test_a_job_that_failed_for_good_raises_with_its_errors(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=failing("first", "last"), **quiet(backoff=0.0))
    future = queue.submit(None, max_attempts=2)

    queue.poll()
    queue.poll()

    with pytest.raises(ResultFailed, match="attempt 2 of 2: last") as raised:
        future.result(PATIENCE)
    assert [error.error for error in raised.value.errors] == ["last", "first"]
    assert raised.value.job is not None
    assert (raised.value.queue, raised.value.id) == ("q", future.id)
    assert raised.value.job.state is JobState.FAILED
    assert future.exception() is raised.value


def test_an_exception_of_the_worker_is_named_in_one_line(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=missing, **quiet(max_attempts=1))
    future = queue.submit(None)

    queue.poll()

    assert str(future.exception(PATIENCE)).endswith("failed in attempt 1 of 1: KeyError: 'missing'")


def test_a_job_that_its_worker_cancels_raises_with_the_reason(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=lambda job: Cancel({"why": "old"}), **quiet())
    future = queue.submit(None)

    queue.poll()

    with pytest.raises(ResultCancelled, match="old") as raised:
        future.result(PATIENCE)
    assert raised.value.job is not None
    assert raised.value.job.result == {"why": "old"}
    assert not future.cancelled()


def test_a_job_claimed_by_hand_is_waited_for_like_any_other(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", **quiet())
    future = queue.submit(None)

    with queue.claim() as claimed:
        assert claimed is not None
        claimed.complete("by hand")

    assert future.result(PATIENCE) == "by hand"


def test_each_future_of_a_job_has_a_result_of_its_own(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=lambda job: ["value"], **quiet())
    first = queue.submit(None)
    second = queue.future(first.id)

    queue.poll()
    first.result(PATIENCE).append("changed")

    assert second.result(PATIENCE) == ["value"]


# -- what ends elsewhere ---------------------------------------------------------------------------


def test_a_job_that_ends_elsewhere_gives_its_result(
    here: Queue, there: Callable[..., Queue]
) -> None:
    future = here.submit(4)

    there().poll()

    assert future.result(PATIENCE) == 8


def test_a_job_inserted_elsewhere_is_waited_for_by_itself_or_by_its_id(
    here: Queue, there: Callable[..., Queue]
) -> None:
    queue = there()
    first, second = queue.insert_many([1, 2])
    futures = [here.future(first), here.future(second.id)]

    queue.poll()
    queue.poll()

    assert [future.result(PATIENCE) for future in futures] == [2, 4]
    assert here.result(first, timeout=PATIENCE) == 2
    assert here.result(second.id, timeout=PATIENCE) == 4


def test_a_job_given_as_it_ended_asks_nobody(
    here: Queue, there: Callable[..., Queue], faulty: FaultyDriver
) -> None:
    job = there().insert(3)
    there().poll()
    ended = here.get(job.id)
    before = list(faulty.calls)

    value = here.result(ended)

    assert value == 6
    assert faulty.calls == before


@pytest.mark.parametrize(
    ("worker", "error", "says"),
    [
        (lambda job: Fail("no"), ResultFailed, "1 of 1: no$"),
        (lambda job: Cancel("no"), ResultCancelled, "'no'"),
    ],
)
def test_what_ended_badly_elsewhere_raises(
    here: Queue, there: Callable[..., Queue], worker: Any, error: type[ResultError], says: str
) -> None:
    future = here.submit(1, max_attempts=1)

    there(worker).poll()

    with pytest.raises(error, match=says):
        future.result(PATIENCE)


def test_a_job_that_another_process_cancels_raises(
    here: Queue, there: Callable[..., Queue]
) -> None:
    future = here.submit(1)

    there().cancel(future.id)

    with pytest.raises(ResultCancelled, match="cancelled; reason: None"):
        future.result(PATIENCE)


def test_two_hundred_jobs_are_asked_for_together(
    here: Queue, there: Callable[..., Queue], faulty: FaultyDriver
) -> None:
    queue = there(max_workers=50)
    futures = [here.submit(number) for number in range(200)]
    before = len(faulty.calls)

    for _ in range(4):
        queue.poll()
    results = [future.result() for future in as_completed(futures, PATIENCE)]

    assert sorted(results) == list(range(0, 400, 2))
    calls = faulty.calls[before:]
    assert set(calls) <= {"job_ended"}
    assert len(calls) < 100


def test_more_jobs_than_are_asked_for_at_once_are_all_told(
    here: Queue, there: Callable[..., Queue]
) -> None:
    jobs = there(max_workers=1500).insert_many(range(1200))
    futures = [here.future(job) for job in jobs]

    for job in jobs[::400]:
        there().cancel(job.id)

    done = wait([futures[0], futures[400], futures[800]], PATIENCE).done
    assert {type(future.exception()) for future in done} == {ResultCancelled}
    assert not futures[1].done()


def test_a_storage_that_is_away_ends_no_wait_and_is_logged_once(
    here: Queue,
    there: Callable[..., Queue],
    faulty: FaultyDriver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "gaffer.results")
    future = here.submit(5)
    faulty.fail("job_ended", times=None)
    there().poll()

    before = looks(faulty)
    until(lambda: looks(faulty) >= before + 1)
    undecided = future.done()
    faulty.heal()

    assert future.result(PATIENCE) == 10
    assert not undecided
    said = [record.getMessage() for record in caplog.records if "waits go on" in record.message]
    assert len(said) == 1


# -- what is gone ----------------------------------------------------------------------------------


def test_a_job_that_is_deleted_here_raises_and_says_what_to_do(here: Queue) -> None:
    future = here.submit(1)

    here.delete(future.id)

    with pytest.raises(ResultGone, match="max_age") as raised:
        future.result(PATIENCE)
    assert (raised.value.queue, raised.value.id, raised.value.job) == ("q", future.id, None)
    assert raised.value.errors == ()
    assert isinstance(raised.value, LookupError)


def test_a_job_that_ended_elsewhere_and_was_pruned_raises(
    here: Queue, there: Callable[..., Queue], faulty: FaultyDriver
) -> None:
    queue = there()
    with faulty.block("job_ended"):
        future = here.submit(1)
        queue.poll()
        queue.prune()

    with pytest.raises(ResultGone):
        future.result(PATIENCE)


def test_a_job_whose_queue_is_deleted_raises(here: Queue, there: Callable[..., Queue]) -> None:
    future = here.submit(1)
    elsewhere = there()

    elsewhere._gaffer.delete_queue("q", elsewhere.conf.driver)

    with pytest.raises(ResultGone):
        future.result(PATIENCE)


def test_a_job_that_never_was_raises(here: Queue) -> None:
    with pytest.raises(ResultGone):
        here.result(uuid4(), timeout=PATIENCE)


def test_a_job_of_another_queue_is_no_job_of_this_one(here: Queue) -> None:
    other = here._gaffer.create_queue("other", **quiet())
    job = other.insert(1)

    with pytest.raises(InvalidJob, match="is of queue 'other', not 'q'"):
        here.future(job)
    other.cancel(job.id)
    with pytest.raises(ResultGone):
        here.result(job.id, timeout=PATIENCE)


class Slow(FaultyDriver):
    """A driver whose answers to settles are long under way."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self.written, self.answer = threading.Event(), threading.Event()

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        written = super().job_write(jobs, connection)
        if any(job.state.terminal for job in jobs):
            self.written.set()
            assert self.answer.wait(PATIENCE)
        return written


def test_what_is_pruned_before_its_settle_is_answered_is_not_gone(
    make_gaffer: MakeGaffer, driver: Driver, there: Callable[..., Queue]
) -> None:
    slow = Slow(driver)
    slow.fail("job_ended", times=None)  # nobody looks before it is pruned
    app = make_gaffer(slow)
    future = app.create_queue("q", worker=double, **quiet(poll_interval=0.01)).submit(1)

    assert slow.written.wait(PATIENCE)
    pruned = there().prune()
    slow.heal()
    before = looks(slow)
    until(lambda: looks(slow) >= before + 3)
    slow.answer.set()

    assert pruned == [future.id]
    assert future.result(PATIENCE) == 2
