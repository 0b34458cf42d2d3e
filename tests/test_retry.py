"""When to try again: pauses that grow, and that no two nodes share."""

from __future__ import annotations

from itertools import pairwise

from gaffer.retry import Retry
from gaffer.testing.doubles import ManualClock


def pauses(number: int) -> list[float]:
    """Return the pauses of as many failures in a row."""
    retry = Retry(ManualClock())
    return [retry.failed() for _ in range(number)]


def test_the_pauses_grow_to_five_seconds_and_no_further() -> None:
    longest = [max(pause) for pause in zip(*(pauses(20) for _ in range(50)), strict=True)]

    assert longest[0] <= 0.1
    assert all(later > earlier for earlier, later in pairwise(longest[:6]))
    assert min(longest[6:]) >= 2.5
    assert max(longest) <= 5.0


def test_nodes_that_fail_together_come_back_spread_over_half_the_pause() -> None:
    """F29."""
    [first] = zip(*(pauses(1) for _ in range(500)), strict=True)

    # The odds against this are those of five hundred throws that all miss one tenth.
    assert 0.05 <= min(first) < 0.055
    assert 0.095 < max(first) <= 0.1
    assert len(set(first)) > 400


def test_a_retry_is_due_when_its_pause_is_over() -> None:
    clock = ManualClock()
    retry = Retry(clock)
    due = [retry.due]

    retry.failed()
    due.append(retry.due)
    clock.advance(0.1)
    due.append(retry.due)
    retry.failed()
    retry.succeeded()
    due.append(retry.due)

    assert due == [True, False, True, True]
