"""Waits for results: how long, how they are cancelled, and which are refused or do no harm."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, CancelledError, as_completed, wait
from typing import Any
from uuid import uuid4

import pytest

import gaffer
from gaffer import (
    Conflict,
    Gaffer,
    InvalidJob,
    InvalidQueueConf,
    Job,
    JobState,
    Queue,
    ResultCancelled,
    ResultFuture,
    ResultTimeout,
    Stopped,
    UnknownQueue,
)
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from tests.conftest import PATIENCE, Gate, MakeGaffer, quiet
from tests.rig.waiting import threads, took, until


def double(job: Job) -> Any:
    return 2 * job.payload


@pytest.fixture
def deaf(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> Gaffer:
    """Give a Gaffer that learns what has ended from itself only, and works when polled."""
    faulty.fail("job_ended", times=None)
    return make_gaffer(faulty, work=False)


@pytest.fixture
def here(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> Queue:
    """Give a queue whose jobs are waited for here."""
    return make_gaffer(faulty, work=False).create_queue("q", **quiet())


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
    queue = app.create_queue("q", worker=gate, **quiet(max_workers=2, poll_interval=0.01))
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


def test_a_stop_does_not_wait_for_a_storage_that_hangs(elsewhere: MemoryDriver) -> None:
    hanging = FaultyDriver(elsewhere)
    app = Gaffer(hanging, work=False)
    with hanging.block("job_ended") as hold:
        future = app.create_queue("q", **quiet()).submit(1)
        assert hold.entered.wait(PATIENCE)

        with took(0.5, 9):
            app.stop()

        with pytest.raises(Stopped):
            future.result(0)


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


def test_a_future_that_hears_of_its_own_cancel_is_cancelled_all_the_same(
    make_gaffer: MakeGaffer,
) -> None:
    futures: list[ResultFuture[Any]] = []
    # The hook keeps who cancels until the other thread has told the outcome.
    app = make_gaffer(work=False, hooks=[lambda event: heard(event)])
    queue = app.create_queue("q", **quiet())

    def heard(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCancelled):
            until(futures[0].done)

    futures.append(queue.submit(1))

    assert futures[0].cancel() is True
    assert futures[0].cancelled()


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
    deaf: Gaffer, faulty: FaultyDriver
) -> None:
    queue = deaf.create_queue("q", worker=double, **quiet())
    future = queue.submit(1)
    faulty.fail("job_write", times=None)

    assert future.cancel() is False
    faulty.heal()
    queue.poll()

    assert future.result(PATIENCE) == 2


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
    queue = deaf.create_queue("q", worker=double, **quiet(max_workers=3))
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

    assert "job_ended" not in faulty.calls
    assert threads("gaffer:results") == []
