"""Nodes: who executes what, and whose jobs can be rescued."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from gaffer import machine
from gaffer.driver import Driver, JobState, evolve
from gaffer.job import Fail
from gaffer.testing.harness import DriverHarness
from gaffer.testing.suite.scene import after, finish, ids, listed, put, take, take_one
from gaffer.testing.values import NOW, typed

LEASE = 100.0
"""Seconds; the tests keep half of it away from the edge, for drivers whose clock runs."""


def test_a_node_that_beats_keeps_its_jobs(driver: Driver, other: Driver) -> None:
    put(driver)
    driver.node_beat("a")
    take_one(driver, node="a")

    assert driver.job_orphans("q", LEASE) == []
    assert other.job_orphans("q", LEASE) == []


def test_the_jobs_of_a_silent_node_are_orphans(driver: Driver, harness: DriverHarness) -> None:
    put(driver)
    driver.node_beat("a")
    claimed = take_one(driver, node="a")

    harness.advance(0.5 * LEASE)
    assert driver.job_orphans("q", LEASE) == []

    harness.advance(LEASE)
    assert typed(driver.job_orphans("q", LEASE)) == typed([claimed])


def test_a_beat_is_seen_by_every_handle(
    driver: Driver, other: Driver, harness: DriverHarness
) -> None:
    put(driver)
    driver.node_beat("a")
    claimed = take_one(driver, node="a")
    harness.advance(1.5 * LEASE)
    assert ids(other.job_orphans("q", LEASE)) == [claimed.id]

    other.node_beat("a")

    assert driver.job_orphans("q", LEASE) == []


def test_a_longer_lease_has_more_patience(driver: Driver, harness: DriverHarness) -> None:
    put(driver)
    driver.node_beat("a")
    take_one(driver, node="a")
    harness.advance(1.5 * LEASE)

    assert len(driver.job_orphans("q", LEASE)) == 1
    assert driver.job_orphans("q", 2 * LEASE) == []


def test_the_jobs_of_a_node_that_never_beat_are_orphans(driver: Driver) -> None:
    put(driver)
    claimed = take_one(driver, node="a")
    driver.node_beat("b")

    assert driver.job_orphans("q", LEASE) == [claimed]


def test_the_jobs_of_a_node_that_left_are_orphans_at_once(driver: Driver) -> None:
    put(driver)
    driver.node_beat("a")
    claimed = take_one(driver, node="a")

    driver.node_leave("a")

    assert driver.job_orphans("q", LEASE) == [claimed]


def test_a_node_that_comes_back_keeps_its_jobs(driver: Driver) -> None:
    put(driver)
    take_one(driver, node="a")
    driver.node_leave("a")

    driver.node_beat("a")

    assert driver.job_orphans("q", LEASE) == []


def test_a_node_that_is_not_known_may_leave(driver: Driver) -> None:
    driver.node_leave("a")

    assert driver.job_orphans("q", LEASE) == []


def test_each_node_answers_for_its_own_jobs(driver: Driver, harness: DriverHarness) -> None:
    for number in range(4):
        put(driver, now=after(number))
    claimed = [take_one(driver, node=node, now=after(9)) for node in "abba"]
    for node in "ab":
        driver.node_beat(node)
    harness.advance(1.5 * LEASE)
    driver.node_beat("b")

    assert ids(driver.job_orphans("q", LEASE)) == [claimed[0].id, claimed[3].id]


def test_orphans_are_in_the_order_of_making(driver: Driver) -> None:
    jobs = [put(driver, now=after(-number), priority=number) for number in (2, 0, 3, 1)]
    take(driver)

    orphans = driver.job_orphans("q", LEASE)

    assert ids(orphans) == ids(sorted(jobs, key=lambda job: job.created_at))


def test_orphans_are_of_one_queue_or_of_all(driver: Driver) -> None:
    for number, queue in enumerate("rqs"):
        put(driver, queue, now=after(number))
        take_one(driver, queue, now=after(9))

    assert [job.queue for job in driver.job_orphans("q", LEASE)] == ["q"]
    assert [job.queue for job in driver.job_orphans(None, LEASE)] == ["r", "q", "s"]
    assert driver.job_orphans("t", LEASE) == []


def test_looking_for_orphans_changes_nothing(driver: Driver) -> None:
    put(driver)
    claimed = take_one(driver)

    assert driver.job_orphans("q", LEASE) == driver.job_orphans("q", LEASE) == [claimed]
    assert driver.job_get(claimed.id) == claimed
    assert ids(listed(driver, node="n")) == [claimed.id]


def test_only_executing_jobs_are_orphans(driver: Driver) -> None:
    for _ in range(4):
        put(driver, max_attempts=1)
    jobs = take(driver, limit=3)
    finish(driver, jobs[0])
    finish(driver, jobs[1], Fail())
    driver.job_write([machine.release(jobs[2])])

    assert driver.job_orphans("q", LEASE) == []


def test_a_job_that_ended_belongs_to_no_node(driver: Driver) -> None:
    put(driver)
    claimed = take_one(driver, node="a")
    finish(driver, claimed)

    assert listed(driver, node="a") == []


def test_a_job_belongs_to_the_node_that_claimed_it_last(driver: Driver) -> None:
    put(driver)
    driver.job_write([machine.release(take_one(driver, node="a"))])
    assert listed(driver, node="a") == []
    driver.node_beat("a")

    claimed = take_one(driver, node="b")

    assert listed(driver, node="a") == []
    assert listed(driver, node="b") == [claimed]
    assert driver.job_orphans("q", LEASE) == [claimed]


def test_a_job_written_as_executing_keeps_its_node(driver: Driver) -> None:
    put(driver)
    driver.node_beat("a")
    claimed = take_one(driver, node="a")

    noted = driver.job_write([evolve(claimed, revision=claimed.revision + 1, priority=1)])

    assert listed(driver, node="a") == noted
    assert driver.job_orphans("q", LEASE) == []


def test_a_job_that_executes_without_a_claim_is_an_orphan(driver: Driver) -> None:
    job = put(driver)
    executing = driver.job_write([machine.claim(job, now=NOW)])

    assert driver.job_orphans("q", LEASE) == executing
    assert listed(driver, states=frozenset({JobState.EXECUTING})) == executing


def test_the_clock_of_all_handles_goes_on_together(
    driver: Driver, other: Driver, harness: DriverHarness
) -> None:
    before = driver.now()

    harness.advance(LEASE)

    elapsed = [(handle.now() - before).total_seconds() for handle in (driver, other)]
    assert all(LEASE <= seconds < 1.5 * LEASE for seconds in elapsed)


def test_the_clock_is_aware_in_utc_and_never_goes_back(driver: Driver) -> None:
    instants = [driver.now() for _ in range(100)]

    assert instants == sorted(instants)
    assert {instant.utcoffset() for instant in instants} == {NOW.utcoffset()}


# -- what nodes say of themselves ------------------------------------------------------------------


def told(driver: Driver) -> dict[str, str | None] | None:
    """Return what each node says, or `None` if this storage does not tell."""
    nodes = driver.node_list()
    return None if nodes is None else {node.name: node.about for node in nodes}


def test_nodes_are_listed_by_name_with_their_last_beat(
    driver: Driver, other: Driver, harness: DriverHarness
) -> None:
    for name in ("b", "a"):
        driver.node_beat(name)
    harness.advance(LEASE)
    driver.node_beat("a")

    nodes = other.node_list()

    if nodes is None:
        return  # it does not tell
    assert [node.name for node in nodes] == ["a", "b"]
    apart = (nodes[0].beat_at - nodes[1].beat_at).total_seconds()
    assert 0.5 * LEASE < apart < 1.5 * LEASE
    assert nodes[0].beat_at.tzinfo is not None


def test_what_a_node_says_is_kept_over_its_beats_until_it_leaves(
    driver: Driver, other: Driver
) -> None:
    driver.node_beat("a")
    driver.node_tell("a", '{"first": 1}')
    driver.node_tell("a", '{"said": "ä \\u2028"}')
    driver.node_beat("a")

    assert told(other) in (None, {"a": '{"said": "ä \\u2028"}'})
    driver.node_leave("a")
    driver.node_beat("a")

    assert told(other) in (None, {"a": None})


def test_a_node_that_has_not_beaten_or_has_left_says_nothing(driver: Driver) -> None:
    driver.node_beat("left")
    driver.node_leave("left")

    driver.node_tell("left", "{}")
    driver.node_tell("unknown", "{}")

    assert told(driver) in (None, {})
