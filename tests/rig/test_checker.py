"""The checker of the records finds what is planted in them, and nothing in clean ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.rig.audit import Transition
from tests.rig.checker import Limits, Records, check, story
from tests.rig.history import Effect

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DONE, DEAD, LETTER, GONE, NONE = (UUID(int=number) for number in range(1, 6))
QUEUES = {"work": Limits(2, {"failed": "letters"}), "letters": Limits()}


def change(
    job: UUID, was: str | None, became: str | None, revision: int, **more: Any
) -> Transition:
    """Return a transition; what is not said is as in a run in which all is well."""
    said = {
        "queue": "work",
        "chain": None,
        "attempt": 0,
        "max_attempts": 2,
        "priority": 0,
        "created_at": NOON,
        "executing": 1,
        "executing_in_chain": 1,
        "origin": None,
        "error": None,
        "node": None,
        "at": NOON + timedelta(seconds=revision),
    }
    return Transition(job=job, was=was, became=became, revision=revision, **{**said, **more})


def effect(job: UUID, revision: int, phase: Any) -> Effect:
    """Return a line of the history."""
    return Effect(job, revision, 1, 7, phase, NOON + timedelta(seconds=revision, milliseconds=5))


TRANSITIONS = [
    change(DONE, None, "scheduled", 0, chain="c"),
    change(DONE, "scheduled", "available", 0, chain="c"),
    change(DONE, "available", "executing", 1, chain="c"),
    change(DONE, "executing", "available", 2, chain="c"),
    change(DONE, "available", "executing", 3, chain="c"),
    change(DONE, "executing", "completed", 4, chain="c", attempt=1),
    change(DEAD, None, "available", 0),
    change(DEAD, "available", "executing", 1),
    change(DEAD, "executing", "available", 2, attempt=1, error="lost"),
    change(DEAD, "available", "executing", 3, attempt=1),
    change(DEAD, "executing", "failed", 4, attempt=2, error="ValueError"),
    change(LETTER, None, "available", 0, queue="letters", origin=DEAD),
    change(LETTER, "available", "cancelled", 1, queue="letters"),
    change(GONE, None, "available", 0),
    replace(change(GONE, "available", None, 0), revision=None, attempt=None, max_attempts=None),
]
EFFECTS = [effect(DONE, 3, "start"), effect(DONE, 3, "end"), effect(DEAD, 3, "start")]
CLEAN = Records(
    queues=QUEUES,
    transitions=TRANSITIONS,
    effects=EFFECTS,
    tried={DONE, DEAD, GONE, NONE},
    acknowledged={DONE, DEAD, GONE},
    rolled_back={NONE},
    deleted={GONE},
    stored={DONE: ("completed", 4), DEAD: ("failed", 4), LETTER: ("cancelled", 1)},
    told={(DONE, "completed"): 1},
)


def with_(*more: Transition, at: int | None = None) -> Records:
    """Return the clean records with more transitions, or with one in the place of another."""
    changed = [*TRANSITIONS, *more] if at is None else [*TRANSITIONS]
    if at is not None:
        changed[at : at + 1] = more
    return replace(CLEAN, transitions=changed)


def without(*places: int) -> Records:
    """Return the clean records without some transitions."""
    left = [one for place, one in enumerate(TRANSITIONS) if place not in places]
    return replace(CLEAN, transitions=left)


def test_in_clean_records_nothing_is_found() -> None:
    assert check(CLEAN) == []


PLANTED: dict[str, tuple[Callable[[], Records], str]] = {
    "an acknowledged job that is nowhere": (
        lambda: replace(CLEAN, acknowledged={*CLEAN.acknowledged, NONE}, rolled_back=set()),
        "inserts: job {none} was acknowledged, and never stored",
    ),
    "a job of a transaction that was rolled back": (
        lambda: with_(change(NONE, None, "available", 0)),
        "inserts: job {none} was inserted in a transaction that was rolled back, and is stored",
    ),
    "a job that nobody inserted": (
        lambda: replace(CLEAN, tried=CLEAN.tried - {DONE}),
        "inserts: job {done} is stored, and nobody inserted it",
    ),
    "a job that is inserted twice": (
        lambda: with_(change(GONE, None, "available", 0)),
        "inserts: job {gone} was inserted 2 times",
    ),
    "a deletion that nobody asked for": (
        lambda: replace(CLEAN, deleted=set()),
        "presence: job {gone} was deleted, and nobody had asked for it",
    ),
    "a row that is gone without a word": (
        lambda: replace(CLEAN, stored={**CLEAN.stored, DONE: ("completed", 3)}),
        "presence: job {done} is stored as ('completed', 3); by the account it should be"
        " ('completed', 4)",
    ),
    "a completion of which nothing was done": (
        lambda: replace(CLEAN, effects=EFFECTS[:1] + EFFECTS[2:]),
        "runs: job {done} is completed at revision 4, and the attempt that was claimed at 3 wrote"
        " no end",
    ),
    "the result of another attempt": (
        lambda: replace(CLEAN, effects=[*EFFECTS[:2], effect(DEAD, 1, "start")]),
        "runs: job {dead} is failed at revision 4, and the attempt that was claimed at 3 wrote"
        " no start",
    ),
    "a second end": (
        lambda: with_(change(DONE, "completed", "failed", 5, attempt=1, error="lost")),
        "ends: job {done} has come to an end 2 times",
    ),
    "an end of what did not run": (
        lambda: with_(change(LETTER, "available", "failed", 1, queue="letters"), at=12),
        "ends: job {letter} is failed, and was available before",
    ),
    "a write on top of an older revision": (
        lambda: with_(change(DEAD, "executing", "failed", 3, attempt=2, error="lost"), at=10),
        "revisions: job {dead} went from revision 3 to 3",
    ),
    "a revision that is left out": (
        lambda: without(8, 9),
        "revisions: job {dead} went from revision 1 to 4",
    ),
    "one more than the queue's limit": (
        lambda: with_(change(DONE, "available", "executing", 3, chain="c", executing=3), at=4),
        "limits: 3 jobs of queue 'work' executed at 2026-01-01 12:00:03+00:00, and at most 2 may",
    ),
    "two of a chain": (
        lambda: with_(
            change(DONE, "available", "executing", 3, chain="c", executing_in_chain=2), at=4
        ),
        "limits: 2 jobs of chain 'c' executed at 2026-01-01 12:00:03+00:00",
    ),
    "a claim of the second in a chain": (
        lambda: with_(
            change(NONE, None, "scheduled", 0, chain="c", priority=1),
            change(LETTER, None, "available", 0, chain="c"),
            change(LETTER, "available", "executing", 1, chain="c"),
        ),
        "order: job {letter} was claimed before {none} of its chain",
    ),
    "a letter that is lost": (
        lambda: without(11, 12),
        "forwards: job {dead} should be forwarded to 'letters' once, and was 0 times",
    ),
    "a letter that is sent twice": (
        lambda: with_(change(NONE, None, "available", 0, queue="letters", origin=DEAD)),
        "forwards: job {dead} was forwarded to 'letters' 2 times, and owed less",
    ),
    "an attempt too many": (
        lambda: with_(change(DEAD, "executing", "failed", 4, attempt=3, error="ValueError"), at=10),
        "attempts: job {dead} has 3 of 2 attempts",
    ),
    "an attempt that is taken back": (
        lambda: with_(change(DEAD, "available", "executing", 3, attempt=0), at=9),
        "attempts: job {dead} went from attempt 1 to 0",
    ),
    "an end that is told twice": (
        lambda: replace(CLEAN, told={(DONE, "completed"): 2}),
        "tellings: hooks were told 2 times that job {done} is completed",
    ),
    "an end that is told and never was": (
        lambda: replace(CLEAN, told={(DEAD, "completed"): 1}),
        "tellings: hooks were told that job {dead} is completed, and it never was",
    ),
    "a job that is stuck": (
        lambda: replace(CLEAN, stored={**CLEAN.stored, DONE: ("executing", 3)}),
        "leftovers: job {done} is still executing at revision 3",
    ),
}


@pytest.mark.parametrize(("plant", "said"), PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(plant: Callable[[], Records], said: str) -> None:
    names = {"done": DONE, "dead": DEAD, "letter": LETTER, "gone": GONE, "none": NONE}

    assert said.format(**names) in [str(violation) for violation in check(plant())]


def test_who_inserts_in_a_transaction_of_their_own_may_come_late_to_a_chain() -> None:
    records = with_(
        change(NONE, None, "available", 0, chain="c", priority=1),
        change(LETTER, "available", "executing", 1, chain="c"),
    )

    rules = [violation.rule for violation in check(records)]
    excused = [v.rule for v in check(replace(records, unordered={NONE}))]

    assert rules.count("order") == 1
    assert "order" not in excused


def test_the_story_of_a_job_is_told_by_time() -> None:
    assert story(CLEAN, DEAD) == [
        "12:00:00.000000 None -> available at revision 0, attempt 0, by None, no error",
        "12:00:01.000000 available -> executing at revision 1, attempt 0, by None, no error",
        "12:00:02.000000 executing -> available at revision 2, attempt 1, by None, lost",
        "12:00:03.000000 available -> executing at revision 3, attempt 1, by None, no error",
        "12:00:03.005000   start of 3 in process 7",
        "12:00:04.000000 executing -> failed at revision 4, attempt 2, by None, ValueError",
    ]
