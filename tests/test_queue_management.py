"""Queues as a process declares, lists and deletes them."""

from __future__ import annotations

import pytest

from gaffer import (
    Gaffer,
    InvalidQueueConf,
    Job,
    JobCompleted,
    JobState,
    QueueExists,
    QueueHasJobs,
    UnknownDriver,
    UnknownQueue,
)
from gaffer.driver import Driver
from tests.conftest import Gate, MakeGaffer, Recorder, quiet


def echo(job: Job) -> object:
    return job.payload


class Echo:
    def perform(self, job: Job) -> object:
        return job.payload


def test_a_new_queue_can_be_got_by_its_name(manual: Gaffer) -> None:
    """B1 [T]."""
    manual.create_queue("q")

    assert manual.get_queue("q").name == "q"


def test_a_queue_is_created_once_and_the_first_configuration_stays(manual: Gaffer) -> None:
    """B2 [T]."""
    manual.create_queue("q", max_workers=5)

    with pytest.raises(QueueExists) as caught:
        manual.create_queue("q", max_workers=7)

    assert caught.value.queue == "q"
    assert manual.get_queue("q").max_workers == 5


def test_ensure_creates_an_absent_queue(manual: Gaffer, driver: Driver) -> None:
    """B3 [T]."""
    manual.ensure_queue("q")

    assert manual.get_queue("q").name == "q"
    assert driver.queue_exists("q")


@pytest.mark.parametrize("declare", ["create_queue", "ensure_queue"])
def test_a_declared_queue_works_by_itself(
    declare: str, gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B7 [T]."""
    queue = getattr(gaffer_, declare)("q", worker=echo, poll_interval=0.05, hooks=[recorder])

    job = queue.insert(1)

    [completed] = recorder.wait_for(JobCompleted)
    assert completed.job.id == job.id


def test_get_shows_the_defaults(manual: Gaffer, driver: Driver) -> None:
    """B8 [T], B167 [D]."""
    manual.create_queue("q")

    conf = manual.get_queue("q")

    assert (conf.worker, conf.driver) == (None, driver)
    assert (conf.max_workers, conf.global_max_workers, conf.poll_interval) == (1, None, 0.1)
    assert (conf.max_attempts, conf.timeout, conf.backoff, conf.priority) == (3, 30.0, (1.0,), 0)
    assert (conf.shutdown_timeout, conf.forward, conf.hooks) == (5.0, {}, ())
    assert conf.prune.interval == 1.0
    assert conf.prune.max_age == {"completed": 0.0, "failed": 0.0, "cancelled": 0.0}
    assert (conf.max_abandoned, conf.interrupt) == (None, False)


def test_an_unknown_queue_is_named(manual: Gaffer) -> None:
    """B9 [T]."""
    with pytest.raises(UnknownQueue) as caught:
        manual.get_queue("nowhere")

    assert caught.value.queue == "nowhere"


@pytest.mark.parametrize("declare", ["create_queue", "ensure_queue"])
def test_unknown_options_are_named_and_no_queue_is_made(
    declare: str, manual: Gaffer, driver: Driver
) -> None:
    """B10 [T]."""
    with pytest.raises(InvalidQueueConf) as caught:
        getattr(manual, declare)("q", max_workers=2, wings=2, tail=1)

    assert caught.value.keys == {"wings", "tail"}
    assert manual.list_queues() == {}
    assert not driver.queue_exists("q")


@pytest.mark.parametrize("worker", [echo, Echo, Echo()], ids=["function", "class", "object"])
def test_a_worker_is_a_callable_or_has_perform(worker: object, manual: Gaffer) -> None:
    """B21 [T], [D]."""
    queue = manual.create_queue("q", worker=worker, **quiet())  # type: ignore[arg-type]
    job = queue.insert({"a": 1})

    queue.poll()

    assert queue.get(job.id).result == {"a": 1}


def test_a_driver_is_given_by_name(make_gaffer: MakeGaffer) -> None:
    """B22 [T], B194 [T]."""
    own = make_gaffer("memory", work=False)
    queue = own.create_queue("q", worker=echo, **quiet())
    job = queue.insert("hello")

    queue.poll()

    assert queue.get(job.id).state is JobState.COMPLETED


def test_stopping_a_memory_driver_that_was_given_by_name_loses_its_jobs(
    make_gaffer: MakeGaffer,
) -> None:
    """B194 [T]."""
    own = make_gaffer(work=False)
    job = own.create_queue("q", driver="memory").insert("hello")
    own.stop()

    own.start()
    own.create_queue("q", driver="memory", **quiet())

    assert own.get("q", job.id, None) is None


def test_an_unknown_driver_is_named(manual: Gaffer) -> None:
    """B22 [T]."""
    with pytest.raises(UnknownDriver) as caught:
        manual.create_queue("q", driver="abacus")

    assert caught.value.name == "abacus"
    assert manual.list_queues() == {}


def test_an_empty_queue_is_deleted_once(manual: Gaffer, driver: Driver) -> None:
    """B23 [T], B25, B188 [D]."""
    manual.create_queue("q")

    manual.delete_queue("q")

    assert not driver.queue_exists("q")
    with pytest.raises(UnknownQueue):
        manual.get_queue("q")
    with pytest.raises(UnknownQueue):
        manual.delete_queue("q")


def test_a_queue_with_a_finished_job_is_not_deleted_and_goes_on(
    gaffer_: Gaffer, recorder: Recorder
) -> None:
    """B24 [T], B188 [D]."""
    queue = gaffer_.create_queue("q", worker=echo, **quiet(hooks=[recorder]))
    queue.insert(1)
    queue.poll()

    with pytest.raises(QueueHasJobs) as caught:
        gaffer_.delete_queue("q")

    assert caught.value.queue == "q"
    queue.insert(2)
    assert queue.poll() == 1


def test_a_queue_is_deleted_with_its_jobs_when_the_driver_is_given(
    gaffer_: Gaffer, driver: Driver, gate: Gate
) -> None:
    """B26 [T], B103."""
    queue = gaffer_.create_queue("q", worker=gate, poll_interval=0.01)
    jobs = queue.insert_many([1, 2])
    gate.wait_for(1)

    gaffer_.delete_queue("q", driver)

    assert [driver.job_get(job.id) for job in jobs] == [None, None]
    assert not driver.queue_exists("q")
    assert gaffer_.list_queues() == {}


def test_a_queue_that_only_storage_knows_is_deleted_with_its_jobs(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    """B26 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)
    job = there.create_queue("q").insert(1)

    here.delete_queue("q", driver)

    assert driver.job_get(job.id) is None
    assert not driver.queue_exists("q")


def test_deleting_with_the_driver_succeeds_when_nothing_is_stored(
    manual: Gaffer, driver: Driver
) -> None:
    """B26 [T]."""
    manual.delete_queue("nowhere", driver)

    assert driver.queue_list() == []


def test_all_queues_of_this_process_are_listed(make_gaffer: MakeGaffer) -> None:
    """B27 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)
    here.create_queue("a", max_workers=1)
    here.create_queue("b", max_workers=2)
    there.create_queue("c")

    listed = here.list_queues()

    assert {name: conf.max_workers for name, conf in listed.items()} == {"a": 1, "b": 2}


@pytest.mark.parametrize("declare", ["create_queue", "ensure_queue"])
def test_a_queue_to_forward_to_must_be_declared_before(
    declare: str, manual: Gaffer, driver: Driver
) -> None:
    """B30 [T]."""
    with pytest.raises(InvalidQueueConf, match="dlq") as caught:
        getattr(manual, declare)("q", forward={"failed": "dlq"})

    assert caught.value.keys == {"forward"}
    assert manual.list_queues() == {}
    assert not driver.queue_exists("q")


@pytest.mark.parametrize("state", ["available", "executing", "done"])
def test_only_terminal_states_are_forwarded(state: str, manual: Gaffer) -> None:
    """B31 [D]."""
    manual.create_queue("dlq")

    with pytest.raises(InvalidQueueConf, match=state) as caught:
        manual.create_queue("q", forward={state: "dlq"})

    assert caught.value.keys == {"forward"}


def test_declaring_a_queue_that_storage_knows_changes_nothing_there(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    """B29 [T], B187 [T]."""
    here, there = make_gaffer(work=False), make_gaffer(work=False)
    job = here.create_queue("q").insert(1)

    there.create_queue("q")

    assert driver.queue_list() == ["q"]
    assert there.get("q", job.id) == job
