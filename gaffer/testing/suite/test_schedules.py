"""Schedules: the last slot, and the jobs of the next, are one step that one of many makes."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from gaffer.driver import Conflict, Driver, DriverError, UnknownQueue
from gaffer.testing.suite.crowd import together
from gaffer.testing.suite.scene import after, ids, listed
from gaffer.testing.values import NOW, new_job


def keeps(driver: Driver) -> bool:
    """Return whether the storage keeps schedules; one that does not says so."""
    driver.queue_insert("q")
    try:
        driver.schedule_last("q", "s")
    except DriverError:
        return False
    return True


def test_a_schedule_that_was_never_advanced_has_no_last_slot(driver: Driver) -> None:
    if keeps(driver):
        assert driver.schedule_last("q", "s") is None


def test_the_slot_and_its_jobs_are_kept_for_every_handle(driver: Driver, other: Driver) -> None:
    if not keeps(driver):
        return
    jobs = [new_job("q", 1), new_job("q", 2, chain="c")]

    assert driver.schedule_advance("q", "s", None, NOW, []) is True
    assert driver.schedule_advance("q", "s", NOW, after(60), jobs) is True

    assert other.schedule_last("q", "s") == after(60)
    assert {*ids(listed(other))} == {job.id for job in jobs}


def test_a_slot_is_kept_to_the_microsecond_and_apart_from_other_schedules(
    driver: Driver,
) -> None:
    if not keeps(driver):
        return
    driver.queue_insert("p")
    odd = NOW + timedelta(microseconds=1)

    assert driver.schedule_advance("q", "s", None, odd, [])
    assert driver.schedule_advance("q", "S", None, NOW, [])
    assert driver.schedule_advance("p", "s", None, after(1), [])

    slots = [driver.schedule_last(*one) for one in (("q", "s"), ("q", "S"), ("p", "s"))]
    assert slots == [odd, NOW, after(1)]


def test_who_expects_another_slot_changes_nothing(driver: Driver) -> None:
    if not keeps(driver):
        return
    driver.schedule_advance("q", "s", None, NOW, [])

    for expected in (None, after(1), after(-1)):
        assert not driver.schedule_advance("q", "s", expected, after(60), [new_job("q", 1)])
    assert not driver.schedule_advance("q", "unknown", NOW, after(60), [new_job("q", 1)])

    assert driver.schedule_last("q", "s") == NOW
    assert driver.schedule_last("q", "unknown") is None
    assert listed(driver) == []


def test_a_job_whose_id_is_taken_keeps_the_slot_from_moving(driver: Driver) -> None:
    if not keeps(driver):
        return
    driver.schedule_advance("q", "s", None, NOW, [])
    taken = driver.job_write([new_job("q", "there")])[0]
    jobs = [new_job("q", 1), new_job("q", 2, id=taken.id)]

    with pytest.raises(Conflict) as refused:
        driver.schedule_advance("q", "s", NOW, after(60), jobs)
    assert list(refused.value.ids) == [taken.id]

    assert driver.schedule_last("q", "s") == NOW
    assert ids(listed(driver)) == [taken.id]


def test_a_queue_that_is_not_kept_has_no_schedules(driver: Driver) -> None:
    if not keeps(driver):
        return

    with pytest.raises(UnknownQueue):
        driver.schedule_advance("unknown", "s", None, NOW, [])

    assert driver.schedule_last("unknown", "s") is None


def test_a_queue_that_is_deleted_forgets_its_schedules(driver: Driver) -> None:
    if not keeps(driver):
        return
    driver.schedule_advance("q", "s", None, NOW, [])

    driver.queue_delete("q")
    driver.queue_insert("q")

    assert driver.schedule_last("q", "s") is None


@pytest.mark.parametrize("expected", [None, NOW], ids=["first", "later"])
def test_of_many_who_advance_one_schedule_at_once_one_wins(
    driver: Driver, other: Driver, expected: datetime | None
) -> None:
    if not keeps(driver):
        return
    if expected is not None:
        driver.schedule_advance("q", "s", None, NOW, [])

    def advance(handle: Driver) -> bool:
        return handle.schedule_advance("q", "s", expected, after(60), [new_job("q", 1)])

    won = together(advance, [driver, other] * 4)

    assert sorted(won) == [False] * 7 + [True]
    assert len(listed(driver)) == 1
