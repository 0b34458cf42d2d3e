"""Waking: whoever waits for jobs of a queue is told soon, or the driver says that it cannot."""

# ruff: noqa: D103 - the names of the tests are sentences of the contract
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from gaffer.testing.suite.scene import after, finish, put, take

INTERVAL = 0.05
PATIENCE = 5.0
LATER = timedelta(seconds=1000)


class Watch:
    """Notes wakes. A driver that cannot wake leaves it to polling, which is always awake."""

    def __init__(self, driver: Driver, queue: str = "q") -> None:
        self._woken = threading.Event()
        self.end = driver.subscribe(queue, INTERVAL, self._woken.set)

    def forget(self) -> None:
        """Forget the wakes until now."""
        self._woken.clear()

    def woken(self) -> bool:
        """Wait for a wake; return whether it came."""
        return self.end is None or self._woken.wait(PATIENCE)

    def quiet(self) -> bool:
        """Whether no wake has come."""
        return not self._woken.is_set()


@contextmanager
def watching(driver: Driver, queue: str = "q") -> Iterator[Watch]:
    """Watch a queue for the length of a block."""
    watch = Watch(driver, queue)
    try:
        yield watch
    finally:
        if watch.end is not None:
            watch.end()


def test_an_insert_wakes(driver: Driver) -> None:
    driver.queue_insert("q")

    with watching(driver) as watch:
        put(driver)
        assert watch.woken()


def test_an_insert_by_another_handle_wakes(driver: Driver, other: Driver) -> None:
    driver.queue_insert("q")

    with watching(driver) as watch:
        put(other)
        assert watch.woken()


def test_one_after_another_wakes(driver: Driver) -> None:
    with watching(driver) as watch:
        for _ in range(5):
            watch.forget()
            put(driver)
            assert watch.woken()


def test_a_queue_may_be_watched_before_it_is_kept(driver: Driver) -> None:
    with watching(driver) as watch:
        put(driver)
        assert watch.woken()


def test_the_coming_of_its_time_wakes(driver: Driver, harness: DriverHarness) -> None:
    with watching(driver) as watch:
        put(driver, scheduled_at=driver.now() + LATER)
        watch.forget()
        harness.advance(LATER.total_seconds())
        assert watch.woken()


def test_the_time_of_what_was_there_before_wakes(driver: Driver, harness: DriverHarness) -> None:
    put(driver, scheduled_at=driver.now() + LATER)

    with watching(driver) as watch:
        watch.forget()
        harness.advance(LATER.total_seconds())
        assert watch.woken()


def test_a_resume_wakes(driver: Driver, other: Driver) -> None:
    put(driver)
    driver.queue_pause("q", True)

    with watching(driver) as watch:
        watch.forget()
        other.queue_pause("q", False)
        assert watch.woken()


def test_a_slot_that_was_freed_wakes(driver: Driver, other: Driver) -> None:
    put(driver)
    put(driver)
    (claimed,) = take(driver, most=1)

    with watching(driver) as watch:
        watch.forget()
        finish(other, claimed)
        assert watch.woken()


def test_a_chain_that_was_freed_wakes(driver: Driver, other: Driver) -> None:
    put(driver, chain="c")
    put(driver, chain="c")
    (claimed,) = take(driver)

    with watching(driver) as watch:
        watch.forget()
        finish(other, claimed)
        assert watch.woken()


def test_a_chain_whose_first_job_was_deleted_wakes(driver: Driver, other: Driver) -> None:
    first = put(driver, chain="c", scheduled_at=driver.now() + LATER)
    put(driver, chain="c", now=after(1))

    with watching(driver) as watch:
        watch.forget()
        other.job_delete(first.id)
        assert watch.woken()


def test_every_watch_of_a_queue_is_woken(driver: Driver, other: Driver) -> None:
    with watching(driver) as first, watching(driver) as second, watching(other) as third:
        put(driver)
        assert [watch.woken() for watch in (first, second, third)] == [True] * 3


def test_a_watch_that_was_ended_is_not_woken(driver: Driver) -> None:
    ended = Watch(driver)
    with watching(driver) as watch:
        if ended.end is not None:
            ended.end()
        put(driver)
        assert watch.woken()

        # A call may have been under way when the watch was ended; there is none by now.
        ended.forget()
        watch.forget()
        put(driver)
        assert watch.woken()
        assert ended.quiet()


def test_a_wake_that_raises_does_no_harm(driver: Driver) -> None:
    raised = threading.Event()

    def fail() -> None:
        raised.set()
        raise ValueError("this wake fails")

    end = driver.subscribe("q", INTERVAL, fail)
    with watching(driver) as watch:
        for _ in range(3):
            raised.clear()
            watch.forget()
            put(driver)
            assert watch.woken()
            assert end is None or raised.wait(PATIENCE)
    if end is not None:
        end()


def test_a_wake_may_use_the_driver_from_another_thread(driver: Driver, other: Driver) -> None:
    looks: list[bool] = []
    looked = threading.Event()
    looking = threading.Lock()
    over = False

    def look() -> None:
        with looking:
            if over:
                return  # the handles are about to stop
            thread = threading.Thread(target=_look, args=(driver, other), daemon=True)
            thread.start()
            thread.join(PATIENCE)
            looks.append(not thread.is_alive())
            looked.set()

    end = driver.subscribe("q", INTERVAL, look)
    put(driver)

    assert end is None or looked.wait(PATIENCE)
    with looking:
        over = True
    assert all(looks), "a wake was called with a lock held"
    if end is not None:
        end()


def _look(*drivers: Driver) -> None:
    for driver in drivers:
        driver.queue_list()
        driver.queue_insert("r")


def test_a_wake_may_end_its_own_watch(driver: Driver) -> None:
    ends: list[Callable[[], None]] = []
    ended = threading.Event()

    def end_it() -> None:
        while ends:
            ends.pop()()
        ended.set()

    end = driver.subscribe("q", INTERVAL, end_it)
    if end is not None:
        ends.append(end)
    put(driver)

    assert end is None or ended.wait(PATIENCE)
    assert put(driver).queue == "q"
