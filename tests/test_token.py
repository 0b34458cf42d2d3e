"""What is settled once, by whoever comes first."""

from __future__ import annotations

from collections import Counter

from gaffer.token import Token, Verdict
from tests.rig.waiting import together


def test_a_token_is_taken_once_until_it_is_given_back() -> None:
    token = Token()

    assert [token.take(), token.take()] == [True, False]
    token.give_back()
    assert [token.take(), token.take()] == [True, False]


def test_the_first_verdict_stays() -> None:
    verdict = Verdict()

    assert verdict.decided is None
    assert verdict.decide("itself")
    assert not verdict.decide("timeout")
    assert verdict.decided == "itself"


def test_who_decided_may_decide_the_same_again() -> None:
    verdict = Verdict()

    assert [verdict.decide("timeout"), verdict.decide("timeout")] == [True, True]


def test_one_of_many_threads_takes_each_token() -> None:
    tokens = [Token() for _ in range(2000)]
    taken: Counter[int] = Counter()

    def take() -> None:
        mine = [number for number, token in enumerate(tokens) if token.take()]
        taken.update(mine)

    together([take] * 4)

    assert taken == Counter(range(2000))
