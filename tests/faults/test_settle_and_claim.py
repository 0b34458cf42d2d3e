"""Settled and claimed in one go, and something goes wrong: each job still ends exactly once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer import Job, JobState
from gaffer.driver import DriverError, JobFilter
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver, Storage
from tests.rig.waiting import KEEP, PATIENCE, Gate, Recorder, states, until

VERB = "job_write_and_claim"


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


def test_a_place_under_the_global_limit_is_not_claimed_by_the_write_that_frees_it(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F51: else the processes that have all places would keep them while there are jobs."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, prune=KEEP, max_workers=2, global_max_workers=2)
    jobs = queue.insert_many(range(6))
    gate.wait(2)
    faulty.fail(VERB, times=None)

    gate.open.set()

    ended_once(queue, jobs, seen)
    assert VERB not in faulty.calls


def test_a_slow_hook_does_not_hold_up_the_jobs_that_were_claimed_beside(
    g: gaffer.Gaffer, seen: Recorder
) -> None:
    gate, told = Gate(), threading.Event()

    def linger(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted) and not told.is_set():
            assert len(gate.started) == 2 or told.wait(PATIENCE)

    def work(job: Job) -> None:
        gate(job)
        if len(gate.started) == 2:
            told.set()

    queue = g.ensure_queue("q", worker=work, prune=KEEP, hooks=[linger])
    jobs = queue.insert_many(range(2))
    gate.wait()

    gate.open.set()

    assert told.wait(PATIENCE)
    ended_once(queue, jobs, seen)
    kinds = [type(event) for event in seen.events if not isinstance(event, gaffer.JobInserted)]
    assert kinds[-4:] == [gaffer.JobsClaimed, gaffer.JobCompleted] * 2


def test_a_result_that_comes_too_late_holds_up_neither_the_others_nor_the_claim(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    work = Counting(gate := Gate())
    queue = g.ensure_queue("q", worker=work, prune=KEEP, max_workers=3)
    jobs = queue.insert_many(range(9))
    gate.wait(3)
    gone = gate.started[1].id
    with faulty.block(VERB) as hold:
        gate.open.set()
        assert hold.entered.wait(PATIENCE)
        faulty.inner.job_delete(gone)  # while its end is on the way

    queue.flush(20)

    [late] = seen.wait(gaffer.JobLate)
    assert late.job.id == gone
    left = [job for job in jobs if job.id != gone]
    assert states(faulty.inner, "q") == {"completed": 8}
    assert Counter(event.job.id for event in seen.of(gaffer.JobCompleted)) == Counter(
        job.id for job in left
    )
    assert (work.most, work.runs.total()) == (3, 9)


class Refusing(MemoryDriver):
    """A driver that cannot store one result, for a while."""

    refuses = True

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        if self.refuses and any(job.result == "poison" for job in jobs):
            raise DriverError("not in this encoding")
        return super().job_write(jobs, connection)


def test_an_outcome_that_cannot_be_stored_keeps_its_slot_and_the_others_go_on(
    storage: Storage, seen: Recorder
) -> None:
    gate, runs = Gate(), Counting()

    def work(job: Job) -> str:
        gate(job)
        runs(job)
        return "poison" if job.payload == 0 else "fine"

    driver = Refusing(storage=storage)
    with gaffer.Gaffer(driver, hooks=[seen]) as g:
        queue = g.ensure_queue("q", worker=work, prune=KEEP, max_workers=3)
        jobs = queue.insert_many(range(7))
        gate.wait(3)

        gate.open.set()

        seen.wait(gaffer.JobCompleted, 6)
        assert [job.payload for job in queue.list(state="executing")] == [0]
        assert Counter(event.job.id for event in seen.of(gaffer.JobCompleted)) == Counter(
            job.id for job in jobs[1:]
        )
        assert runs.runs == Counter(job.id for job in jobs)
        assert {type(event.error) for event in seen.of(gaffer.RunnerFailed)} == {DriverError}
        driver.refuses = False
        ended_once(queue, jobs, seen)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_forward_that_cannot_be_made_keeps_its_slot(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder, workers: int
) -> None:
    work = Counting(gate := Gate())
    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue(
        "q", worker=work, prune=KEEP, max_workers=workers, forward={"completed": "dead"}
    )
    jobs = queue.insert_many(range(4))
    gate.wait(workers)
    faulty.inner.queue_delete("dead")  # by another process

    gate.open.set()

    seen.wait(gaffer.RunnerFailed, 3)
    assert work.runs.total() == workers  # those whose end waits, and no others
    assert states(faulty.inner, "q") == {"executing": workers, "available": 4 - workers}
    faulty.inner.queue_insert("dead")
    ended_once(queue, jobs, seen)
    assert work.most <= workers
    assert work.runs == Counter(job.id for job in jobs)
    assert states(faulty.inner, "dead") == {"available": 4}


def test_a_stop_that_comes_while_both_are_under_way_loses_neither(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F15, F40."""
    work = Counting(gate := Gate())
    told = threading.Event()

    def wait_for_the_stop(job: Job) -> None:
        until(lambda: gaffer.current().stopping)
        told.set()

    queue = g.ensure_queue("q", worker=work, prune=KEEP)
    g.ensure_queue("told after q", worker=wait_for_the_stop).insert(None)
    first, second, third = queue.insert_many(range(3))
    gate.wait()
    with faulty.block(VERB) as hold:
        gate.open.set()
        assert hold.entered.wait(PATIENCE)
        stopping = threading.Thread(target=g.stop)
        stopping.start()
        assert told.wait(PATIENCE)

    stopping.join(PATIENCE)

    stored = {job.id: job for job in faulty.inner.job_list(JobFilter(queue="q"))}
    assert (stored[first.id].state, work.runs[first.id]) == (JobState.COMPLETED, 1)
    # What was claimed has run, or was given back; what was not has not.
    assert work.runs[second.id] == (stored[second.id].state is JobState.COMPLETED)
    assert stored[second.id].state is not JobState.EXECUTING
    assert stored[third.id] == third
    told_of = Counter(event.job.id for event in seen.of(gaffer.JobCompleted))
    assert work.runs == {id: number for id, number in told_of.items() if id in stored}


def test_a_slot_is_free_again_only_when_the_end_of_its_job_is_written(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    gate = Gate()

    def work(job: Job) -> gaffer.Cancel | None:
        if job.payload == 0:
            return None
        gate(job)
        return gaffer.Cancel("not wanted")

    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue(
        "q", worker=work, prune=KEEP, max_workers=2, forward={"completed": "dead"}
    )
    faulty.inner.queue_delete("dead")  # by another process
    first, *others = queue.insert_many(range(4))
    gate.wait()
    seen.wait(gaffer.RunnerFailed)  # the end of the first job waits

    gate.open.set()

    seen.wait(gaffer.JobCancelled, 3)
    assert [len(event.jobs) for event in seen.of(gaffer.JobsClaimed)] == [2, 1, 1]
    faulty.inner.queue_insert("dead")
    queue.flush(20)
    assert queue.get(first.id).state is JobState.COMPLETED
    assert {queue.get(job.id).state for job in others} == {JobState.CANCELLED}
