"""The hook for Prometheus: what is counted and timed, under which labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gaffer import (
    Cancel,
    Complete,
    Event,
    Fail,
    Gaffer,
    JobCompleted,
    JobFailed,
    JobLate,
    JobRescued,
    QueueStuck,
    RunnerFailed,
    Schedule,
)
from gaffer.contrib.prometheus import EventMetrics
from gaffer.failures import lost
from gaffer.machine import claim, rescued, settle
from gaffer.testing.harness import DriverHarness
from gaffer.testing.values import NOW, new_job
from tests.conftest import MakeGaffer, fail, failing, quiet


@pytest.fixture
def registry() -> CollectorRegistry:
    """Give a registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
def observed(make_gaffer: MakeGaffer, registry: CollectorRegistry) -> Gaffer:
    """Give a Gaffer that works only when it is polled, with the hook."""
    return make_gaffer(work=False, hooks=[EventMetrics(registry)])


def samples(registry: CollectorRegistry, prefix: str) -> dict[str, float]:
    """Return the samples whose name begins with *prefix*, by name and labels."""
    return {
        " ".join([sample.name.removeprefix("gaffer_"), *sample.labels.values()]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name.startswith(f"gaffer_{prefix}") and not sample.name.endswith("_created")
    }


def buckets(registry: CollectorRegistry, name: str, **labels: str) -> dict[float, float]:
    """Return the numbers of a histogram by their upper bounds."""
    return {
        float(sample.labels["le"]): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == f"gaffer_{name}_bucket" and labels.items() <= sample.labels.items()
    }


def answering(answers: Iterable[Any]) -> Any:
    """Return a worker that gives *answers*, in turn."""
    left = iter(answers)
    return lambda job: next(left)


def test_all_that_happens_to_a_queue_is_counted(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    queue = observed.create_queue("q")
    observed.ensure_queue("q")
    queue.update(max_workers=2)
    queue.pause()
    queue.resume()
    observed.delete_queue("q")

    assert samples(registry, "queues_") == {
        "queues_created_total q user": 1,
        "queues_updated_total q user ensure": 1,
        "queues_updated_total q user update": 1,
        "queues_paused_total q user": 1,
        "queues_resumed_total q user": 1,
        "queues_deleted_total q user": 1,
    }


def test_all_that_happens_to_jobs_is_counted(observed: Gaffer, registry: CollectorRegistry) -> None:
    answers = [None, Fail("no"), Schedule(delay=0), Cancel("off"), Fail("no")]
    queue = observed.create_queue(
        "q", worker=answering(answers), **quiet(max_attempts=2, backoff=0)
    )
    queue.insert("done")
    queue.poll()
    again = queue.insert("no")
    queue.poll()
    queue.cancel(again.id)
    queue.insert("off")
    queue.poll()
    queue.poll()
    queue.insert("gone", max_attempts=1)
    queue.poll()
    queue.prune()

    assert samples(registry, "jobs_") == {
        "jobs_inserted_total q user": 4,
        "jobs_claimed_total q runner": 5,
        "jobs_completed_total q worker": 1,
        "jobs_retries_total q worker": 1,
        "jobs_scheduled_total q worker": 1,
        "jobs_cancelled_total q user": 1,
        "jobs_cancelled_total q worker": 1,
        "jobs_failed_total q worker": 1,
        "jobs_deleted_total q user": 4,
    }


def test_a_job_that_an_insert_changes_is_counted_and_one_that_is_retried(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    queue = observed.create_queue("q", worker=fail, **quiet(max_attempts=1))
    job = queue.insert(1, unique="k")
    queue.insert(2, unique="k", on_conflict="replace")
    queue.poll()
    queue.retry(job.id)

    found = samples(registry, "jobs_")
    assert (found["jobs_inserted_total q user"], found["jobs_replaced_total q user"]) == (1, 1)
    assert found["jobs_scheduled_total q user"] == 1


def test_a_claim_of_four_jobs_is_one_batch(observed: Gaffer, registry: CollectorRegistry) -> None:
    queue = observed.create_queue("q", worker=lambda job: None, **quiet(max_workers=4))
    queue.insert_many([1, 2, 3, 4])

    queue.poll()

    bounds = buckets(registry, "job_claim_batch_size", queue="q")
    assert samples(registry, "jobs_claimed") == {"jobs_claimed_total q runner": 4}
    assert (bounds[2], bounds[5]) == (0, 1)
    assert sorted(bounds)[:-1] == [1, 2, 5, 10, 25, 50, 100, 250, 1000]


def test_attempts_are_timed_by_the_state_that_they_leave_the_job_in(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    answers = [None, Fail("no"), Fail("no"), Schedule(delay=0), Cancel()]
    options = quiet(max_attempts=2, backoff=0)
    queue = observed.create_queue("q", worker=answering(answers), **options)
    queue.insert_many([1, 2, 3])

    while queue.poll():
        pass

    counts = samples(registry, "job_execution_duration_seconds_count")
    assert counts == {
        "job_execution_duration_seconds_count q completed": 1,
        "job_execution_duration_seconds_count q available": 1,
        "job_execution_duration_seconds_count q failed": 1,
        "job_execution_duration_seconds_count q cancelled": 1,
    }
    bounds = sorted(buckets(registry, "job_execution_duration_seconds", state="failed"))
    assert (len(bounds), bounds[0], bounds[-2]) == (16, 0.005, 7200)


def test_the_time_of_an_attempt_is_the_one_that_is_stored(
    observed: Gaffer, registry: CollectorRegistry, harness: DriverHarness
) -> None:
    worker = lambda job: harness.advance(20)  # noqa: E731
    queue = observed.create_queue("q", worker=worker, **quiet())
    queue.insert(1)

    queue.poll()

    bounds = buckets(registry, "job_execution_duration_seconds", state="completed")
    assert (bounds[10], bounds[30]) == (0, 1)


def test_the_attempts_of_a_job_count_when_it_ends(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    queue = observed.create_queue("q", worker=failing("no", "no"), **quiet(backoff=0))
    queue.insert(1)

    while queue.poll():
        pass

    bounds = buckets(registry, "job_attempts", queue="q")
    assert (bounds[2], bounds[3]) == (0, 1)
    assert sorted(bounds)[:-1] == [1, 2, 3, 4, 5, 7, 10, 25, 100]


def test_a_user_who_cancels_a_job_that_never_ran_enters_no_histogram(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    queue = observed.create_queue("q")

    queue.cancel(queue.insert(1).id)

    assert samples(registry, "job_") == {}


def test_a_user_who_cancels_a_job_that_waits_for_its_retry_ends_no_attempt(
    observed: Gaffer, registry: CollectorRegistry
) -> None:
    queue = observed.create_queue("q", worker=fail, **quiet())
    job = queue.insert(1)
    queue.poll()

    queue.cancel(job.id)

    assert samples(registry, "job_attempts_count") == {"job_attempts_count q": 1}
    assert list(samples(registry, "job_execution_duration_seconds_count")) == [
        "job_execution_duration_seconds_count q available"
    ]


def test_the_delay_of_a_claim_is_that_of_scheduled_jobs(
    observed: Gaffer, registry: CollectorRegistry, harness: DriverHarness
) -> None:
    queue = observed.create_queue("q", worker=lambda job: None, **quiet(max_workers=2))
    queue.insert("at once")
    queue.insert("later", delay=5)
    harness.advance(25)

    queue.poll()

    bounds = buckets(registry, "job_claim_delay_seconds", queue="q")
    assert (bounds[10], bounds[30], bounds[float("inf")]) == (0, 1, 1)
    assert (len(bounds), min(bounds)) == (16, 0.001)


def test_a_forwarded_job_counts_as_inserted(observed: Gaffer, registry: CollectorRegistry) -> None:
    observed.create_queue("dlq")
    options = quiet(max_attempts=1, forward={"failed": "dlq"})
    queue = observed.create_queue("q", worker=fail, **options)
    queue.insert(1)

    queue.poll()

    assert samples(registry, "jobs_inserted") == {
        "jobs_inserted_total q user": 1,
        "jobs_inserted_total dlq worker": 1,
    }


def test_only_the_kinds_that_are_named_have_labels_of_their_own(
    make_gaffer: MakeGaffer, registry: CollectorRegistry
) -> None:
    manual = make_gaffer(work=False, hooks=[EventMetrics(registry, kinds=["mail"])])
    queue = manual.create_queue("q", worker=lambda job: None, **quiet(max_workers=4))
    queue.insert(1)
    for kind in ("mail", "mail", "x", "y"):
        queue.insert(1, kind=kind)

    while queue.poll():
        pass

    for name in ("inserted", "completed"):
        found = samples(registry, f"jobs_{name}")
        assert {key.rpartition(" ")[2]: value for key, value in found.items()} == {
            "": 1, "mail": 2, "other": 2,
        }  # fmt: skip
    assert sum(samples(registry, "jobs_claimed").values()) == 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard(Event):
    """An event that the hook does not know."""


def test_trouble_is_counted_and_the_unknown_is_ignored(registry: CollectorRegistry) -> None:
    hook, job = EventMetrics(registry), new_job()

    hook.gaffer_hook(JobLate(actor="worker", job=job))
    hook.gaffer_hook(JobRescued(actor="runner", job=job))
    hook.gaffer_hook(QueueStuck(actor="runner", queue="q", abandoned=2))
    hook.gaffer_hook(RunnerFailed(actor="runner", queue="q", error=OSError()))
    hook.gaffer_hook(Unheard(actor="user"))

    assert samples(registry, "") == {
        "jobs_late_total q worker": 1,
        "jobs_rescued_total q runner": 1,
        "queues_stuck_total q runner": 1,
        "runner_failures_total q runner": 1,
    }


def test_an_attempt_that_was_lost_with_its_process_is_not_timed(
    registry: CollectorRegistry,
) -> None:
    hook = EventMetrics(registry)
    now = NOW + timedelta(hours=1)
    job = rescued(claim(new_job(), now=NOW), lost(20.0), 20.0, now=now, roll=0.5)

    hook.gaffer_hook(JobFailed(actor="runner", job=job))

    assert samples(registry, "jobs_retries") == {"jobs_retries_total q runner": 1}
    assert samples(registry, "job_") == {}

    again = settle(claim(job, now=now), Complete(), now=now)
    hook.gaffer_hook(JobCompleted(actor="worker", job=again))

    assert samples(registry, "job_execution_duration_seconds_count") == {
        "job_execution_duration_seconds_count q completed": 1
    }


def test_a_registry_takes_one_hook(registry: CollectorRegistry) -> None:
    EventMetrics(registry)

    with pytest.raises(ValueError, match="Duplicated"):
        EventMetrics(registry)
