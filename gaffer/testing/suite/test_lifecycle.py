"""Life: handles start, stop and share; threads and forked children may use them."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import os
import select
import signal
import threading
import traceback
import warnings

from gaffer.driver import Driver, DriverHealth, Job
from gaffer.testing.doubles import PATIENCE
from gaffer.testing.harness import DriverHarness
from gaffer.testing.suite.scene import ids, listed, put, take


def test_starting_again_does_nothing(driver: Driver) -> None:
    job = put(driver)

    driver.start()

    assert listed(driver) == [job]


def test_stopping_again_does_nothing(harness: DriverHarness, driver: Driver) -> None:
    job = put(driver)
    handle = harness.open()

    handle.stop()
    handle.stop()

    assert listed(driver) == [job]


def test_health_is_told_within_its_time(driver: Driver) -> None:
    health = driver.health(5.0)

    assert isinstance(health, DriverHealth)
    assert health.clock_offset is None or isinstance(health.clock_offset, float)
    assert all(n is None or n >= 0 for n in (health.connections, health.rows, health.dead_rows))


def test_a_handle_that_stops_leaves_the_others_alone(
    driver: Driver, harness: DriverHarness
) -> None:
    handle = harness.open()
    job = put(handle)
    handle.stop()

    assert ids(take(driver)) == [job.id]


def test_a_handle_that_is_opened_later_sees_what_there_is(
    driver: Driver, harness: DriverHarness
) -> None:
    job = put(driver)
    driver.queue_pause("q", True)

    later = harness.open()
    try:
        assert listed(later) == [job]
        assert later.queue_paused("q") is True
    finally:
        later.stop()


def test_what_a_durable_driver_keeps_outlives_its_handles(harness: DriverHarness) -> None:
    harness.reset()
    first = harness.open()
    job = put(first)
    first.node_beat("n")
    claimed = take(first)
    first.stop()

    second = harness.open()
    try:
        kept = [second.job_get(job.id)], second.queue_list(), second.job_orphans("q", 1000.0)
        assert kept == (claimed, ["q"], []) or not harness.durable
        assert put(second, "r").queue == "r"
    finally:
        second.stop()


def test_handles_onto_one_storage_say_so(driver: Driver, other: Driver) -> None:
    assert driver.storage == other.storage
    assert hash(driver.storage) == hash(other.storage)
    assert driver.storage == driver.storage


def test_a_driver_may_be_used_from_any_thread(driver: Driver) -> None:
    jobs: list[Job] = []

    def work() -> None:
        jobs.append(put(driver, payload=len(jobs)))
        take(driver, limit=1)

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE)

    assert set(ids(jobs)) == set(ids(listed(driver)))
    assert len(jobs) == 3
    assert take(driver) == []


def test_a_reset_forgets_everything(driver: Driver, harness: DriverHarness) -> None:
    put(driver)
    driver.queue_pause("q", True)
    driver.node_beat("n")

    harness.reset()

    assert (driver.queue_list(), listed(driver)) == ([], [])
    put(driver)
    assert driver.queue_paused("q") is False
    claimed = take(driver)
    assert driver.job_orphans("q", 1000.0) == claimed
    assert len(claimed) == 1


def test_a_forked_child_can_use_the_driver(driver: Driver, other: Driver) -> None:
    put(driver, "parent")
    ended = threading.Event()
    busy = threading.Thread(target=_keep_busy, args=(other, ended))
    busy.start()
    try:
        reports = [_in_a_child(driver, f"child {number}") for number in range(3)]
    finally:
        ended.set()
        busy.join(PATIENCE)

    assert reports == ["fine"] * 3
    assert len(take(driver, "parent")) == 1, "the parent cannot go on"


def _keep_busy(driver: Driver, ended: threading.Event) -> None:
    # So that a fork is likely to find some lock held.
    while not ended.is_set():
        job = put(driver, "busy")
        listed(driver, queue="busy")
        driver.job_delete(job.id)


def _use(driver: Driver, queue: str) -> None:
    job = put(driver, queue)
    assert driver.job_get(job.id) == job
    assert ids(take(driver, queue)) == [job.id]
    driver.queue_delete(queue, jobs=True)
    assert "parent" in driver.queue_list()


def _in_a_child(driver: Driver, queue: str) -> str:
    """Return what a forked child says of using *driver*: "fine", or what went wrong."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # That there are threads is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            _report(writer, driver, queue)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as report:
        ready = select.select([report], [], [], PATIENCE)[0]
        if not ready:
            os.kill(child, signal.SIGKILL)
        text = report.read() if ready else f"no answer from the child within {PATIENCE:g} s"
    os.waitpid(child, 0)
    return text


def _report(writer: int, driver: Driver, queue: str) -> None:
    try:
        driver.after_fork()
        _use(driver, queue)
        os.write(writer, b"fine")
    except BaseException:
        os.write(writer, traceback.format_exc()[-4000:].encode())
