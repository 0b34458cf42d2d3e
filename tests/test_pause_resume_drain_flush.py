"""Pausing, resuming, draining and flushing a queue."""

from __future__ import annotations

from typing import Any

import pytest

from gaffer import (
    AlreadyActive,
    AlreadyPaused,
    DrainTimeout,
    FlushTimeout,
    Gaffer,
    Job,
    JobCompleted,
    JobState,
    UnknownQueue,
)
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from tests.conftest import PATIENCE, Calling, Gate, MakeGaffer, Polled, Recorder, failing, quiet


def work(job: Job) -> str:
    return "done"


def test_a_paused_queue_claims_nothing(make_gaffer: MakeGaffer, polled: Polled) -> None:
    """B157 [T]."""
    queue = make_gaffer(polled).create_queue("q", worker=work, poll_interval=0.001)
    queue.pause()
    job = queue.insert(1)

    polled.rounds("job_claim", 4)

    assert queue.get(job.id) == job


def test_running_jobs_end_while_their_queue_is_paused(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B158 [T]."""
    gate.answer = "done"
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01, hooks=[recorder]))
    job = queue.insert(1)
    gate.wait_for(1)
    queue.pause()

    gate.let()

    recorder.wait_for(JobCompleted)
    assert queue.get(job.id).result == "done"


def test_a_paused_queue_is_not_pruned_by_itself(make_gaffer: MakeGaffer, polled: Polled) -> None:
    """B160 [T]."""
    prune: Any = {"interval": 0.001, "max_age": {"*": 0}}
    paused = make_gaffer(polled).create_queue("q", worker=work, poll_interval=None)
    paused.pause()
    job = paused.insert(1)

    paused.update(prune=prune)
    polled.rounds("queue_paused", 4)

    assert paused.get(job.id) == job
    assert "job_prune" not in polled.calls[polled.calls.index("job_write") :]


def test_a_paused_queue_is_pruned_when_asked(manual: Gaffer) -> None:
    """B160 [T], B176 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet())
    job = queue.insert(1)
    queue.poll()
    queue.pause()

    assert queue.prune() == [job.id]


def test_a_queue_is_paused_and_resumed_once(manual: Gaffer) -> None:
    """B161 [T]."""
    queue = manual.create_queue("q")

    with pytest.raises(AlreadyActive) as active:
        queue.resume()
    queue.pause()
    with pytest.raises(AlreadyPaused) as paused:
        queue.pause()
    queue.resume()

    assert (active.value.queue, paused.value.queue) == ("q", "q")
    assert queue.info().status == "active"


def test_resume_claims_at_once(gaffer_: Gaffer, recorder: Recorder) -> None:
    """B162."""
    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[recorder]))
    queue.pause()
    job = queue.insert(1)

    queue.resume()

    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job.id == job.id


def test_the_status_says_whether_a_queue_is_paused(manual: Gaffer) -> None:
    """B163 [T]."""
    queue = manual.create_queue("q")
    statuses = [queue.info().status]

    queue.pause()
    statuses.append(queue.info().status)
    queue.resume()
    statuses.append(queue.info().status)

    assert statuses == ["active", "paused", "active"]


def test_a_pause_outlives_its_process(make_gaffer: MakeGaffer) -> None:
    """B164."""
    before = make_gaffer()
    before.create_queue("q").pause()
    before.stop()

    after = make_gaffer(work=False).create_queue("q", worker=work, **quiet())

    assert after.info().status == "paused"


@pytest.mark.parametrize("verb", ["pause", "resume", "drain", "flush", "poll", "info", "prune"])
def test_an_unknown_queue_is_named(verb: str, manual: Gaffer) -> None:
    """B165, B20."""
    with pytest.raises(UnknownQueue) as caught:
        getattr(manual, verb)("nowhere")

    assert caught.value.queue == "nowhere"


def test_drain_waits_for_the_running_jobs_and_claims_no_more(gaffer_: Gaffer, gate: Gate) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    first, second = queue.insert_many([1, 2])
    gate.wait_for(1)
    with pytest.raises(DrainTimeout):
        queue.drain(0.05)

    gate.let()
    queue.drain(PATIENCE)

    assert queue.get(first.id).state is JobState.COMPLETED
    assert queue.get(second.id).state is JobState.AVAILABLE
    assert (queue.info().status, queue.info().workers.active) == ("paused", 0)


def test_a_drained_queue_claims_again_after_resume(gaffer_: Gaffer, gate: Gate) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    queue.drain()
    queue.insert(1)
    before = list(gate.entered)

    queue.resume()

    assert before == []
    assert [job.payload for job in gate.wait_for(1)] == [1]


def test_drain_names_the_jobs_that_still_run(gaffer_: Gaffer, gate: Gate) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, max_workers=2, poll_interval=0.01)
    jobs = queue.insert_many([1, 2])
    gate.wait_for(2)

    with pytest.raises(DrainTimeout) as caught:
        queue.drain(0.05)

    assert (caught.value.queue, caught.value.timeout) == ("q", 0.05)
    assert set(caught.value.ids) == {job.id for job in jobs}
    assert all(str(job.id) in str(caught.value) for job in jobs)


def test_a_job_that_drains_its_own_queue_is_told_at_once(gaffer_: Gaffer) -> None:
    """B120 [D]."""

    def drain(job: Job) -> list[str]:
        with pytest.raises(DrainTimeout) as caught:
            gaffer_.drain("q", PATIENCE)
        return [str(id) for id in caught.value.ids]

    queue = gaffer_.create_queue("q", worker=drain, **quiet())
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).result == [str(job.id)]


def test_flush_waits_until_nothing_is_left_to_do(gaffer_: Gaffer) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=failing("again"), **quiet(backoff=0, max_workers=2))
    jobs = queue.insert_many(range(5))

    queue.flush(PATIENCE)

    assert {queue.get(job.id).state for job in jobs} == {JobState.COMPLETED}


def test_flush_of_an_empty_queue_returns_at_once(manual: Gaffer) -> None:
    """B120 [D]."""
    queue = manual.create_queue("q")

    queue.flush(0)

    assert queue.list() == []


def test_flush_waits_for_what_other_processes_run(make_gaffer: MakeGaffer, gate: Gate) -> None:
    """B120 [D]."""
    here, there = make_gaffer(work=False), make_gaffer()
    queue = here.create_queue("q")
    job = queue.insert(1)
    there.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    gate.wait_for(1)
    flushing = Calling(lambda: queue.flush(PATIENCE))

    early = flushing.returned
    gate.let()
    flushing.result()

    assert not early
    assert queue.get(job.id).state is JobState.COMPLETED


def test_flush_looks_at_storage_now_and_then_only(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    queue = make_gaffer(faulty).create_queue("q", worker=work, **quiet(poll_interval=0.01))
    queue.insert(1, delay=60)

    with pytest.raises(FlushTimeout):
        queue.flush(0.6)

    assert faulty.calls.count("job_list") <= 4


def test_flush_counts_what_is_left(gaffer_: Gaffer, gate: Gate, harness: DriverHarness) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    queue.insert(1)
    gate.wait_for(1)
    queue.insert_many([2, 3])
    queue.insert(4, delay=60)

    with pytest.raises(FlushTimeout) as caught:
        queue.flush(0.05)

    assert (caught.value.available, caught.value.executing) == (3, 1)
    assert (caught.value.queue, caught.value.paused) == ("q", False)


def test_flush_says_that_the_queue_is_paused(gaffer_: Gaffer) -> None:
    """B120 [D]."""
    queue = gaffer_.create_queue("q", worker=work, **quiet())
    queue.pause()
    queue.insert(1)

    with pytest.raises(FlushTimeout, match="paused") as caught:
        queue.flush(0.05)

    assert (caught.value.available, caught.value.paused) == (1, True)


def test_a_job_that_flushes_its_own_queue_is_told_at_once(gaffer_: Gaffer) -> None:
    """B120 [D]."""

    def flush(job: Job) -> list[int]:
        with pytest.raises(FlushTimeout) as caught:
            gaffer_.flush("q")
        return [caught.value.available, caught.value.executing]

    queue = gaffer_.create_queue("q", worker=flush, **quiet())
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).result == [0, 1]


def test_a_job_may_flush_another_queue(gaffer_: Gaffer) -> None:
    """B120 [D]."""
    inner = gaffer_.create_queue("inner", worker=work, **quiet())

    def outer(job: Job) -> str:
        step = inner.insert(1)
        inner.flush(PATIENCE)
        return str(inner.get(step.id).result)

    queue = gaffer_.create_queue("outer", worker=outer, **quiet())
    job = queue.insert(1)

    queue.poll()

    assert queue.get(job.id).result == "done"
