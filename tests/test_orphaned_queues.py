"""Queues that storage keeps and this process does not know."""

from __future__ import annotations

from gaffer import Gaffer, JobInserted
from gaffer.driver import Driver
from gaffer_driver_memory import MemoryDriver
from tests.conftest import MakeGaffer, Recorder


def test_after_a_restart_what_was_not_declared_again_is_orphaned(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    """B184 [T], B209 [T]."""
    before, after = make_gaffer(), make_gaffer()
    for name in ("a", "c", "b"):
        before.create_queue(name)
    before.stop()

    after.ensure_queue("a")

    assert after.orphaned_queues(driver) == ["b", "c"]
    assert after.orphaned_queues() == ["b", "c"]


def test_a_stopped_gaffer_that_starts_again_has_to_declare_its_queues(
    gaffer_: Gaffer, driver: Driver
) -> None:
    """B209 [T], B184 [T]."""
    job = gaffer_.create_queue("q").insert(1)
    gaffer_.stop()

    gaffer_.start()

    assert gaffer_.list_queues() == {}
    assert gaffer_.orphaned_queues(driver) == ["q"]
    assert gaffer_.ensure_queue("q").get(job.id) == job


def test_a_queue_of_another_storage_is_no_orphan_here(
    manual: Gaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """B184 [T]."""
    manual.create_queue("here")
    manual.create_queue("there", driver=elsewhere)

    assert manual.orphaned_queues(driver) == []
    assert manual.orphaned_queues(elsewhere) == []


def test_a_queue_of_the_same_name_elsewhere_is_orphaned_here(
    manual: Gaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """B184 [T]."""
    driver.queue_insert("q")

    manual.create_queue("q", driver=elsewhere)

    assert manual.orphaned_queues(driver) == ["q"]


def test_an_orphaned_queue_is_deleted_with_its_jobs_and_listed_no_more(
    make_gaffer: MakeGaffer, driver: Driver, recorder: Recorder
) -> None:
    """B185 [T], B26 [T], B139 [D]."""
    before, after = make_gaffer(), make_gaffer(hooks=[recorder])
    job = before.create_queue("b").insert(1)
    before.stop()
    after.ensure_queue("a")
    recorder.events.clear()

    after.delete_queue("b", driver)

    assert after.orphaned_queues(driver) == []
    assert driver.job_get(job.id) is None
    assert recorder.events == []  # what this process does not know it does not tell


def test_deleting_a_queue_of_the_same_name_elsewhere_leaves_ours(
    manual: Gaffer, driver: Driver, elsewhere: MemoryDriver, recorder: Recorder
) -> None:
    """B26 [T]."""
    elsewhere.queue_insert("q")
    queue = manual.create_queue("q", hooks=[recorder])

    manual.delete_queue("q", elsewhere)
    job = queue.insert(1)

    assert driver.job_get(job.id) == job
    assert len(recorder.of(JobInserted)) == 1
    assert not elsewhere.queue_exists("q")
