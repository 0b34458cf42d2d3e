"""Races: many threads on two handles, and still each promise to the letter."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import threading
from collections import Counter
from itertools import chain
from uuid import UUID, uuid4

from gaffer import machine
from gaffer.driver import Conflict, Driver, Job, JobState, QueueHasJobs, UnknownQueue, evolve
from gaffer.job import Complete
from gaffer.testing.suite.crowd import attempt, rounds, together, until
from gaffer.testing.suite.scene import after, finish, ids, listed, put, take, take_one
from gaffer.testing.values import NOW, new_job

AVAILABLE = frozenset({JobState.AVAILABLE})
EXECUTING = frozenset({JobState.EXECUTING})


def fill(driver: Driver, number: int, *, chain: str | None = None) -> str:
    """Make a queue of *number* jobs, the last one oldest; return its name."""
    queue = str(uuid4())
    driver.queue_insert(queue)
    driver.job_write([new_job(queue, n, chain=chain, now=after(-n)) for n in range(number)])
    return queue


def claim(driver: Driver, queue: str, limit: int | None, most: int | None, times: int) -> list[int]:
    """Claim several times; return the payloads."""
    return [
        job.payload for _ in range(times) for job in take(driver, queue, limit=limit, most=most)
    ]


def test_each_job_is_claimed_once(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 12)

        claimed = together(claim, [driver, other] * 2, queue, limit=2, most=None, times=4)

        assert Counter(chain.from_iterable(claimed)) == Counter(range(12))


def test_claims_at_once_do_not_exceed_the_global_limit(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 12)

        claimed = together(claim, [driver, other] * 2, queue, limit=2, most=3, times=1)

        assert len(list(chain.from_iterable(claimed))) == 3
        assert len(listed(driver, queue=queue, states=EXECUTING)) == 3


def test_the_global_limit_holds_at_every_instant(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 20)
        seen: list[int] = []

        together(work_or_watch, [driver, other] * 2, queue, seen, threading.Lock())

        assert max(seen, default=0) <= 3
        assert {job.state for job in listed(driver, queue=queue)} == {JobState.COMPLETED}


def work_or_watch(driver: Driver, queue: str, seen: list[int], watch: threading.Lock) -> None:
    # Whoever comes first watches, the others work.
    watches = watch.acquire(blocking=False)
    for _ in until(lambda: not listed(driver, queue=queue, states=AVAILABLE, limit=1)):
        jobs = [] if watches else take(driver, queue, limit=2, most=3)
        seen.append(len(listed(driver, queue=queue, states=EXECUTING)))
        for job in jobs:
            finish(driver, job)


def test_one_job_of_a_chain_is_claimed(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 6, chain="c")

        claimed = together(claim, [driver, other] * 2, queue, limit=None, most=None, times=1)

        assert list(chain.from_iterable(claimed)) == [5]


def test_a_chain_runs_in_order_whoever_works_it(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 8, chain="c")
        order: list[int] = []

        together(work_chain, [driver, other, driver], queue, order, 8)

        assert order == [7, 6, 5, 4, 3, 2, 1, 0]


def work_chain(driver: Driver, queue: str, order: list[int], length: int) -> None:
    for _ in until(lambda: len(order) >= length):
        for job in take(driver, queue):
            order.append(job.payload)
            finish(driver, job)


def test_either_a_cancel_or_a_claim_wins(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        job = put(driver)

        cancelled, claimed = together(cancel_or_claim, [driver, other], job, driver)

        kept = driver.job_get(job.id)
        assert cancelled is not claimed
        assert kept is not None
        assert kept.state is (JobState.CANCELLED if cancelled else JobState.EXECUTING)
        driver.job_delete(job.id)


def cancel_or_claim(driver: Driver, job: Job, canceller: Driver) -> bool:
    if driver is canceller:
        return attempt(Conflict, driver.job_write, [machine.cancel(job, now=NOW)])
    return bool(take(driver, job.queue))


def test_of_writes_of_one_revision_exactly_one_wins(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        put(driver)
        claimed = take_one(driver)

        winners = [job for job in together(settle_as_mine, [driver, other] * 2, claimed) if job]

        assert len(winners) == 1
        assert driver.job_get(claimed.id) == winners[0]


def settle_as_mine(driver: Driver, claimed: Job) -> Job | None:
    mine = machine.settle(claimed, Complete(threading.get_ident()), now=NOW)
    return mine if attempt(Conflict, driver.job_write, [mine]) else None


def test_of_inserts_of_one_id_exactly_one_wins(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")
    for _ in rounds():
        id = uuid4()

        winners = [job for job in together(insert_as_mine, [driver, other] * 2, id) if job]

        assert len(winners) == 1
        assert driver.job_get(id) == winners[0]


def insert_as_mine(driver: Driver, id: UUID) -> Job | None:
    mine = new_job("q", threading.get_ident(), id=id)
    return mine if attempt(Conflict, driver.job_write, [mine]) else None


def test_batches_that_cross_do_not_block_each_other(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 6)
        batch = [evolve(job, revision=1) for job in listed(driver, queue=queue)]

        written = together(write_one_way, [driver, other] * 2, batch, driver)

        assert written.count(True) == 1


def write_one_way(driver: Driver, batch: list[Job], forward: Driver) -> bool:
    return attempt(Conflict, driver.job_write, batch if driver is forward else batch[::-1])


def test_a_batch_is_seen_whole_or_not_at_all(driver: Driver, other: Driver) -> None:
    for queue in ("q", "r"):
        driver.queue_insert(queue)
    for _ in rounds():
        jobs = [new_job("qr"[number % 2], number) for number in range(8)]
        steps = [jobs, [machine.cancel(job, now=NOW) for job in jobs]]

        _, seen = together(write_or_watch, [driver, other], steps, driver, threading.Event())

        assert all(revisions in ([], [0] * 8, [1] * 8) for revisions in seen)
        for queue in ("q", "r"):
            driver.job_prune(queue, {JobState.CANCELLED: "all"}, 100)


def write_or_watch(
    driver: Driver, steps: list[list[Job]], writer: Driver, ended: threading.Event
) -> list[list[int]]:
    if driver is not writer:
        return [[job.revision for job in listed(driver)] for _ in until(ended.is_set)]
    try:
        for batch in steps:
            driver.job_write(batch)
    finally:
        ended.set()
    return []


def test_prunes_delete_each_job_once_and_all_of_them(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 20)
        expected = Counter(ids(listed(driver, queue=queue)))

        pruned = together(prune_all, [driver, other, driver], queue)

        assert Counter(chain.from_iterable(pruned)) == expected
        assert listed(driver, queue=queue) == []


def prune_all(driver: Driver, queue: str) -> list[UUID]:
    pruned: list[UUID] = []
    while batch := driver.job_prune(queue, {JobState.AVAILABLE: "all"}, 3):
        pruned += batch
    return pruned


def test_what_is_inserted_while_others_claim_is_claimed_once(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 0)
        claimed: list[UUID] = []

        together(insert_and_claim, [driver, other, other, driver], queue, claimed, 40)

        assert len(claimed) == len(set(claimed)) == 40


def insert_and_claim(driver: Driver, queue: str, claimed: list[UUID], total: int) -> None:
    for _ in range(5):
        driver.job_write([new_job(queue), new_job(queue)])
        claimed.extend(ids(take(driver, queue, limit=3)))
    for _ in until(lambda: len(claimed) >= total):
        claimed.extend(ids(take(driver, queue, limit=3)))


def test_a_job_that_is_deleted_while_it_ends_stays_away(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        put(driver)
        claimed = take_one(driver)

        deleted, _ = together(delete_or_finish, [driver, other], claimed, driver)

        assert deleted is True
        assert driver.job_get(claimed.id) is None


def delete_or_finish(driver: Driver, job: Job, deleter: Driver) -> bool:
    if driver is deleter:
        return driver.job_delete(job.id)
    return attempt(Conflict, finish, driver, job)


def test_no_job_is_left_without_its_queue(driver: Driver, other: Driver) -> None:
    for _ in rounds():
        queue = fill(driver, 0)
        job = new_job(queue)

        deleted, inserted = together(delete_or_insert, [driver, other], job, driver)

        assert deleted is not inserted
        assert driver.queue_exists(queue) is inserted
        assert listed(driver, queue=queue) == [job] * inserted


def delete_or_insert(driver: Driver, job: Job, deleter: Driver) -> bool:
    if driver is deleter:
        return attempt(QueueHasJobs, driver.queue_delete, job.queue)
    return attempt(UnknownQueue, driver.job_write, [job])


def test_of_pauses_at_once_exactly_one_is_a_change(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")
    for number in rounds():
        changes = together(pause, [driver, other] * 2, number % 2 == 0)

        assert changes.count(True) == 1


def pause(driver: Driver, paused: bool) -> bool:
    return driver.queue_pause("q", paused)
