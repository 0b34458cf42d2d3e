"""Kinds, which choose a worker, and chains, whose jobs run one at a time."""

from __future__ import annotations

from typing import Any

import pytest

from gaffer import Cancel, Fail, Gaffer, Job, JobCompleted, JobState, Schedule
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, MakeGaffer, Recorder, quiet


class Shout:
    def perform(self, job: Job) -> str:
        return str(job.payload).upper()


def recording(ran: list[Any]) -> Any:
    return lambda job: ran.append(job.payload)


def test_the_kind_of_a_job_chooses_its_worker(manual: Gaffer) -> None:
    """B21 [T]."""
    workers: dict[str, Any] = {"shout": Shout, "count": lambda job: len(job.payload)}
    queue = manual.create_queue("q", worker=workers, **quiet(max_workers=2))
    jobs = [queue.insert("abc", kind="shout"), queue.insert("abc", kind="count")]

    queue.poll()

    assert [queue.get(job.id).result for job in jobs] == ["ABC", 3]


@pytest.mark.parametrize("kind", [None, "whisper"])
def test_an_unknown_kind_is_a_failed_attempt(kind: str | None, manual: Gaffer) -> None:
    """B69 [T], B81 [T]."""
    queue = manual.create_queue("q", worker={"shout": Shout}, **quiet())
    job = queue.insert("abc", kind=kind)

    queue.poll()

    stored = queue.get(job.id)
    [error] = stored.errors
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 1)
    assert error.error["type"] == "LookupError"
    assert repr(kind) in error.error["message"]
    assert "shout" in error.error["message"]


def test_jobs_of_a_chain_run_one_at_a_time(gaffer_: Gaffer, gate: Gate) -> None:
    """B210, B213."""
    queue = gaffer_.create_queue("q", worker=gate, max_workers=9, poll_interval=0.01)
    first, second = queue.insert_many([1, 2], chain="customer:9")
    gate.wait_for(1)

    polled = queue.poll()

    assert polled == 0
    assert queue.get(first.id).state is JobState.EXECUTING
    assert queue.get(second.id).state is JobState.AVAILABLE


def test_one_claim_takes_one_job_of_each_chain_and_all_others(manual: Gaffer) -> None:
    """B212, B213."""
    ran: list[Any] = []
    queue = manual.create_queue("q", worker=recording(ran), **quiet(max_workers=None))
    queue.insert_many(["a1", "a2"], chain="a")
    queue.insert_many(["b1", "b2"], chain="b")
    queue.insert_many(["free 1", "free 2"])

    queue.poll()

    assert sorted(ran) == ["a1", "b1", "free 1", "free 2"]


def test_a_chain_runs_in_the_order_of_its_queue(manual: Gaffer) -> None:
    """B211, B50 [T]."""
    ran: list[Any] = []
    queue = manual.create_queue("q", worker=recording(ran), **quiet(max_workers=None))
    for name, priority in [("low", -1), ("first", 0), ("high", 5), ("second", 0)]:
        queue.insert(name, priority=priority, chain="c")

    while queue.poll():
        pass

    assert ran == ["high", "first", "second", "low"]


def test_an_urgent_job_does_not_overtake_the_one_that_runs(gaffer_: Gaffer, gate: Gate) -> None:
    """B211."""
    queue = gaffer_.create_queue("q", worker=gate, max_workers=9, poll_interval=0.01)
    queue.insert("runs", chain="c")
    gate.wait_for(1)

    queue.insert("urgent", chain="c", priority=100)

    assert queue.poll() == 0
    assert [job.payload for job in gate.entered] == ["runs"]


def test_the_same_chain_in_two_queues_is_two_chains(gaffer_: Gaffer, gate: Gate) -> None:
    """B212."""
    for name in ("q", "p"):
        gaffer_.create_queue(name, worker=gate, poll_interval=0.01).insert(name, chain="c")

    began = gate.wait_for(2)

    assert {job.payload for job in began} == {"q", "p"}


@pytest.mark.parametrize("answer", [None, Fail("no"), Cancel("off")])
def test_a_chain_goes_on_when_its_head_has_ended(answer: Any, manual: Gaffer) -> None:
    """B214."""
    queue = manual.create_queue("q", worker=lambda job: answer, **quiet(max_attempts=1))
    queue.insert(1, chain="c")
    second = queue.insert(2, chain="c")
    queue.poll()

    queue.poll()

    assert queue.get(second.id).state.terminal


@pytest.mark.parametrize("verb", ["cancel", "delete"])
def test_a_chain_goes_on_when_its_head_was_taken_away(verb: str, manual: Gaffer) -> None:
    """B214."""
    ran: list[Any] = []
    queue = manual.create_queue("q", worker=recording(ran), **quiet())
    head = queue.insert("head", chain="c", delay=60)
    queue.insert("next", chain="c")
    before = queue.poll()

    getattr(queue, verb)(head.id)
    queue.poll()

    assert (before, ran) == (0, ["next"])


@pytest.mark.parametrize("answer", [Fail("no"), Schedule(delay=10)])
def test_a_chain_waits_with_its_head(answer: Any, manual: Gaffer, harness: DriverHarness) -> None:
    """B214, B86 [T]."""
    answers, ran = [answer, None, None], list[Any]()

    def work(job: Job) -> Any:
        ran.append(job.payload)
        return answers.pop(0)

    queue = manual.create_queue("q", worker=work, **quiet(backoff=10, max_workers=None))
    queue.insert_many(["head", "next"], chain="c")
    queue.poll()
    waiting = queue.poll()

    harness.advance(10)
    while queue.poll():
        pass

    assert waiting == 0
    assert ran == ["head", "head", "next"]


def test_the_next_of_a_chain_runs_at_once_when_its_head_has_ended(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B214, B61 [T]."""
    queue = gaffer_.create_queue(
        "q", worker=lambda job: None, **quiet(max_workers=9, hooks=[recorder])
    )
    queue.insert_many(list(range(5)), chain="c")

    queue.poll()

    done = recorder.wait_for(JobCompleted, 5)
    assert [event.job.payload for event in done] == list(range(5))


def test_chains_hold_over_all_processes(make_gaffer: MakeGaffer, gate: Gate) -> None:
    """B210, B57."""
    here, there = make_gaffer(), make_gaffer(work=False)
    queue = here.create_queue("q", worker=gate, max_workers=9, poll_interval=0.01)
    other = there.create_queue("q", worker=gate, **quiet())
    queue.insert_many([1, 2], chain="c")
    gate.wait_for(1)

    assert other.poll() == 0

    gate.let()
    queue.flush(10)
    assert [job.payload for job in gate.entered] == [1, 2]
