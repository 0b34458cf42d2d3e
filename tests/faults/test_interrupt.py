"""The interrupt by itself: a shot lands in the body, or nowhere; never in what comes behind it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable

import pytest

from gaffer.errors import JobTimeout
from gaffer.interrupt import Interrupt
from tests.rig.shots import Shots, shots
from tests.rig.waiting import busy, shoot, took

TIMEOUT = 0.002


def _shots(body: Callable[[Interrupt], None], number: int, of_each: int = 0) -> Shots:
    """Run *number* bodies that end about when they are shot at; no shot lands elsewhere.

    More of them, until *of_each* were interrupted and as many were not: how many are hit in time is
    a matter of who gets the processor.
    """

    def enough(so_far: Shots) -> bool:
        least = min(so_far.interrupted, so_far.done)
        return so_far.number >= number and least >= of_each

    found = shots(body, enough, after=TIMEOUT)
    assert found.escaped == 0
    return found


def test_no_shot_escapes_from_thousands_of_attempts_that_end_about_when_they_are_shot() -> None:
    """F30."""
    before = threading.active_count()

    found = _shots(lambda _: busy(TIMEOUT * random.uniform(0.9, 1.6)), 1500, of_each=20)

    assert min(found.interrupted, found.done) >= 20
    assert threading.active_count() == before


def test_no_shot_escapes_from_attempts_that_sleep() -> None:
    """F30, F32."""
    found = _shots(lambda _: time.sleep(TIMEOUT * random.uniform(0.9, 1.6)), 900)

    assert found.number >= 900


def test_no_shot_escapes_from_bodies_that_catch_what_they_get() -> None:
    """F30, F34."""

    def body(_: Interrupt) -> None:
        with contextlib.suppress(ValueError):
            try:
                busy(TIMEOUT * random.uniform(0.9, 1.6))
            finally:
                busy(0.0001)

    found = _shots(body, 900)

    assert found.number >= 900


def test_an_uninterruptible_block_is_never_torn() -> None:
    """F31."""
    lock = threading.Lock()
    entered: list[int] = []
    left: list[int] = []

    def body(interrupt: Interrupt) -> None:
        end = time.perf_counter() + TIMEOUT * random.uniform(0.9, 1.6)
        while time.perf_counter() < end:
            with interrupt.uninterruptible():
                lock.acquire()
                entered.append(1)
                with interrupt.uninterruptible():
                    busy(0.0001)
                left.append(1)
                lock.release()

    found = _shots(body, 900)

    assert found.interrupted > 10
    assert found.done > 10
    assert lock.acquire(timeout=1)
    assert len(entered) == len(left)


def test_a_shot_during_an_uninterruptible_block_is_raised_at_its_end() -> None:
    """F31."""
    interrupt = Interrupt()
    passed: list[str] = []

    def body() -> str:
        with interrupt.uninterruptible():
            threading.Thread(target=interrupt.shoot).run()
            busy(0.01)
            passed.append("whole")
        passed.append("behind")
        return "done"

    end = interrupt.run(body, lambda: "interrupted")

    assert (end, passed) == ("interrupted", ["whole"])


def test_an_error_that_leaves_an_uninterruptible_block_gives_way_to_the_shot() -> None:
    """F31, F34."""
    interrupt = Interrupt()

    def body() -> str:
        with interrupt.uninterruptible():
            interrupt.shoot()
            raise ValueError

    end = interrupt.run(body, lambda: "interrupted")

    assert end == "interrupted"


def test_a_shot_before_the_body_has_begun_keeps_it_from_beginning() -> None:
    """F30."""
    interrupt = Interrupt()
    interrupt.shoot()
    ran: list[int] = []

    def body() -> str:
        ran.append(1)
        return "done"

    with took(0, 0.5):
        end = interrupt.run(body, lambda: "interrupted")

    assert (end, ran) == ("interrupted", [])


def test_a_body_that_swallows_its_shot_ends_normally_and_its_thread_lives_on() -> None:
    """F33."""
    interrupt = Interrupt()
    ends: list[str] = []
    inside = threading.Event()

    def body() -> str:
        inside.set()
        with contextlib.suppress(BaseException):
            busy(10)
        return "swallowed"

    def run() -> None:
        ends.append(interrupt.run(body, lambda: "interrupted"))
        for _ in range(1000):
            pass
        ends.append("alive")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert inside.wait(5)

    interrupt.shoot()

    thread.join(5)
    assert ends == ["swallowed", "alive"]


def test_a_swallowed_shot_does_not_tear_the_blocks_that_follow() -> None:
    """F33."""
    interrupt = Interrupt()
    ends: list[str] = []
    inside = threading.Event()

    def body() -> str:
        inside.set()
        with contextlib.suppress(JobTimeout):
            busy(10)
        with interrupt.uninterruptible():
            busy(0.01)
            ends.append("whole")
        with interrupt.uninterruptible():
            ends.append("whole")
        return "swallowed"

    thread = threading.Thread(
        target=lambda: ends.append(interrupt.run(body, lambda: "interrupted")), daemon=True
    )
    thread.start()
    assert inside.wait(5)

    interrupt.shoot()

    thread.join(10)
    assert ends == ["whole", "whole", "swallowed"]


def test_a_foreign_timeout_in_the_body_is_no_shot() -> None:
    """F34."""
    interrupt = Interrupt()

    def body() -> str:
        try:
            raise JobTimeout
        except JobTimeout:
            return "caught"

    end = interrupt.run(body, lambda: "interrupted")

    assert end == "caught"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_other_exceptions_pass_through(error: type[BaseException]) -> None:
    """F35."""
    interrupt = Interrupt()

    def body() -> str:
        shoot(threading.current_thread(), error)
        busy(1)
        return "done"

    with pytest.raises(error):
        interrupt.run(body, lambda: "interrupted")
