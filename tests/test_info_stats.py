"""What a queue looks like: `info` from this process, `stats` from storage."""

from __future__ import annotations

from typing import Any

from gaffer import Cancel, Fail, Gaffer, JobCompleted, JobState, StateStats
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, MakeGaffer, Recorder, quiet


def test_info_of_an_empty_queue_has_its_limits(manual: Gaffer) -> None:
    """B181 [T], [D], B183 [T]."""
    queue = manual.create_queue("q", max_workers=4, global_max_workers=9)

    info = queue.info()

    assert info.status == "active"
    assert (info.workers.active, info.workers.abandoned, info.workers.late) == (0, 0, 0)
    assert (info.workers.max_local, info.workers.max_global) == (4, 9)


def test_info_without_limits_says_so(manual: Gaffer) -> None:
    """B181 [D]."""
    workers = manual.create_queue("q", max_workers=None).info().workers

    assert (workers.max_local, workers.max_global) == (None, None)


def test_info_reports_the_status(manual: Gaffer) -> None:
    """B181 [T], B163 [T]."""
    queue = manual.create_queue("q")

    queue.pause()

    assert queue.info().status == "paused"


def test_info_counts_the_jobs_that_run_here(
    gaffer_: Gaffer, gate: Gate, recorder: Recorder
) -> None:
    """B182 [T]."""
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=0.01, hooks=[recorder]))
    queue.insert(1)
    gate.wait_for(1)
    during = queue.info().workers.active

    gate.let()
    recorder.wait_for(JobCompleted)

    assert (during, queue.info().workers.active) == (1, 0)


def test_info_does_not_count_the_jobs_that_run_elsewhere(
    make_gaffer: MakeGaffer, gate: Gate
) -> None:
    """B182 [T]."""
    here, there = make_gaffer(work=False), make_gaffer()
    queue = here.create_queue("q")
    there.create_queue("q", worker=gate, **quiet(poll_interval=0.01)).insert(1)

    gate.wait_for(1)

    assert queue.info().workers.active == 0
    assert there.info("q").workers.active == 1


def test_info_asks_storage_for_no_job(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> None:
    """B183 [T]."""
    queue = make_gaffer(faulty, work=False).create_queue("q")
    faulty.calls.clear()

    queue.info()

    assert [call for call in faulty.calls if call.startswith("job")] == []


def test_stats_of_an_empty_queue_has_every_state(manual: Gaffer) -> None:
    """B183 [T]."""
    queue = manual.create_queue("q")

    assert queue.stats() == dict.fromkeys(JobState, StateStats(0, None, None))


def test_stats_counts_each_state(gaffer_: Gaffer, gate: Gate) -> None:
    """B183 [T]."""
    answers: dict[str, Any] = {"done": None, "no": Fail("no"), "off": Cancel("off")}

    def work(job: Any) -> Any:
        return gate(job) if job.payload == "runs" else answers[job.payload]

    queue = gaffer_.create_queue("q", worker=work, **quiet(max_attempts=1))
    for payload in ["done", "done", "no", "off"]:
        queue.insert(payload)
        queue.poll()
    queue.update(poll_interval=0.01)
    queue.insert("runs")
    gate.wait_for(1)
    queue.insert_many(["waits", "waits", "waits"])

    counts = {state.value: stats.count for state, stats in queue.stats().items()}

    assert counts == {"available": 3, "executing": 1, "completed": 2, "failed": 1, "cancelled": 1}


def test_stats_has_the_oldest_and_the_newest_of_each_state(
    manual: Gaffer, harness: DriverHarness
) -> None:
    """B183 [T]."""
    queue = manual.create_queue("q", worker=lambda job: None, **quiet())
    first = queue.insert(1)
    harness.advance(10)
    queue.insert(2)
    harness.advance(10)
    third = queue.insert(3)

    available = queue.stats()[JobState.AVAILABLE]
    harness.advance(10)
    queue.poll()
    harness.advance(10)
    queue.poll()

    completed = queue.stats()[JobState.COMPLETED]
    ends = [job.completed_at for job in queue.list(state="completed")]
    assert available == StateStats(3, first.created_at, third.created_at)
    assert completed == StateStats(2, ends[0], ends[1])
    assert queue.stats()[JobState.FAILED] == StateStats(0, None, None)


def test_stats_counts_the_jobs_of_its_own_queue_only(manual: Gaffer) -> None:
    """B183 [T]."""
    manual.create_queue("p").insert(1)
    queue = manual.create_queue("q")

    assert queue.stats()[JobState.AVAILABLE].count == 0
