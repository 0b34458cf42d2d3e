"""Which job runs next, and how many at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from gaffer import Gaffer, Job, JobCompleted, JobsClaimed, JobState
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, MakeGaffer, Polled, Recorder, quiet


def work(job: Job) -> None:
    """Do nothing."""


def counts(gaffer_: Gaffer, queue: str = "q") -> tuple[int, int]:
    """Return how many jobs are executing and available."""
    stats = gaffer_.stats(queue)
    return stats[JobState.EXECUTING].count, stats[JobState.AVAILABLE].count


def test_jobs_run_by_priority_and_then_by_age(manual: Gaffer) -> None:
    """B50 [T], B41 [T]."""
    ran: list[str] = []
    queue = manual.create_queue("q", worker=lambda job: ran.append(job.payload), **quiet())
    for name, priority in [("5a", 5), ("-1", -1), ("5b", 5), ("0", 0)]:
        queue.insert(name, priority=priority)

    while queue.poll():
        pass

    assert ran == ["5a", "5b", "0", "-1"]


def test_a_claim_of_many_is_in_order(manual: Gaffer, recorder: Recorder) -> None:
    """B50 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet(max_workers=9, hooks=[recorder]))
    for name, priority in [("5a", 5), ("-1", -1), ("5b", 5), ("0", 0)]:
        queue.insert(name, priority=priority)

    queue.poll()

    [claimed] = recorder.of(JobsClaimed)
    assert [job.payload for job in claimed.jobs] == ["5a", "5b", "0", "-1"]


def test_max_workers_limits_the_jobs_that_run_here(gaffer_: Gaffer, gate: Gate) -> None:
    """B51 [T], B78 [T]."""
    queue = gaffer_.create_queue("q", worker=gate, max_workers=2, poll_interval=0.01)
    queue.insert_many([1, 2, 3])

    gate.wait_for(2)

    assert queue.poll() == 0
    assert counts(gaffer_) == (2, 1)
    assert queue.info().workers.active == 2


def test_global_max_workers_limits_the_jobs_that_run_anywhere(gaffer_: Gaffer, gate: Gate) -> None:
    """B52 [T]."""
    queue = gaffer_.create_queue(
        "q", worker=gate, max_workers=10, global_max_workers=2, poll_interval=0.01
    )
    queue.insert_many([1, 2, 3])

    gate.wait_for(2)

    assert queue.poll() == 0
    assert counts(gaffer_) == (2, 1)


def test_without_a_limit_one_poll_runs_all(manual: Gaffer) -> None:
    """B53 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet(max_workers=None))
    queue.insert_many([1, 2, 3, 4, 5])

    assert queue.poll() == 5


def test_a_claim_has_one_instant_and_costs_no_attempt(
    manual: Gaffer, driver: Driver, recorder: Recorder
) -> None:
    """B54, B74."""
    seen: list[Job] = []
    queue = manual.create_queue(
        "q", worker=seen.append, **quiet(max_workers=None, hooks=[recorder])
    )
    queue.insert_many([1, 2])
    before = driver.now()

    queue.poll()

    [claimed] = recorder.of(JobsClaimed)
    [at] = {job.attempted_at for job in claimed.jobs}
    assert at is not None
    assert before <= at <= driver.now()
    assert {(job.state, job.attempt, job.attempted_at) for job in seen} == {
        (JobState.EXECUTING, 0, at)
    }


def test_a_scheduled_job_is_claimed_when_its_time_has_come(
    manual: Gaffer, harness: DriverHarness
) -> None:
    """B55 [T], B38 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet())
    queue.insert(1, delay=100)
    early = [queue.poll()]
    harness.advance(90)
    early.append(queue.poll())

    harness.advance(10)

    assert early == [0, 0]
    assert queue.poll() == 1


def test_a_job_scheduled_in_the_past_is_claimed_at_once(manual: Gaffer, driver: Driver) -> None:
    """B55 [T]."""
    queue = manual.create_queue("q", worker=work, **quiet())

    queue.insert(1, scheduled_at=driver.now() - timedelta(days=1))

    assert queue.poll() == 1


def test_a_queue_claims_its_own_jobs_only(manual: Gaffer) -> None:
    """B56."""
    queue = manual.create_queue("q", worker=work, **quiet())
    other = manual.create_queue("p", worker=work, **quiet())
    job = other.insert(1)

    assert queue.poll() == 0
    assert other.get(job.id) == job


def test_a_queue_looks_for_jobs_when_it_is_declared(make_gaffer: MakeGaffer, gate: Gate) -> None:
    """B59 [T]."""
    inserting, working = make_gaffer(work=False), make_gaffer()
    inserting.create_queue("q").insert("before")

    working.create_queue("q", worker=gate, poll_interval=60)

    assert [job.payload for job in gate.wait_for(1)] == ["before"]


def test_a_queue_looks_for_jobs_again_and_again(
    make_gaffer: MakeGaffer, polled: Polled, gate: Gate
) -> None:
    """B59 [T]."""
    inserting, working = make_gaffer(work=False), make_gaffer(polled)
    inserting.create_queue("q")
    working.create_queue("q", worker=gate, poll_interval=0.01)
    polled.rounds("job_claim", 3)

    inserting.insert("q", "after")

    assert [job.payload for job in gate.wait_for(1)] == ["after"]


def test_without_a_poll_interval_only_poll_claims(make_gaffer: MakeGaffer, polled: Polled) -> None:
    """B60 [T]."""
    queue = make_gaffer(polled).create_queue("q", worker=work, **quiet())
    queue.insert(1)

    queue.drain()  # the runner has had its turn when this returns

    assert "job_claim" not in polled.calls
    assert queue.poll() == 1


def test_a_worker_that_ends_makes_room_for_the_next_job_at_once(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B61 [T]."""
    queue = gaffer_.create_queue("q", worker=work, **quiet(hooks=[recorder]))
    queue.insert_many([1, 2, 3])

    queue.poll()

    assert [event.job.payload for event in recorder.wait_for(JobCompleted, 3)] == [1, 2, 3]


def test_a_worker_that_ends_makes_no_room_while_the_queue_is_paused(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, gate: Gate, recorder: Recorder
) -> None:
    """B62 [T], B159 [T]."""
    gaffer_ = make_gaffer(faulty)
    queue = gaffer_.create_queue("q", worker=gate, **quiet(poll_interval=60, hooks=[recorder]))
    queue.insert_many([1, 2])
    gate.wait_for(1)
    queue.pause()
    before = faulty.calls.count("job_claim")

    gate.let()
    recorder.wait_for(JobCompleted)
    queue.drain()  # the claim that follows the end has been made when this returns

    assert faulty.calls.count("job_claim") > before
    assert counts(gaffer_) == (0, 1)


def test_without_a_free_slot_nothing_is_asked_of_storage(
    make_gaffer: MakeGaffer, polled: Polled, gate: Gate
) -> None:
    """B63."""
    queue = make_gaffer(polled).create_queue("q", worker=gate, poll_interval=0.01)
    queue.insert_many([1, 2])
    gate.wait_for(1)
    before = polled.calls.count("job_claim")

    assert queue.poll() == 0

    assert polled.calls.count("job_claim") == before


def test_fewer_workers_interrupt_nothing(
    gaffer_: Gaffer, make_gate: Callable[..., Gate], recorder: Recorder
) -> None:
    """B64."""
    gate = make_gate()
    queue = gaffer_.create_queue(
        "q", worker=gate, **quiet(max_workers=2, poll_interval=0.01, hooks=[recorder])
    )
    queue.insert_many([1, 2, 3])
    gate.wait_for(2)

    queue.update(max_workers=1)
    gate.let(1)
    recorder.wait_for(JobCompleted, 1)

    assert queue.poll() == 0
    assert counts(gaffer_) == (1, 1)
    gate.let()
    assert len(recorder.wait_for(JobCompleted, 3)) == 3


@pytest.mark.parametrize("works", [True, False])
def test_poll_works_while_the_queue_is_paused(works: bool, make_gaffer: MakeGaffer) -> None:
    """B65 [T]."""
    queue = make_gaffer(work=works).create_queue("q", worker=work, **quiet())
    job = queue.insert(1)
    queue.pause()

    assert queue.poll() == 1

    assert queue.get(job.id).state is JobState.COMPLETED
