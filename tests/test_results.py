"""Waiting for results: futures of jobs that end here or elsewhere, well or not at all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, as_completed, wait
from typing import Any
from uuid import UUID, uuid4

import pytest

import gaffer
from gaffer import (
    Cancel,
    Conflict,
    Fail,
    Gaffer,
    InvalidJob,
    InvalidQueueConf,
    Job,
    JobState,
    Queue,
    ResultCancelled,
    ResultError,
    ResultFailed,
    ResultFuture,
    ResultGone,
    ResultTimeout,
    Stopped,
    UnknownQueue,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import PATIENCE, Gate, MakeGaffer, failing, quiet
from tests.rig.waiting import threads, took, until


def double(job: Job) -> Any:
    return 2 * job.payload


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

    with pytest.raises(ResultFailed, match="attempt 2 of 2: 'last'") as raised:
        future.result(PATIENCE)
    assert [error.error for error in raised.value.errors] == ["last", "first"]
    assert raised.value.job is not None
    assert (raised.value.queue, raised.value.id) == ("q", future.id)
    assert raised.value.job.state is JobState.FAILED
    assert future.exception() is raised.value


def test_an_exception_of_the_worker_is_named_in_one_line(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=lambda job: {}["missing"], **quiet(max_attempts=1))
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
    ("worker", "error"),
    [(lambda job: Fail("no"), ResultFailed), (lambda job: Cancel("no"), ResultCancelled)],
)
def test_what_ended_badly_elsewhere_raises(
    here: Queue, there: Callable[..., Queue], worker: Any, error: type[ResultError]
) -> None:
    future = here.submit(1, max_attempts=1)

    there(worker).poll()

    with pytest.raises(error, match="'no'"):
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


# -- how long --------------------------------------------------------------------------------------


def test_a_timeout_leaves_the_job_and_the_future_alone(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=double, **quiet())
    future = queue.submit(1)

    with took(0.04, 5), pytest.raises(ResultTimeout, match=r"not ended after 0\.05 s") as raised:
        future.result(0.05)
    with pytest.raises(TimeoutError):
        queue.result(future.id, timeout=0)
    queue.poll()

    assert (raised.value.queue, raised.value.id, raised.value.timeout) == ("q", future.id, 0.05)
    assert future.result(PATIENCE) == 2


def test_a_wait_that_timed_out_is_not_looked_for_any_more(here: Queue) -> None:
    job = here.insert(1)

    with pytest.raises(ResultTimeout):
        here.result(job, timeout=0.01)

    assert not here._gaffer._results


def test_a_timeout_that_is_no_duration_is_refused(here: Queue) -> None:
    with pytest.raises(InvalidQueueConf, match="timeout"):
        here.result(uuid4(), timeout=-1)


def test_wait_returns_with_the_first_that_ends(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=double, **quiet())
    first, second = queue.submit(1), queue.submit(2)

    queue.poll()
    done, pending = wait([first, second], PATIENCE, return_when=FIRST_COMPLETED)

    assert (done, pending) == ({first}, {second})


def test_a_stop_tells_what_has_ended_and_ends_the_other_waits(
    make_gaffer: MakeGaffer, gate: Gate
) -> None:
    app = make_gaffer()
    queue = app.create_queue("q", worker=gate, max_workers=2, **quiet(poll_interval=0.01))
    gate.answer = "well"
    running, scheduled = queue.submit(1), queue.submit(2, delay=60)
    gate.wait_for(1)
    gate.let()

    app.stop()

    assert running.result(0) == "well"
    with pytest.raises(Stopped):
        scheduled.result(0)
    with pytest.raises(Stopped):
        queue.submit(3)
    assert threads("gaffer:results") == []


def test_a_gaffer_that_was_started_again_waits_again(deaf: Gaffer) -> None:
    deaf.create_queue("q", **quiet()).submit(1)
    deaf.stop()
    deaf.start()
    queue = deaf.create_queue("q", worker=double, **quiet())

    job = queue.submit(1)

    with pytest.raises(ResultTimeout):
        job.result(0)


# -- cancelling ------------------------------------------------------------------------------------


def test_cancelling_the_future_cancels_a_job_that_has_not_begun(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", worker=double, **quiet())
    future, other = queue.submit(1), queue.submit(2, delay=60)
    same = queue.future(future.id)
    called: list[Any] = []
    future.add_done_callback(called.append)

    assert future.cancel() is True

    assert queue.get(future.id).state is JobState.CANCELLED
    assert future.cancelled()
    assert future.cancel() is True
    assert called == [future]
    assert wait([future, other], PATIENCE, return_when=FIRST_COMPLETED).done == {future}
    assert next(as_completed([future], PATIENCE)) is future
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(ResultCancelled):
        same.result(PATIENCE)


def test_a_cancel_wakes_who_waits(deaf: Gaffer) -> None:
    queue = deaf.create_queue("q", **quiet())
    future = queue.submit(1)
    threading.Timer(0.02, future.cancel).start()

    done, _ = wait([future], PATIENCE)

    assert done == {future}


def test_a_job_that_executes_or_has_ended_is_not_cancelled(
    make_gaffer: MakeGaffer, gate: Gate
) -> None:
    queue = make_gaffer().create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    future = queue.submit(1)
    gate.wait_for(1)

    running = future.cancel()
    gate.let()

    assert running is False
    assert future.result(PATIENCE) is None
    assert future.cancel() is False


def test_a_cancel_that_storage_does_not_take_leaves_the_wait(
    here: Queue, there: Callable[..., Queue], faulty: FaultyDriver
) -> None:
    future = here.submit(1)
    faulty.fail("job_write", times=None)

    assert future.cancel() is False
    faulty.heal()
    there().poll()

    assert future.result(PATIENCE) == 2


# -- waiting for oneself ---------------------------------------------------------------------------


def waiting_for(app: Gaffer, make: Callable[[Job], ResultFuture[Any]], **options: Any) -> Any:
    """Run a job that waits for what *make* returns; return the error that this attempt had."""
    queue = app.create_queue(
        "q", worker=lambda job: make(job).result(PATIENCE), **quiet(max_attempts=1, **options)
    )
    job = queue.insert("outer", chain="c")
    queue.poll()
    return queue.get(job.id).errors[0].error["type"].rpartition(".")[-1]


def test_a_job_that_waits_for_itself_is_refused(manual: Gaffer) -> None:
    said = waiting_for(manual, lambda job: manual.future("q", job.id))

    assert said == "ResultTimeout"


def test_a_job_that_waits_for_one_behind_it_in_its_chain_is_refused(manual: Gaffer) -> None:
    said = waiting_for(manual, lambda job: manual.submit("q", 1, chain="c"), max_workers=2)

    assert said == "ResultTimeout"


def test_a_job_that_waits_in_a_queue_for_one_at_a_time_is_refused(manual: Gaffer) -> None:
    said = waiting_for(
        manual, lambda job: manual.submit("q", 1), max_workers=2, global_max_workers=1
    )

    assert said == "ResultTimeout"


def test_what_has_ended_may_be_waited_for_even_in_its_chain(manual: Gaffer) -> None:
    ended: list[UUID] = []
    queue = manual.create_queue(
        "q",
        worker=lambda job: job.payload or queue.result(ended[0], timeout=PATIENCE),
        **quiet(max_attempts=1, global_max_workers=1),
    )
    ended.append(queue.insert("first", chain="c").id)
    outer = queue.insert(None, chain="c")

    queue.poll()
    queue.poll()

    assert queue.get(outer.id).result == "first"


def test_a_job_may_wait_for_one_of_another_queue(gaffer_: Gaffer) -> None:
    options = quiet(poll_interval=0.01)
    inner = gaffer_.create_queue("inner", worker=double, **options)
    outer = gaffer_.create_queue("outer", worker=lambda job: inner.submit(4).result(), **options)

    assert outer.submit(None).result(PATIENCE) == 8


def test_a_job_that_waits_is_interrupted_at_its_timeout(make_gaffer: MakeGaffer) -> None:
    app = make_gaffer()
    never = app.create_queue("never", **quiet())
    queue = app.create_queue(
        "q",
        worker=lambda job: never.submit(1).result(),
        **quiet(timeout=0.05, interrupt=True, max_attempts=1, poll_interval=0.01),
    )

    with pytest.raises(ResultFailed, match="timeout"):
        queue.submit(1).result(PATIENCE)

    until(lambda: queue.info().workers.abandoned == 0)


def test_a_hook_that_waits_for_its_queue_and_a_callback_that_waits_are_refused(
    make_gaffer: MakeGaffer,
) -> None:
    said: list[Any] = []

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted) and not said:
            said.append(scheduled.exception(PATIENCE) if scheduled.done() else refusal(scheduled))

    app = make_gaffer(hooks=[hook])
    queue = app.create_queue("q", worker=double, **quiet(poll_interval=0.01))
    scheduled = queue.submit(0, delay=60)
    future = queue.submit(1)
    future.add_done_callback(lambda future: said.append(refusal(scheduled)))

    future.result(PATIENCE)

    until(lambda: len(said) == 2)
    assert said == [True, True]


def refusal(future: ResultFuture[Any]) -> bool:
    """Return whether a wait is refused because it would never end."""
    with pytest.raises(ResultTimeout) as raised:
        future.result()
    return raised.value.itself


# -- what is refused, and what does no harm --------------------------------------------------------


def test_a_job_of_a_transaction_that_is_open_is_not_submitted(here: Queue) -> None:
    options: Any = {"connection": object()}

    with pytest.raises(InvalidJob, match="after the commit") as raised:
        here.submit(1, **options)

    assert raised.value.keys == {"connection"}
    assert here.list() == []


def test_a_submit_that_inserts_nothing_leaves_nobody_waiting(here: Queue) -> None:
    job = here.insert(1)
    options: Any = {"colour": "red"}

    with pytest.raises(Conflict):
        here.submit(2, id=job.id)
    with pytest.raises(InvalidJob, match="colour"):
        here.submit(2, **options)
    with pytest.raises(gaffer.InvalidPayload):
        here.submit(object())

    assert not here._gaffer._results


def test_options_and_ids_of_ones_own_are_those_of_an_insert(here: Queue) -> None:
    first, second = uuid4(), uuid4()

    futures = [
        here.submit(1, id=first, kind="k", priority=7),
        here.submit(gaffer.NewJob(2, id=second, chain="c")),
    ]

    assert [future.id for future in futures] == [first, second]
    assert [future.queue for future in futures] == ["q", "q"]
    assert (here.get(first).kind, here.get(first).priority) == ("k", 7)
    assert here.get(second).chain == "c"


@pytest.mark.parametrize("odd", ["id", None, 5, object()])
def test_what_is_neither_a_job_nor_an_id_is_refused(here: Queue, odd: Any) -> None:
    with pytest.raises(InvalidJob):
        here.future(odd)


def test_an_unknown_queue_is_refused(manual: Gaffer) -> None:
    with pytest.raises(UnknownQueue):
        manual.submit("none", 1)
    with pytest.raises(UnknownQueue):
        manual.result("none", uuid4())


def test_a_callback_that_raises_or_exits_does_no_harm(
    deaf: Gaffer, caplog: pytest.LogCaptureFixture
) -> None:
    queue = deaf.create_queue("q", worker=double, max_workers=3, **quiet())
    futures = [queue.submit(number) for number in range(3)]

    def leave(future: Any) -> None:
        raise SystemExit

    def fail(future: Any) -> None:
        raise ValueError("a bug")

    futures[0].add_done_callback(leave)
    futures[1].add_done_callback(fail)

    queue.poll()

    assert [future.result(PATIENCE) for future in futures] == [0, 2, 4]
    assert not deaf._results


def test_nobody_who_waits_asks_nothing_and_has_no_thread(
    manual: Gaffer, faulty: FaultyDriver
) -> None:
    queue = manual.create_queue("q", worker=double, driver=faulty, **quiet())
    queue.insert(1)

    queue.poll()

    assert looks(faulty) == 0
    assert threads("gaffer:results") == []
