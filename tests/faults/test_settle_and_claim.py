"""Settled and claimed in one go, and something goes wrong: each job still ends exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest

import gaffer
from gaffer import Job, JobState
from gaffer.driver import DriverError
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, Gate, Recorder

VERB = "job_write_and_claim"


@pytest.fixture
def faulty(storage: Storage) -> FaultyDriver:
    return FaultyDriver(MemoryDriver(storage=storage))


@pytest.fixture
def g(faulty: FaultyDriver, seen: Recorder) -> Iterator[gaffer.Gaffer]:
    made = gaffer.Gaffer(faulty, hooks=[seen])
    try:
        yield made
    finally:
        faulty.heal()
        made.stop(timeout=0)


class Counting:
    """A worker that counts how often each job runs, and how many run at once."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.runs: Counter[UUID] = Counter()
        self.most = 0
        self._gate = gate
        self._inside = 0
        self._lock = threading.Lock()

    def __call__(self, job: Job) -> None:
        with self._lock:
            self.runs[job.id] += 1
            self._inside += 1
            self.most = max(self.most, self._inside)
        try:
            if self._gate is not None:
                self._gate(job)
        finally:
            with self._lock:
                self._inside -= 1


def ended_once(queue: gaffer.Queue, jobs: Sequence[Job], seen: Recorder) -> None:
    """Wait until all *jobs* are completed, by one attempt each, told once each; none was late."""
    queue.flush(20)
    told = Counter(event.job.id for event in seen.of(gaffer.JobCompleted))
    assert {(queue.get(job.id).state, queue.get(job.id).attempt) for job in jobs} == {
        (JobState.COMPLETED, 1)
    }
    assert told == Counter(job.id for job in jobs)
    assert seen.of(gaffer.JobLate) == []


@pytest.mark.parametrize("after", [False, True], ids=["nothing was done", "all was done"])
@pytest.mark.parametrize("workers", [1, 3])
def test_when_the_answer_is_lost_each_job_still_ends_once(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder, after: bool, workers: int
) -> None:
    """F9."""
    work = Counting(gate := Gate())
    queue = g.ensure_queue("q", worker=work, prune=KEEP, max_workers=workers)
    jobs = queue.insert_many(range(9))
    gate.wait(workers)
    faulty.fail(VERB, after=after, times=2)

    gate.open.set()

    ended_once(queue, jobs, seen)
    assert faulty.calls.count(VERB) >= 2
    assert work.runs == Counter(job.id for job in jobs)
    assert work.most <= workers


def test_when_only_the_claim_is_lost_the_settled_are_not_settled_again(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9."""
    work = Counting(gate := Gate())
    queue = g.ensure_queue("q", worker=work, prune=KEEP, max_workers=2)
    jobs = queue.insert_many(range(6))
    gate.wait(2)
    faulty.fail("job_claim", after=True, times=2)  # the second half of the two

    gate.open.set()

    ended_once(queue, jobs, seen)
    assert work.runs == Counter(job.id for job in jobs)


@pytest.mark.parametrize("after", [False, True], ids=["nothing was done", "all was done"])
def test_an_error_of_another_kind_leaves_no_claimed_job_behind(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder, after: bool
) -> None:
    work = Counting(gate := Gate())
    queue = g.ensure_queue("q", worker=work, prune=KEEP, max_workers=2)
    jobs = queue.insert_many(range(6))
    gate.wait(2)
    faulty.fail(VERB, after=after, error=DriverError("not in this encoding"))

    gate.open.set()

    ended_once(queue, jobs, seen)
    assert VERB in faulty.calls
    assert work.runs == Counter(job.id for job in jobs)


def test_a_hook_that_claims_gets_none_of_the_jobs_that_were_claimed_beside(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    by_hand: list[UUID] = []
    work = Counting(gate := Gate())

    def claim(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted) and event.actor == "worker":
            with queue.claim() as claimed:
                if claimed is not None:
                    by_hand.append(claimed.job.id)

    queue = g.ensure_queue("q", worker=work, prune=KEEP, hooks=[claim])
    jobs = queue.insert_many(range(6))
    gate.wait()

    gate.open.set()

    ended_once(queue, jobs, seen)
    assert by_hand
    assert Counter(by_hand) + work.runs == Counter(job.id for job in jobs)
