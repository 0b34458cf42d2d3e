"""Storage does its work and the answer is lost: nothing is lost with it, and nothing doubled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest

import gaffer
from gaffer import Job, claims, writing
from gaffer.driver import Claim, DriverUnavailable, JobFilter
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Gate, Recorder, states, stored_ids, until


@pytest.fixture
def g(faulty: FaultyDriver, seen: Recorder) -> Iterator[gaffer.Gaffer]:
    made = gaffer.Gaffer(faulty, hooks=[seen])
    try:
        yield made
    finally:
        faulty.heal()
        made.stop(timeout=0)


def test_an_insert_whose_answer_was_lost_is_stored_once_and_told_once(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9."""
    queue = g.ensure_queue("q")
    faulty.fail("job_write", after=True, times=2)

    job = queue.insert({"n": 1})

    assert stored_ids(faulty.inner, "q") == [job.id]
    assert [event.job for event in seen.of(gaffer.JobInserted)] == [job]


def test_many_jobs_whose_answer_was_lost_are_stored_once_each(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    queue = g.ensure_queue("q")
    faulty.fail("job_write", after=True)

    jobs = queue.insert_many(range(100))

    assert stored_ids(faulty.inner, "q") == [job.id for job in jobs]


def test_an_insert_that_gave_up_can_be_repeated_with_its_id(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    queue = g.ensure_queue("q")
    mine = UUID("01890000-0000-7000-8000-0000000000aa")
    faulty.fail("job_write", times=None)
    with pytest.raises(gaffer.DriverUnavailable):
        queue.insert({"n": 1}, id=mine)
    faulty.heal()

    job = queue.insert({"n": 1}, id=mine)

    assert job.id == mine
    assert stored_ids(faulty.inner, "q") == [mine]


class Slow(MemoryDriver):
    """A driver that takes ten seconds of a clock for each write, and then does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0.0
        self.tries = 0

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        self.clock += 10.0
        self.tries += 1
        raise gaffer.DriverUnavailable("no answer")


def test_an_insert_gives_up_when_its_tries_have_taken_twenty_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C9: however long each of them takes, a call has a deadline."""
    driver = Slow()
    monkeypatch.setattr(writing, "monotonic", lambda: driver.clock)
    with gaffer.Gaffer(driver, work=False) as g:
        queue = g.ensure_queue("q")

        with pytest.raises(gaffer.DriverUnavailable):
            queue.insert(1)

    assert driver.tries == 2


def test_an_id_that_somebody_else_took_meanwhile_is_a_conflict(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    queue = g.ensure_queue("q")
    taken = queue.insert({"n": 1})
    faulty.fail("job_write")

    with pytest.raises(gaffer.Conflict):
        queue.insert({"n": 2}, id=taken.id)

    assert queue.get(taken.id).payload == {"n": 1}


def test_a_claim_whose_answer_was_lost_is_released_by_the_node_itself(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9."""
    runs: Counter[UUID] = Counter()
    queue = g.ensure_queue("q", worker=lambda job: runs.update([job.id]), prune=KEEP, max_workers=3)
    faulty.fail("job_claim", after=True)

    jobs = queue.insert_many(range(5))

    seen.wait(gaffer.JobCompleted, 5)
    assert runs == Counter(job.id for job in jobs)
    assert {queue.get(job.id).attempt for job in jobs} == {1}
    assert len(seen.of(gaffer.JobCompleted)) == 5


class Landing(FaultyDriver):
    """A driver whose first claim is given up, and is made when the second one comes."""

    given_up: Claim | None = None
    landed: Sequence[Job] = ()

    def job_claim(self, claim: Claim) -> list[Job]:
        """Give up, then be late, then be as any other."""
        if self.given_up is None:
            self.given_up = claim
            raise DriverUnavailable("given up")
        if not self.landed:
            self.landed = super().job_claim(self.given_up)
        return super().job_claim(claim)


def test_a_claim_that_storage_makes_after_it_was_given_up_is_released(
    driver: MemoryDriver, seen: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_LANDED", 0.3)
    landing = Landing(driver)
    with gaffer.Gaffer(landing, hooks=[seen]) as g:
        queue = g.ensure_queue("q", worker=lambda job: None, poll_interval=0.05, prune=KEEP)
        job = queue.insert(1)

        seen.wait(gaffer.JobCompleted)

        assert [late.id for late in landing.landed] == [job.id]
        assert queue.get(job.id).revision == 4  # claimed, released, claimed, completed


def test_jobs_that_run_are_not_released_with_those_of_a_lost_claim(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, prune=KEEP, max_workers=4)
    first = queue.insert(1)
    gate.wait()
    faulty.fail("job_claim", after=True)
    others = queue.insert_many(range(3))
    gate.wait(4)

    gate.open.set()

    seen.wait(gaffer.JobCompleted, 4)
    assert Counter(job.id for job in gate.started) == Counter([first.id, *(j.id for j in others)])


def test_a_job_of_a_lost_claim_goes_back_at_no_cost_when_the_process_stops(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    runs: list[gaffer.Job] = []
    job = g.ensure_queue("q", prune=KEEP).insert(1)
    faulty.fail("job_claim", after=True)
    faulty.fail("job_list", times=None)  # nor does storage say what this node holds
    g.ensure_queue("q", worker=runs.append, prune=KEEP)
    until(lambda: states(faulty.inner, "q") == {"executing": 1})
    faulty.heal("job_list")

    g.stop()

    stored = faulty.inner.job_get(job.id)
    assert stored is not None
    assert (stored.state, stored.attempt, runs) == (gaffer.JobState.AVAILABLE, 0, [])


def test_a_claim_by_hand_whose_answer_was_lost_does_not_keep_the_job(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    queue = g.ensure_queue("q", prune=KEEP)
    job = queue.insert(1)
    faulty.fail("job_claim", after=True)
    with pytest.raises(gaffer.DriverUnavailable), queue.claim():
        pytest.fail("the answer was lost")  # pragma: no cover

    with queue.claim() as claimed:
        assert claimed is not None
        got = claimed.job.id

    assert got == job.id
    assert queue.get(job.id).state is gaffer.JobState.COMPLETED


def test_a_settled_attempt_whose_answer_was_lost_is_recorded_once(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, prune=KEEP)
    job = queue.insert(1)
    gate.wait()
    faulty.fail("job_write", after=True, times=3)

    gate.open.set()

    seen.wait(gaffer.JobCompleted)
    queue.flush(10)
    assert (queue.get(job.id).revision, queue.get(job.id).attempt) == (2, 1)
    assert len(seen.of(gaffer.JobCompleted)) == 1
    assert seen.of(gaffer.JobLate) == []


def test_a_forward_whose_answer_was_lost_makes_one_job(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9, F58."""
    gate = Gate()
    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue("q", worker=gate, prune=KEEP, forward={"completed": "dead"})
    job = queue.insert(1)
    gate.wait()
    faulty.fail("job_write", after=True, times=2)

    gate.open.set()

    seen.wait(gaffer.JobCompleted)
    queue.flush(10)
    [forwarded] = g.list("dead")
    assert forwarded.payload["id"] == str(job.id)
    assert [event.job.queue for event in seen.of(gaffer.JobInserted)] == ["q", "dead"]


def test_a_forward_to_another_storage_whose_answers_were_lost_makes_one_job(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder
) -> None:
    """F9, F58."""
    elsewhere = FaultyDriver(MemoryDriver())
    g.ensure_queue("dead", driver=elsewhere, prune=KEEP)
    elsewhere.fail("job_write", after=True, times=2)
    faulty_at = Gate()
    queue = g.ensure_queue("q", worker=faulty_at, prune=KEEP, forward={"completed": "dead"})
    queue.insert(1)
    faulty_at.wait()
    faulty.fail("job_write", after=True, times=2)

    faulty_at.open.set()

    seen.wait(gaffer.JobCompleted)
    assert len(elsewhere.inner.job_list(JobFilter(queue="dead"))) == 1
    assert len(seen.of(gaffer.JobCompleted)) == 1
    assert len(seen.of(gaffer.JobInserted)) == 2


def test_a_cancel_whose_answer_was_lost_can_be_repeated_and_forwards_once(
    g: gaffer.Gaffer, faulty: FaultyDriver
) -> None:
    """F9."""
    g.ensure_queue("dead", prune=KEEP)
    queue = g.ensure_queue("q", prune=KEEP, forward={"cancelled": "dead"})
    job = queue.insert(1)
    faulty.fail("job_write", after=True)

    try:
        queue.cancel(job.id)
    except gaffer.DriverUnavailable:
        with pytest.raises(gaffer.InvalidTransition):
            queue.cancel(job.id)

    assert queue.get(job.id).state is gaffer.JobState.CANCELLED
    assert len(g.list("dead")) == 1


def test_nothing_is_lost_or_doubled_when_one_answer_in_ten_is_lost(
    g: gaffer.Gaffer, faulty: FaultyDriver, seen: Recorder, chance: random.Random
) -> None:
    """F9."""
    plan = [chance.random() < 0.1 for _ in range(400)]
    runs: Counter[UUID] = Counter()
    g.ensure_queue("done", prune=KEEP)

    def work(job: gaffer.Job) -> None:
        runs[job.id] += 1
        if plan and plan.pop():
            faulty.fail(
                chance.choice(["job_write", "job_claim", "job_list", "job_get"]), after=True
            )

    queue = g.ensure_queue(
        "q", worker=work, prune=KEEP, max_workers=8, forward={"completed": "done"}
    )
    inserted = set()
    for number in range(80):
        inserted.add(queue.insert(number).id)

    until(lambda: len(seen.of(gaffer.JobCompleted)) == 80, 60)
    assert set(stored_ids(faulty.inner, "q")) == inserted
    assert set(runs) == inserted
    assert states(faulty.inner, "q") == {"completed": 80}
    assert sorted(job.payload["id"] for job in faulty.inner.job_list(JobFilter(queue="done"))) == (
        sorted(map(str, inserted))
    )
    assert len(seen.of(gaffer.JobCompleted)) == 80
