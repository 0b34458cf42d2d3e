"""Sending forwarded jobs back to the queues that they came from, no faster than is asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from gaffer import machine
from gaffer.clock import Clock
from gaffer.driver import JobFilter
from gaffer.errors import UnknownQueue
from gaffer.info import Redriven
from gaffer.job import Job, JobState, evolve
from gaffer.ledger import Ledger
from gaffer.letter import Unfit, origin, returned
from gaffer.step import Forwarding, Step

__all__ = ["Redrive"]

_log = logging.getLogger("gaffer.redrive")

_BATCH = 100
"""Jobs that one write sends back."""


class Redrive:
    """One call of `redrive`: at most *limit* jobs, at most *rate* a second (`None`: no limit).

    *wait* waits so many seconds, or raises what ends the call.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        limit: int | None,
        rate: float | None,
        clock: Clock,
        wait: Callable[[float], None],
    ) -> None:
        self._ledger = ledger
        self._limit = limit
        self._rate = rate
        self._clock = clock
        self._wait = wait
        self._since: datetime
        self._sent = 0
        self._left: dict[UUID, str] = {}

    def run(self) -> Redriven:
        """Send back what is there, and no letter that comes meanwhile.

        While what was wrong is not mended, jobs come back as fast as they are sent.
        """
        began, last = self._clock.monotonic(), None
        self._since = self._ledger.driver.now()
        while number := self._room():
            letters = self._letters(last, number)
            if not letters:
                break
            last = letters[-1]
            self._send(letters)
            if self._rate is not None:
                due = began + self._sent / self._rate
                self._wait(max(0.0, due - self._clock.monotonic()))
        return Redriven(sent=self._sent, left=dict(self._left))

    def _room(self) -> int:
        number = _BATCH
        if self._rate is not None:  # never more in one go than a second has
            number = min(number, max(1, int(self._rate)))
        if self._limit is not None:
            number = min(number, self._limit - self._sent)
        return number

    def _letters(self, after: Job | None, number: int) -> list[Job]:
        # Only those that wait: one that is executing is in somebody's hands.
        letters = self._ledger.driver.job_list(
            JobFilter(
                queue=self._ledger.conf.name,
                states=frozenset({JobState.AVAILABLE}),
                limit=number,
                after=None if after is None else (after.created_at, after.id),
            )
        )
        return [letter for letter in letters if letter.created_at <= self._since]

    def _send(self, letters: list[Job]) -> None:
        steps: list[Step] = []
        for letter in letters:
            try:
                steps.append(redriving(self._ledger, letter))
            except Unfit as unfit:
                self._leave(letter.id, unfit.reason)
        writing = self._ledger.write(steps)
        self._sent += len(writing.written)
        for step, error in writing.stuck:
            self._leave(step.before.id, f"there is no queue {error.queue!r} any more")
        for step in writing.late:
            self._leave(step.before.id, "somebody has taken it, or ended it, meanwhile")

    def _leave(self, id: UUID, reason: str) -> None:
        self._left[id] = reason
        _log.warning("job %s of queue %r stays there: %s", id, self._ledger.conf.name, reason)


def redriving(ledger: Ledger, letter: Job) -> Step:
    """Return the step that sends *letter*, of *ledger*'s queue, back to where it came from.

    It is cancelled, without being forwarded again, by the write that inserts the job which it
    becomes. A queue that is not declared here is taken to be in this storage. Raise `Unfit`.
    """
    name, now = origin(letter), ledger.driver.now()
    try:
        target = ledger.ledger_of(name)
    except UnknownQueue:
        target = ledger
    job = returned(letter, evolve(target.template, queue=name), now=now, limit=ledger.max_bytes)
    after = machine.cancel(letter, now=now, reason={"redriven": str(job.id), "queue": name})
    step = Step(letter, after, "user")
    step.forwarding = Forwarding(
        target.driver, job, lambda job, actor: target.announce([job], actor)
    )
    return step
