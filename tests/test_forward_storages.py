"""Forwarding between drivers: one write where one can be, and nothing lost where not."""

from __future__ import annotations

import pytest

from gaffer import Gaffer, Job, JobState, Queue
from gaffer.driver import Driver, DriverUnavailable, JobFilter
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from tests.conftest import PATIENCE, Calling, MakeGaffer, fail, quiet


def pair(gaffer_: Gaffer, source: Driver, target: Driver) -> tuple[Queue, Queue]:
    """Declare "dlq", and "q" that forwards its failed jobs there, each on its own driver."""
    behind = gaffer_.ensure_queue("dlq", driver=target, **quiet())
    options = quiet(forward={"failed": "dlq"}, max_attempts=1)
    return gaffer_.ensure_queue("q", driver=source, worker=fail, **options), behind


def test_on_one_storage_both_jobs_are_one_write(make_gaffer: MakeGaffer, driver: Driver) -> None:
    """F58, B129 [D]."""
    faulty = FaultyDriver(driver)
    source, target = pair(make_gaffer(work=False), faulty, faulty)
    source.insert(1)
    before = faulty.calls.count("job_write")

    source.poll()

    assert faulty.calls.count("job_write") == before + 1
    assert len(target.list()) == 1


def test_two_drivers_on_one_storage_make_one_write(
    make_gaffer: MakeGaffer, driver: Driver, other: Driver
) -> None:
    """F58, B129 [D]."""
    here, there = FaultyDriver(driver), FaultyDriver(other)
    source, target = pair(make_gaffer(work=False), here, there)
    source.insert(1)
    before = here.calls.count("job_write")

    source.poll()

    assert here.calls.count("job_write") == before + 1
    assert "job_write" not in there.calls
    assert len(target.list()) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_on_one_storage_a_write_without_an_answer_is_repeated_and_forwards_once(
    after: bool, make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    """F58, B129 [D], B208 [T]."""
    source, target = pair(make_gaffer(work=False), faulty, faulty)
    job = source.insert(1)
    faulty.fail("job_write", times=2, after=after)

    source.poll()

    [forwarded] = target.list()
    assert forwarded.payload["id"] == str(job.id)
    assert (source.get(job.id).state, source.get(job.id).attempt) == (JobState.FAILED, 1)


def test_on_one_storage_a_write_that_fails_stores_neither(
    make_gaffer: MakeGaffer, driver: Driver, faulty: FaultyDriver
) -> None:
    """F58, B129 [D]."""
    source, target = pair(make_gaffer(work=False), faulty, faulty)
    job = source.insert(1)
    faulty.fail("job_write", times=1)

    with faulty.block("job_write") as hold:
        polling = Calling(source.poll)
        assert hold.entered.wait(PATIENCE)
        states = [kept.state for kept in driver.job_list(JobFilter())]
        hold.release.set()
    polling.result()

    assert states == [JobState.EXECUTING]
    assert [kept.state for kept in source.list()] == [JobState.FAILED]
    assert source.list()[0].id == job.id
    assert len(target.list()) == 1


@pytest.mark.parametrize("outward", [True, False], ids=["outward", "inward"])
def test_two_storages_forward_in_both_directions(
    outward: bool, manual: Gaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """F58, B131 [T]."""
    ends = (driver, elsewhere) if outward else (elsewhere, driver)
    source, target = pair(manual, *ends)
    job = source.insert({"a": 1})

    source.poll()

    [forwarded] = target.list()
    assert source.get(job.id).state is JobState.FAILED
    assert forwarded.payload["payload"] == {"a": 1}
    assert ends[1].job_get(forwarded.id) == forwarded
    assert ends[0].job_get(forwarded.id) is None


def test_the_target_is_written_first(
    manual: Gaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """F58, B130 [D]."""
    there = FaultyDriver(elsewhere)
    source, target = pair(manual, driver, there)
    job = source.insert(1)

    with there.block("job_write") as hold:
        polling = Calling(source.poll)
        assert hold.entered.wait(PATIENCE)
        meanwhile = source.get(job.id)
        hold.release.set()
    polling.result()

    assert meanwhile.state is JobState.EXECUTING
    assert source.get(job.id).state is JobState.FAILED
    assert len(target.list()) == 1


@pytest.mark.parametrize("error", [DriverUnavailable("down"), RuntimeError("broken")])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_source_that_fails_after_the_target_was_written_loses_and_doubles_nothing(
    after: bool, error: Exception, manual: Gaffer, faulty: FaultyDriver, elsewhere: MemoryDriver
) -> None:
    """F58, B130 [T], B193 [T], B208 [T]."""
    source, target = pair(manual, faulty, elsewhere)
    job = source.insert(1)
    faulty.fail("job_write", times=2, error=error, after=after)

    source.poll()

    [forwarded] = target.list()
    stored = source.get(job.id)
    assert (stored.state, stored.attempt, stored.revision) == (JobState.FAILED, 1, 2)
    assert forwarded.payload["id"] == str(job.id)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_target_that_fails_holds_the_source_back(
    after: bool, manual: Gaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """F58, B130 [T]."""
    there = FaultyDriver(elsewhere)
    source, target = pair(manual, driver, there)
    job = source.insert(1)
    there.fail("job_write", times=2, after=after)

    source.poll()

    [forwarded] = target.list()
    assert forwarded.payload["id"] == str(job.id)
    assert source.get(job.id).state is JobState.FAILED


def test_a_job_that_was_deleted_meanwhile_is_not_forwarded(
    make_gaffer: MakeGaffer, driver: Driver, elsewhere: MemoryDriver
) -> None:
    """F58, B130 [D]."""
    gaffer_ = make_gaffer(work=False)

    def work(job: Job) -> object:
        gaffer_.delete("q", job.id)
        return fail(job)

    source, target = pair(gaffer_, driver, elsewhere)
    source.update(worker=work)
    source.insert(1)

    source.poll()

    assert source.list() == []
    assert target.list() == []
