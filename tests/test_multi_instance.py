"""Two Gaffers on one storage, as two processes would be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gaffer import (
    Fail,
    JobCompleted,
    JobFailed,
    JobInserted,
    JobLate,
    JobRescued,
    JobState,
    Queue,
    RunnerFailed,
)
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from gaffer_driver_memory import MemoryDriver
from tests.conftest import PATIENCE, Gate, MakeGaffer, Polled, Recorder, fail, quiet
from tests.rig.waiting import until

LEASE = 0.5
PULSE: dict[str, Any] = {"beat_interval": 0.1, "lease": LEASE}


def test_each_process_has_its_own_configuration(make_gaffer: MakeGaffer) -> None:
    """B28 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)

    here.create_queue("q", max_workers=2)
    there.create_queue("q", max_workers=7, priority=1)
    here.update_queue("q", max_workers=3)

    assert (here.get_queue("q").max_workers, here.get_queue("q").priority) == (3, 0)
    assert (there.get_queue("q").max_workers, there.get_queue("q").priority) == (7, 1)


def test_a_queue_that_exists_is_created_again_in_another_process(
    make_gaffer: MakeGaffer,
) -> None:
    """B29 [T], B5 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)
    job = here.create_queue("q").insert(1)

    queue = there.create_queue("q", worker=lambda job: "there", **quiet())

    assert queue.poll() == 1
    assert here.get("q", job.id).result == "there"


def test_all_processes_take_part(make_gaffer: MakeGaffer, make_gate: Callable[..., Gate]) -> None:
    """B58 [T], B57."""
    gates = [make_gate() for _ in range(3)]
    queues = [
        make_gaffer().create_queue("q", worker=gate, **quiet(poll_interval=0.001)) for gate in gates
    ]
    jobs = queues[0].insert_many(list(range(12)))

    for gate in gates:
        gate.wait_for(1)
    for gate in gates:
        gate.let()
    queues[0].flush(PATIENCE)

    ran = [job.id for gate in gates for job in gate.entered]
    assert sorted(ran) == sorted(job.id for job in jobs)
    assert {job.state for job in queues[0].list()} == {JobState.COMPLETED}


def test_the_global_limit_holds_over_all_processes(
    make_gaffer: MakeGaffer, gate: Gate, driver: Driver
) -> None:
    """F51, B52 [T]."""
    options = quiet(max_workers=10, global_max_workers=2, poll_interval=0.01)
    here, there = (make_gaffer().create_queue("q", worker=gate, **options) for _ in range(2))
    here.insert_many([1, 2, 3])
    gate.wait_for(2)

    polled = here.poll() + there.poll()

    stats = driver.job_stats("q")
    assert polled == 0
    assert stats[JobState.EXECUTING].count == 2
    assert stats[JobState.AVAILABLE].count == 1


def test_a_slot_freed_in_one_process_is_filled_by_another(
    make_gaffer: MakeGaffer, gate: Gate
) -> None:
    """B52 [T]."""
    options = quiet(global_max_workers=1, poll_interval=0.01)
    here, there = (make_gaffer().create_queue("q", worker=gate, **options) for _ in range(2))
    here.insert_many([1, 2, 3, 4])

    gate.let()
    there.flush(PATIENCE)

    assert sorted(job.payload for job in gate.entered) == [1, 2, 3, 4]
    assert {job.state for job in here.list()} == {JobState.COMPLETED}


def test_a_pause_holds_in_every_process_and_so_does_a_resume(
    make_gaffer: MakeGaffer, polled: Polled, gate: Gate
) -> None:
    """B164, B157 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(polled)
    queue = here.create_queue("q")
    other = there.create_queue("q", worker=gate, poll_interval=0.001)

    queue.pause()
    job = queue.insert(1)
    polled.rounds("job_claim", 4)
    during = (other.info().status, queue.get(job.id).state)
    queue.resume()

    assert during == ("paused", JobState.AVAILABLE)
    assert [job.payload for job in gate.wait_for(1)] == [1]
    assert other.info().status == "active"


def silenced(make_gaffer: MakeGaffer, driver: Driver, gate: Gate, **options: Any) -> Queue:
    """Return the queue of a Gaffer whose heart will stop when a job runs; *gate* is the worker."""
    faulty = FaultyDriver(driver)
    given = quiet(poll_interval=60, **options)
    queue = make_gaffer(faulty, **PULSE).create_queue("q", worker=gate, **given)
    queue.insert(1)
    gate.wait_for(1)
    faulty.fail("node_beat", times=None)
    return queue


def test_the_job_of_a_silent_process_is_a_failed_attempt_and_retried(
    make_gaffer: MakeGaffer, driver: Driver, gate: Gate, harness: DriverHarness, recorder: Recorder
) -> None:
    """F1, B70 [T], B81 [T]."""
    [job] = silenced(make_gaffer, driver, gate, max_attempts=2, backoff=0).list()
    rescuer = make_gaffer(**PULSE, hooks=[recorder])
    queue = rescuer.create_queue("q", worker=lambda job: "again", **quiet(poll_interval=0.01))

    harness.advance(LEASE * 4)

    [rescued], [failed] = recorder.wait_for(JobRescued), recorder.wait_for(JobFailed)
    [error] = rescued.job.errors
    assert (rescued.path, rescued.actor) == (("gaffer", "job", "rescue"), "runner")
    assert (rescued.job.id, rescued.job.state, rescued.job.attempt) == (job.id, "available", 1)
    assert (failed.actor, failed.job) == ("runner", rescued.job)
    assert (error.attempt, error.error["type"]) == (1, "lost")
    harness.advance(LEASE)  # lost jobs come back apart from each other
    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job == queue.get(job.id)
    assert completed.job.result == "again"


def test_a_process_that_does_not_serve_a_queue_leaves_its_jobs_to_one_that_does(
    make_gaffer: MakeGaffer, driver: Driver, gate: Gate, harness: DriverHarness, recorder: Recorder
) -> None:
    """F7: it has no idea of their retries and forwards."""
    [job] = silenced(make_gaffer, driver, gate, max_attempts=2, backoff=0).list()
    faulty = FaultyDriver(driver)
    stranger = make_gaffer(faulty, **PULSE, hooks=[recorder])
    stranger.create_queue("another", worker=fail, **quiet(poll_interval=0.01))
    stranger.create_queue("q", **quiet())

    harness.advance(LEASE * 4)
    before = faulty.calls.count("job_orphans")
    until(lambda: faulty.calls.count("job_orphans") > before + 3)
    left, rescued = driver.job_get(job.id), recorder.of(JobRescued)
    server = make_gaffer(**PULSE, hooks=[recorder])
    server.create_queue("q", worker=fail, **quiet(poll_interval=0.01))
    later, *_ = recorder.wait_for(JobRescued)

    assert (left, rescued) == (job, [])
    assert (later.job.id, later.job.attempt) == (job.id, 1)


def test_the_last_attempt_of_a_silent_process_is_failed_and_forwarded(
    make_gaffer: MakeGaffer, driver: Driver, gate: Gate, harness: DriverHarness, recorder: Recorder
) -> None:
    """F8, B133, B82 [T]."""
    [job] = silenced(make_gaffer, driver, gate, max_attempts=1).list()
    rescuer = make_gaffer(**PULSE, hooks=[recorder])
    rescuer.create_queue("dlq")
    options = quiet(poll_interval=0.01, forward={"failed": "dlq"})
    queue = rescuer.create_queue("q", worker=fail, **options)

    harness.advance(LEASE * 4)

    [rescued], [inserted] = recorder.wait_for(JobRescued), recorder.wait_for(JobInserted)
    assert rescued.job == queue.get(job.id)
    assert rescued.job.state is JobState.FAILED
    assert [event.job for event in recorder.of(JobFailed)] == [rescued.job]
    assert rescuer.list("dlq") == [inserted.job]
    assert inserted.job.payload["id"] == str(job.id)


def test_the_late_result_of_a_silent_process_is_dropped_and_told(
    make_gaffer: MakeGaffer, driver: Driver, gate: Gate, harness: DriverHarness, recorder: Recorder
) -> None:
    """F2, B70 [T], B142 [D]."""
    heard = Recorder()
    lost = silenced(make_gaffer, driver, gate, max_attempts=1, hooks=[heard])
    [job] = lost.list()
    rescuer = make_gaffer(**PULSE, hooks=[recorder])
    queue = rescuer.create_queue("q", worker=fail, **quiet(poll_interval=0.01))
    harness.advance(LEASE * 4)
    recorder.wait_for(JobRescued)
    before = queue.get(job.id)

    gate.let()

    [late] = heard.wait_for(JobLate)
    assert (late.job.id, late.job.state, late.actor) == (job.id, JobState.EXECUTING, "worker")
    assert queue.get(job.id) == before
    assert heard.of(JobCompleted) == []
    assert lost.info().workers.late == 1


def test_a_process_that_beats_keeps_its_jobs(
    make_gaffer: MakeGaffer, driver: Driver, gate: Gate, recorder: Recorder
) -> None:
    """B57."""
    here = Polled(driver)
    queue = make_gaffer(here, **PULSE, hooks=[recorder]).create_queue(
        "q", worker=gate, **quiet(poll_interval=60)
    )
    job = queue.insert(1)
    gate.wait_for(1)
    other = Polled(driver)
    make_gaffer(other, **PULSE, hooks=[recorder]).create_queue(
        "q", worker=fail, **quiet(poll_interval=60)
    )

    other.rounds("job_orphans", 3)

    assert recorder.of(JobRescued) == []
    assert queue.get(job.id).state is JobState.EXECUTING


def test_the_job_of_a_process_that_could_not_write_when_it_stopped_is_rescued(
    make_gaffer: MakeGaffer,
    gate: Gate,
    recorder: Recorder,
    faulty: FaultyDriver,
    harness: DriverHarness,
) -> None:
    """B118, B70 [T]."""
    leaving = make_gaffer(faulty)
    queue = leaving.create_queue("q", worker=gate, shutdown_timeout=0, poll_interval=60)
    job = queue.insert(1, max_attempts=1)
    gate.wait_for(1)
    faulty.fail("job_write", times=None)
    leaving.stop()
    rescuer = make_gaffer(**PULSE, hooks=[recorder])

    rescuer.create_queue("q", worker=fail, **quiet(poll_interval=60))
    harness.advance(LEASE * 4)

    [rescued] = recorder.wait_for(JobRescued)
    assert (rescued.job.id, rescued.job.state) == (job.id, JobState.FAILED)


def test_what_a_process_forwarded_before_it_was_lost_is_not_forwarded_again(
    make_gaffer: MakeGaffer,
    faulty: FaultyDriver,
    elsewhere: MemoryDriver,
    make_gate: Callable[..., Gate],
    harness: DriverHarness,
    recorder: Recorder,
) -> None:
    """B130 [D], B133."""
    heard, gate = Recorder(), make_gate(Fail("no"))
    lost, rescuer = make_gaffer(faulty, **PULSE), make_gaffer(**PULSE)
    for gaffer_, worker, hook in ((lost, gate, heard), (rescuer, fail, recorder)):
        gaffer_.create_queue("dlq", driver=elsewhere)
        options = quiet(poll_interval=60, forward={"failed": "dlq"}, hooks=[hook])
        gaffer_.create_queue("q", worker=worker, **options)
        if gaffer_ is lost:
            job = lost.insert("q", 1, max_attempts=1)
            gate.wait_for(1)
    faulty.fail("job_write", times=None)
    faulty.fail("node_beat", times=None)
    gate.let()
    heard.wait_for(RunnerFailed)  # the target is written, the source is not

    harness.advance(LEASE * 4)

    [rescued] = recorder.wait_for(JobRescued)
    faulty.heal()
    heard.wait_for(JobLate)
    [forwarded] = rescuer.list("dlq")
    assert (rescued.job.id, rescued.job.state) == (job.id, JobState.FAILED)
    assert forwarded.payload["errors"][0]["error"] == "no"
