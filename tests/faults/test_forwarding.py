"""Forwarding: no cycle without end, nothing lost with its target, no payload that grows on."""

from __future__ import annotations

import json
from typing import Any

import gaffer
from gaffer.driver import JobFilter
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, Recorder, states, until


def test_a_cycle_ends_after_sixteen_hops_with_a_note(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F58."""
    g.ensure_queue("b", worker=lambda job: None, prune=KEEP)
    g.ensure_queue("a", worker=lambda job: None, forward={"completed": "b"}, prune=KEEP)
    g.update_queue("b", forward={"completed": "a"})

    g.insert("a", 1)

    seen.wait(gaffer.JobCompleted, 17)
    g.flush("a", 5)
    g.flush("b", 5)
    jobs = sorted(driver.job_list(JobFilter()), key=lambda job: job.hops)
    assert [job.hops for job in jobs] == list(range(17))
    assert len(jobs[-1].errors) == 1
    assert "16" in jobs[-1].errors[0].error
    assert not any(job.errors for job in jobs[:-1])


def test_a_queue_may_forward_to_itself_and_that_ends_too(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F58."""
    queue = g.ensure_queue("q", worker=lambda job: None, forward={"completed": "q"}, prune=KEEP)

    queue.insert(1)

    until(lambda: states(driver, "q") == {"completed": 17})


def test_a_payload_that_grows_at_every_hop_is_replaced_by_a_note(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F58."""
    big = "x" * 700_000
    queue = g.ensure_queue(
        "q",
        worker=lambda job: {"copy": json.dumps(job.payload)[:600_000]},
        forward={"completed": "q"},
        prune=KEEP,
    )

    queue.insert(big)

    until(lambda: states(driver, "q") == {"completed": 17})
    jobs = sorted(driver.job_list(JobFilter(queue="q")), key=lambda job: job.hops)
    assert all(len(job.payload_json.encode()) <= 2**20 for job in jobs)
    first: dict[str, Any] = jobs[1].payload
    assert first["id"] == str(jobs[0].id)
    assert first["payload"]["gaffer:error"] == "omitted"


def test_a_job_whose_target_is_gone_waits_unwritten_until_it_is_back(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F58."""
    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue("q", worker=lambda job: None, forward={"completed": "dead"}, prune=KEEP)
    g.delete_queue("dead")

    job = queue.insert(1)

    seen.wait(gaffer.RunnerFailed)
    assert states(driver, "q") == {"executing": 1}
    g.ensure_queue("dead", prune=KEEP)
    seen.wait(gaffer.JobCompleted)
    assert [one.payload["id"] for one in g.list("dead")] == [str(job.id)]
    assert states(driver, "q") == {"completed": 1}


def test_a_target_that_another_process_deleted_does_not_hold_up_other_jobs(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F58."""

    def work(job: gaffer.Job) -> None:
        if job.payload == "bad":
            raise ValueError

    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue(
        "q", worker=work, max_workers=3, max_attempts=1, forward={"failed": "dead"}, prune=KEEP
    )
    driver.queue_delete("dead")

    queue.insert_many(["bad", "good", "good"])

    seen.wait(gaffer.JobCompleted, 2)
    assert states(driver, "q") == {"completed": 2, "executing": 1}
    driver.queue_insert("dead")
    seen.wait(gaffer.JobFailed)
    assert len(g.list("dead")) == 1


def test_a_target_in_another_storage_that_is_down_gets_its_job_once_when_it_is_back(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F58."""
    elsewhere = FaultyDriver(MemoryDriver(storage=Storage()))
    g.ensure_queue("dead", driver=elsewhere, prune=KEEP)
    queue = g.ensure_queue("q", worker=lambda job: None, forward={"completed": "dead"}, prune=KEEP)
    elsewhere.fail("job_write", times=2)
    elsewhere.fail("job_write", after=True, times=2)

    job = queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    [forwarded] = elsewhere.inner.job_list(JobFilter(queue="dead"))
    assert forwarded.payload["id"] == str(job.id)


def test_each_ended_job_is_forwarded_exactly_once_under_lost_answers(
    g: gaffer.Gaffer, storage: Storage, seen: Recorder
) -> None:
    """F58."""
    faulty = FaultyDriver(MemoryDriver(storage=storage))
    with gaffer.Gaffer(faulty, hooks=[seen]) as own:
        own.ensure_queue("dead", prune=KEEP)
        queue = own.ensure_queue(
            "q", worker=lambda job: None, max_workers=4, forward={"completed": "dead"}, prune=KEEP
        )
        jobs = queue.insert_many(range(60))
        for number in range(8):
            faulty.fail("job_write", after=bool(number % 2))

        seen.wait(gaffer.JobCompleted, 60)

        forwarded = sorted(job.payload["id"] for job in own.list("dead"))
    assert forwarded == sorted(str(job.id) for job in jobs)


def test_a_cancelled_job_is_forwarded_in_one_write(g: gaffer.Gaffer) -> None:
    """F58."""
    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue("q", forward={"cancelled": "dead"}, prune=KEEP)
    job = queue.insert({"n": 1}, kind="k")

    queue.cancel(job.id)

    [forwarded] = g.list("dead")
    assert forwarded.kind == "k"
    assert forwarded.payload["state"] == "cancelled"
    assert forwarded.payload["payload"] == {"n": 1}
