"""What a stranger tries: odd input, odd order, odd workers; none of it may do harm."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gaffer
from gaffer import Gaffer, InvalidDriver, InvalidJob, InvalidQueueConf, JobState
from gaffer.asking import Asking
from gaffer.driver import JobFilter
from gaffer.hand import ClaimedJob
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver, Storage
from tests.conftest import Gate, MakeGaffer, Recorder, quiet

KEEP: Any = {"interval": None}


def test_every_verb_is_shielded_when_a_job_calls_it() -> None:
    """F31: what a verb holds must not be torn apart by a timeout."""
    exempt = {"get_queue", "list_queues", "task", "tasks"}  # one step in a dict, or a look at it
    verbs = {name: verb for name, verb in vars(gaffer).items() if hasattr(verb, "__self__")}
    by_hand = {name: vars(ClaimedJob)[name] for name in ("complete", "fail", "cancel", "schedule")}

    bare = {n for n, verb in {**verbs, **by_hand}.items() if not hasattr(verb, "__wrapped__")}

    assert bare == exempt


def test_a_job_that_waits_for_another_queue_is_interrupted_and_that_queue_goes_on(
    make_gaffer: MakeGaffer, recorder: Recorder
) -> None:
    """F31."""
    app = make_gaffer(hooks=[recorder])
    other = app.create_queue("other", worker=lambda job: "well", poll_interval=0.01, prune=KEEP)
    other.insert("far", delay=3600)
    waiter = app.create_queue(
        "waiter", worker=lambda job: other.flush(), **quiet(timeout=0.05, interrupt=True)
    )
    job = waiter.insert(1, max_attempts=1)

    waiter.poll()
    again = other.insert("soon")
    [completed] = recorder.wait_for(gaffer.JobCompleted)

    assert waiter.get(job.id).errors[0].error["type"] == "timeout"
    assert completed.job.id == again.id


def test_a_stuck_queue_goes_on_when_it_is_allowed_more_abandoned_threads(
    make_gaffer: MakeGaffer, gate: Gate, recorder: Recorder
) -> None:
    app = make_gaffer(hooks=[recorder])
    options: dict[str, Any] = {"poll_interval": 0.01, "prune": KEEP, "max_attempts": 1}
    queue = app.create_queue("q", worker=gate, timeout=0.05, max_abandoned=0, **options)
    queue.insert(1)
    recorder.wait_for(gaffer.QueueStuck)

    queue.update(max_abandoned=10)
    second = queue.insert(2)

    assert [job.id for event in recorder.wait_for(gaffer.JobsClaimed, 2) for job in event.jobs][
        1
    ] == second.id


def test_an_answer_that_nobody_waits_for_any_more_is_undone() -> None:
    """The caller gave up while the call was being made, or after it was."""
    undone: list[str] = []
    entered, go = threading.Event(), threading.Event()

    def call() -> str:
        entered.set()
        go.wait(5)
        return "value"

    asking = Asking(call)
    thread = threading.Thread(target=asking)
    thread.start()
    entered.wait(5)
    asking.give_up(undone.append)
    go.set()
    thread.join(5)
    made = Asking(lambda: "made")
    made()
    made.give_up(undone.append)
    never = Asking(lambda: "never")
    never.give_up(undone.append)
    never()

    assert undone == ["value", "made"]


def test_a_job_claimed_for_a_caller_who_has_gone_is_released(manual: Gaffer) -> None:
    queue = manual.create_queue("q")
    job = queue.insert(1)
    claims = manual._queues["q"].runner.intake.claims

    claims.put_back(claims.by_hand(list))

    assert queue.get(job.id).state is JobState.AVAILABLE
    with queue.claim() as claimed:
        assert claimed is not None


def test_a_driver_with_a_bug_does_not_keep_a_stop_from_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty, healthy = FaultyDriver(MemoryDriver()), FaultyDriver(MemoryDriver())
    app = Gaffer()
    for name, driver in (("a", faulty), ("b", healthy)):
        app.ensure_queue(name, worker=lambda job: None, driver=driver, **quiet()).insert(1)
        app.poll(name)
    faulty.fail("node_leave", times=None, error=ZeroDivisionError("a bug"))

    with caplog.at_level(logging.ERROR):
        app.stop()

    assert "node_leave" in healthy.calls
    assert app.list_queues() == {}


def test_the_name_of_a_gaffer_is_in_its_nodes() -> None:
    storage = Storage()
    with Gaffer(MemoryDriver(storage=storage), name="web", work=False) as app:
        queue = app.ensure_queue("q")
        queue.insert(1)
        with queue.claim():
            assert [node.startswith("web-") for node in storage.nodes] == [True]


def test_a_handle_gets_as_its_gaffer_does(manual: Gaffer) -> None:
    queue = manual.create_queue("q")
    job = queue.insert(1)
    queue.delete(job.id)

    assert queue.get(job.id, default=None) is None
    assert queue.get(job.id, "gone") == "gone"


def test_a_claim_block_may_be_used_again(manual: Gaffer) -> None:
    queue = manual.create_queue("q")
    queue.insert(1)
    block = queue.claim()

    with block as first:
        assert first is not None
        assert copy.copy(first).id == first.id
    with block as second:
        assert second is None


async def later() -> None:
    """Never run."""


def steps() -> Iterator[int]:
    """Never run."""
    yield 1


class Worse(gaffer.Fail):
    """A failure of somebody's own kind."""


@pytest.mark.parametrize("give", [later, steps, lambda: gaffer.Fail, lambda: gaffer.Complete])
def test_what_never_ran_is_not_completed(manual: Gaffer, give: Callable[[], Any]) -> None:
    """B73."""
    queue = manual.create_queue("q", worker=lambda job: give(), **quiet(max_attempts=1))
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).state is JobState.FAILED
    assert queue.get(job.id).errors[0].error["type"] == "TypeError"


def test_a_subclass_of_an_outcome_is_that_outcome(manual: Gaffer) -> None:
    queue = manual.create_queue("q", worker=lambda job: Worse("so"), **quiet(max_attempts=1))
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).errors[0].error == "so"


@pytest.mark.parametrize("name", [[], None, 5, {}, "", "\0", "\ud800"])
@pytest.mark.parametrize(
    "verb", ["insert", "get_queue", "info", "claim", "create_queue", "ensure_queue", "delete_queue"]
)
def test_a_name_that_is_none_gets_a_clear_error(manual: Gaffer, verb: str, name: Any) -> None:
    arguments = [1] if verb == "insert" else []

    with pytest.raises(InvalidQueueConf, match=r"1 to 200 characters|NUL|surrogates"):
        getattr(manual, verb)(name, *arguments)


def test_settings_of_the_wrong_type_get_a_clear_error(manual: Gaffer) -> None:
    with pytest.raises(InvalidQueueConf, match=r"work=.*True or False"):
        manual.configure(work="yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidDriver, match="a name or a URL"):
        manual.configure(driver=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidQueueConf, match="coroutine"):
        manual.create_queue("q", hooks=[lambda event: None, hook])


async def hook(event: object) -> None:
    """Never run."""


def test_a_bad_schedule_by_hand_loses_nothing(manual: Gaffer) -> None:
    queue = manual.create_queue("q")
    queue.insert(1)

    with queue.claim() as job:
        assert job is not None
        with pytest.raises(InvalidJob, match="either at or delay"):
            job.schedule()
        stored = job.complete("done")

    assert stored.result == "done"


def test_what_has_gone_leaves_nothing_in_the_memory_driver() -> None:
    """F43: neither pruned jobs nor links of a chain that were deleted behind a waiting head."""
    storage = Storage()
    with Gaffer(MemoryDriver(storage=storage), work=False) as app:
        queue = app.ensure_queue("q", worker=lambda job: None, max_workers=100)
        queue.insert("head", chain="c", delay=3600)
        for _ in range(10):
            behind = queue.insert_many(range(100), chain="c")
            queue.insert_many(range(100))
            queue.poll()
            for job in behind:
                queue.delete(job.id)
            queue.prune()
        index = storage.queues["q"]
        entries = len(index._ready) + sum(map(len, index._ended.values()))
        chained = len(index._chains["c"].waiting)

        assert [job.payload for job in queue.list()] == ["head"]
        assert (len(storage.jobs), len(storage.holders)) == (1, 0)
        assert entries == 0
        assert chained < 250
        assert queue.conf.driver.job_list(JobFilter(queue="q")) == queue.list()
