"""Where the claims of a queue may begin to look, for as long as a look at all of it takes long.

An index keeps what was claimed for as long as anybody holds an older snapshot: a backup, a report,
a forgotten transaction. Then every claim walks over all that was claimed since, unless it begins
behind it. Where that is can only be guessed: transactions commit out of order, retries come back.
So a look at the whole follows now and then, and while such looks are quick there are no bounds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gaffer.driver import Claim, Job
from gaffer_driver_postgres.clock import monotonic

__all__ = ["Bounds", "Start"]

_IN_A_ROW = 3
"""Slow looks after which there are bounds: one alone may be the machine's fault."""
_PAUSE = 1.0
"""Seconds between two looks at the whole, at the least: how long a bound may hide a job."""
_SHARE = 20
"""Of its time, a queue may spend one in so many on looks at the whole."""
_LATE = timedelta(seconds=0.25)
"""How much later than made a job may be committed, to be found in a queue that was empty."""
_MOST = 32
"""Priorities with a bound; the others are looked at as a whole."""


@dataclass(frozen=True, slots=True)
class Start:
    """Of these priorities, in descending order, look at jobs made since these instants only."""

    priorities: Sequence[int] = ()
    since: Sequence[datetime] = ()

    @property
    def whole(self) -> bool:
        """Whether there is no bound."""
        return not self.priorities


@dataclass(slots=True)
class _Guess:
    slow: int = 0  # looks at the whole in a row that took long
    whole_at: float = 0.0  # when to look at the whole again
    since: dict[int, datetime] = field(default_factory=dict)


class Bounds:
    """The bounds for each queue, as this process guesses them from its own claims."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guesses: dict[str, _Guess] = {}

    def start(self, queue: str) -> Start:
        """Return where the next claim of *queue* begins to look."""
        with self._lock:
            guess = self._guesses.get(queue)
            if guess is None or guess.slow < _IN_A_ROW or monotonic() >= guess.whole_at:
                return Start()
            priorities = sorted(guess.since, reverse=True)
            return Start(priorities, [guess.since[priority] for priority in priorities])

    def learn(self, claim: Claim, start: Start, jobs: Sequence[Job], took: float | None) -> None:
        """Note that *claim*, which began at *start*, has brought *jobs*, in order.

        *took* are the seconds of a look at the whole that took long, or that there was in spite of
        the bounds.
        """
        if took is None and claim.queue not in self._guesses:
            return  # nearly always
        with self._lock:
            if start.whole and took is None:
                self._guesses.pop(claim.queue, None)
                return
            guess = self._guesses.setdefault(claim.queue, _Guess())
            if took is not None:
                guess.slow += 1
                guess.whole_at = monotonic() + max(_PAUSE, _SHARE * took)
            self._move(guess, claim, jobs, whole=start.whole or took is not None)

    def _move(self, guess: _Guess, claim: Claim, jobs: Sequence[Job], *, whole: bool) -> None:
        for job in jobs:
            guess.since.pop(job.priority, None)  # the one used last stands last
            guess.since[job.priority] = job.created_at
        full = claim.limit is not None and len(jobs) >= claim.limit
        if whole and full and jobs:  # what lies behind was not looked at: nothing is known of it
            last = jobs[-1].priority
            guess.since = {p: since for p, since in guess.since.items() if p >= last}
        if not full:  # none are left, but for those to come
            for priority, since in guess.since.items():
                guess.since[priority] = max(since, claim.now - _LATE)
        while len(guess.since) > _MOST:
            del guess.since[next(iter(guess.since))]
