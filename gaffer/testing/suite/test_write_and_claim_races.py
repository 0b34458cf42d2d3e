"""Races of writes and claims in one go: many threads on two handles, each promise to the letter."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

from gaffer.driver import Conflict, Driver, Job, JobState
from gaffer.job import Complete, Fail, Outcome
from gaffer.testing.suite.crowd import rounds, together, until
from gaffer.testing.suite.scene import after, both, ended, ids, listed, take
from gaffer.testing.values import new_job

EXECUTING = frozenset({JobState.EXECUTING})
INCOMPLETE = frozenset({JobState.AVAILABLE, JobState.EXECUTING})


def queue_of(driver: Driver, number: int, chain: Callable[[int], str | None]) -> str:
    """Make a queue of *number* jobs, the last one oldest; return its name."""
    queue = str(uuid4())
    driver.queue_insert(queue)
    jobs = [
        new_job(
            queue, n, chain=chain(n), priority=n % 3, max_attempts=2, backoff=(0.0,), now=after(-n)
        )
        for n in range(number)
    ]
    driver.job_write(jobs)
    return queue


class Workers:
    """What many workers of *queue* do: settle and claim in one go, and fail some once."""

    def __init__(self, queue: str, limit: int, most: int | None) -> None:
        self.queue = queue
        self.claimed: list[tuple[UUID, int]] = []
        self.seen: list[list[Job]] = []
        self._options: dict[str, Any] = {"limit": limit, "global_max_workers": most}
        self._watch = threading.Lock()

    def work(self, driver: Driver) -> None:
        """Watch what executes, if nobody does yet, or work until nothing is left."""
        # Whoever comes first watches, the others work.
        watches = self._watch.acquire(blocking=False)
        jobs: list[Job] = []
        for _ in until(lambda: not listed(driver, queue=self.queue, states=INCOMPLETE, limit=1)):
            if watches:
                self.seen.append(listed(driver, queue=self.queue, states=EXECUTING))
                continue
            ends = [ended(job, self._outcome(job)) for job in jobs]
            jobs = both(driver, ends, self.queue, **self._options)
            self.claimed += [(job.id, job.revision) for job in jobs]

    def _outcome(self, job: Job) -> Outcome:
        again = job.payload % 4 == 0 and job.attempt == 0
        return Fail("once") if again else Complete()


def test_places_that_are_freed_at_once_are_filled_and_no_more(
    driver: Driver, other: Driver
) -> None:
    for _ in rounds():
        queue = queue_of(driver, 16, lambda n: None)
        left = take(driver, queue, limit=4, most=4)

        claimed = together(end_one_and_claim, [driver, other] * 2, queue, left)

        executing = listed(driver, queue=queue, states=EXECUTING)
        assert len(executing) == 4
        assert Counter(ids(executing)) == Counter(ids(chain.from_iterable(claimed)))


def end_one_and_claim(driver: Driver, queue: str, left: list[Job]) -> list[Job]:
    return both(driver, [ended(left.pop())], queue, global_max_workers=4)


def test_the_global_limit_holds_while_many_settle_and_claim(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        workers = Workers(queue_of(driver, 20, lambda n: None), limit=2, most=3)

        together(workers.work, [driver, other] * 2)

        assert max(map(len, workers.seen), default=0) <= 3
        assert_all_ended_once(driver, workers, 20)


def test_no_chain_runs_twice_while_many_settle_and_claim(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = queue_of(driver, 20, lambda n: None if n % 4 == 3 else f"c{n % 4}")
        workers = Workers(queue, limit=3, most=None)

        together(workers.work, [driver, other] * 2)

        for executing in workers.seen:
            chains = [job.chain for job in executing if job.chain is not None]
            assert len(chains) == len(set(chains))
        assert_all_ended_once(driver, workers, 20)


def assert_all_ended_once(driver: Driver, workers: Workers, number: int) -> None:
    """Assert that all were claimed once at each revision, and ended as their worker said."""
    jobs = listed(driver, queue=workers.queue)
    assert {job.state for job in jobs} == {JobState.COMPLETED}
    # One that failed once was claimed at revision 1 and 3, the others at 1.
    expected = [
        (job.id, revision) for job in jobs for revision in ((1, 3) if job.attempt == 2 else (1,))
    ]
    assert len(jobs) == number
    assert Counter(workers.claimed) == Counter(expected)
    assert sum(job.attempt == 2 for job in jobs) == number // 4


def test_of_two_that_settle_one_job_and_claim_one_is_refused_and_claims_nothing(
    driver: Driver, other: Driver
) -> None:
    for _ in rounds():
        queue = queue_of(driver, 5, lambda n: None)
        (job,) = take(driver, queue, limit=1)

        claimed = together(settle_and_claim_as_mine, [driver, other] * 2, job)

        assert [jobs for jobs in claimed if jobs is None] == [None] * 3
        assert sum(len(jobs) for jobs in claimed if jobs is not None) == 1
        assert len(listed(driver, queue=queue, states=EXECUTING)) == 1


def settle_and_claim_as_mine(driver: Driver, job: Job) -> list[Job] | None:
    mine = ended(job, Complete(threading.get_ident()))
    try:
        return both(driver, [mine], job.queue, limit=1)
    except Conflict:
        return None
