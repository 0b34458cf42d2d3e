"""Jobs, hooks and callbacks that wait for results: what would never end is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer import (
    Gaffer,
    Job,
    ResultFailed,
    ResultFuture,
    ResultTimeout,
)
from gaffer_driver_memory import MemoryDriver
from tests.conftest import PATIENCE, MakeGaffer, quiet
from tests.rig.waiting import until


@pytest.fixture
def driver(elsewhere: MemoryDriver) -> MemoryDriver:
    """Give one storage only: what is refused here, no storage decides."""
    return elsewhere


def double(job: Job) -> Any:
    return 2 * job.payload


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
