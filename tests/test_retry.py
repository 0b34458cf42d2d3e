"""Pauses between tries: they grow, keep nodes out of step, and never keep anybody away for long."""

from __future__ import annotations

import importlib

import pytest

from gaffer.retry import Retry
from gaffer.testing.doubles import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_pauses_grow_to_two_and_a_half_seconds_and_never_shrink_below_a_half(
    clock: ManualClock,
) -> None:
    tried = Retry(clock)

    pauses = [tried.failed() for _ in range(20)]

    full = [0.1, 0.2, 0.4, 0.8, 1.6] + [2.5] * 15
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, full, strict=True))


def test_a_pause_and_a_wait_for_a_connection_never_take_five_seconds(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: the storage may come back when the last of a wait's three seconds has begun."""
    # Not as `gaffer.retry`: that is the verb.
    monkeypatch.setattr(importlib.import_module("gaffer.retry"), "random", lambda: 1.0)
    tried = Retry(clock)

    assert max(tried.failed() for _ in range(20)) + 2.0 < 5.0


def test_nodes_that_fail_together_come_back_spread_over_half_the_pause(clock: ManualClock) -> None:
    """F29."""
    first = [Retry(clock).failed() for _ in range(500)]

    # The odds against this are those of five hundred throws that all miss one tenth.
    assert 0.05 <= min(first) < 0.055
    assert 0.095 < max(first) <= 0.1
    assert len(set(first)) > 400


def test_it_tells_since_when_it_fails(clock: ManualClock) -> None:
    tried = Retry(clock)
    before = tried.since

    clock.advance(5)
    tried.failed()
    clock.advance(5)
    tried.failed()
    failing = tried.since
    tried.succeeded()

    assert (before, failing, tried.since) == (None, 5.0, None)


def test_it_is_due_again_after_the_pause_and_after_a_success_at_once(clock: ManualClock) -> None:
    tried = Retry(clock)
    pause = tried.failed()
    waiting = tried.due

    clock.advance(pause + 0.001)
    after_the_pause = tried.due
    tried.failed()
    tried.succeeded()

    assert (waiting, after_the_pause, tried.due) == (False, True, True)
    assert tried.failed() <= 0.1
