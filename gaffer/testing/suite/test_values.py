"""Values: what comes out is what went in, types included, and belongs to who asked."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import HealthCheck, given, settings

from gaffer import machine
from gaffer.codec import MAX_BYTES, encode
from gaffer.driver import Driver, Job, evolve
from gaffer.job import JSON, Exponential, Fail, JobError
from gaffer.testing.stateful import examples
from gaffer.testing.strategies import jobs, names, payloads, settled_jobs
from gaffer.testing.suite.scene import after, finish, listed, put, take, take_one
from gaffer.testing.values import NOW, new_job, typed

quickly = settings(
    max_examples=examples(), deadline=None, suppress_health_check=list(HealthCheck), database=None
)


def read_back(driver: Driver, job: Job) -> None:
    """See that every way of reading a job gives it whole."""
    assert typed(driver.job_get(job.id)) == typed(job)
    (found,) = [one for one in listed(driver, queue=job.queue) if one.id == job.id]
    assert typed(found) == typed(job)


def test_every_payload_comes_back_equal(driver: Driver) -> None:
    @quickly
    @given(payloads())
    def check(payload: JSON) -> None:
        kept = driver.job_get(put(driver, payload=payload).id)

        assert kept is not None
        assert kept.payload_json == encode(payload)
        assert typed(kept.payload) == typed(payload)

    check()


def test_every_new_job_comes_back_equal(driver: Driver) -> None:
    @quickly
    @given(jobs())
    def check(drawn: Job) -> None:
        driver.queue_insert(drawn.queue)
        job = evolve(drawn, id=uuid4())

        assert typed(driver.job_write([job])) == typed([job])
        read_back(driver, job)

    check()


def test_every_revision_of_a_job_comes_back_equal(driver: Driver) -> None:
    driver.queue_insert("q")

    @quickly
    @given(settled_jobs())
    def check(history: list[Job]) -> None:
        id = uuid4()
        for drawn in history:
            job = evolve(drawn, id=id)
            assert typed(driver.job_write([job])) == typed([job])
            read_back(driver, job)

    check()


def test_every_job_is_claimed_as_it_was_written(driver: Driver) -> None:
    @quickly
    @given(jobs())
    def check(drawn: Job) -> None:
        queue = str(uuid4())
        driver.queue_insert(queue)
        job = evolve(drawn, id=uuid4(), queue=queue, scheduled_at=None)
        driver.job_write([job])

        assert typed(take(driver, queue)) == typed([machine.claim(job, now=NOW)])

    check()


def test_every_name_of_a_node_is_told_apart(driver: Driver) -> None:
    @quickly
    @given(names())
    def check(node: str) -> None:
        put(driver)
        claimed = take_one(driver, node=node)
        assert listed(driver, node=node) == [claimed]
        assert driver.job_orphans("q", 1000.0) == [claimed]

        driver.node_beat(node)
        assert driver.job_orphans("q", 1000.0) == []
        driver.node_leave(node)
        finish(driver, claimed)

    check()


def test_json_texts_are_kept_to_the_letter(driver: Driver) -> None:
    text = '{"b": 1.10, "a" :1E+2,"b":-0, "\\u00e9\\/":"\\\\u0000"}'
    json.loads(text)
    job = evolve(new_job(), payload_json=text)
    driver.queue_insert("q")
    driver.job_write([job])
    claimed = take_one(driver)
    ended = evolve(machine.release(claimed), result_json=text)
    driver.job_write([ended])

    kept = driver.job_get(job.id)

    assert kept is not None
    assert (kept.payload_json, kept.result_json) == (text, text)


def test_the_largest_payload_is_kept(driver: Driver) -> None:
    payload = "\U0001f4a5" * ((MAX_BYTES - 2) // 4)

    read_back(driver, put(driver, payload=payload))


def test_instants_are_kept_to_the_microsecond(driver: Driver) -> None:
    instants = [
        datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2027, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
    for instant in instants:
        read_back(driver, put(driver, now=instant, scheduled_at=instant))


def test_every_kind_of_backoff_is_kept(driver: Driver) -> None:
    for backoff in [
        (1.0,),
        (0.0, 0.1, 1e-9, 1e7),
        (2.0,) * 100,
        Exponential(),
        Exponential(jitter=0.0),
    ]:
        read_back(driver, put(driver, backoff=backoff))


def test_absent_values_stay_absent(driver: Driver) -> None:
    job = put(driver)

    kept = driver.job_get(job.id)

    assert kept is not None
    assert (kept.kind, kept.chain, kept.scheduled_at, kept.result_json) == (None,) * 4
    assert (kept.payload_json, kept.errors) == ("null", ())


def test_a_result_of_null_is_not_the_absence_of_one(driver: Driver) -> None:
    put(driver)
    done = finish(driver, take_one(driver))

    kept = driver.job_get(done.id)

    assert kept is not None
    assert kept.result_json == "null"


def test_a_long_history_of_errors_is_kept_in_order(driver: Driver) -> None:
    job = put(driver, max_attempts=50, backoff=(0.0,))
    for attempt in range(20):
        finish(driver, take_one(driver, now=after(attempt)), Fail([attempt]), after(attempt))

    kept = driver.job_get(job.id)

    assert kept is not None
    assert [error.attempt for error in kept.errors] == [20, 19, 18, 17, 16, 15, 14, 13, 12, 1]
    assert kept.errors[0] == JobError(20, [19], after(19))


def test_what_was_handed_out_can_be_changed_without_harm(driver: Driver) -> None:
    put(driver, payload={"a": [1]}, backoff=(0.0,))
    failed = finish(driver, take_one(driver), Fail({"b": [2]}))
    reads: list[Callable[[], Job | None]] = [
        lambda: driver.job_get(failed.id),
        lambda: listed(driver)[0],
        lambda: take_one(driver),
    ]
    for read in reads:
        job = read()
        assert job is not None
        expected = typed(job)
        job.payload["a"].append("spoilt")
        job.errors[0].error["b"].append("spoilt")

        kept = driver.job_get(failed.id)
        assert typed(kept) == expected
        assert kept is not None
        assert kept.payload == {"a": [1]}


def test_a_list_that_was_handed_out_can_be_changed_without_harm(driver: Driver) -> None:
    job = put(driver)
    listed(driver).clear()
    driver.queue_list().clear()

    assert listed(driver) == [job]
    assert driver.queue_list() == ["q"]
