"""The scheduler of one queue: inserts the jobs of its schedules, each slot once over all processes.

Every process that works the queue has one. That no two insert the same slot is the storage's doing:
what was the last slot, and the jobs of the next, are one write, and refused if another was first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from gaffer import codec, machine
from gaffer.conf import check_job
from gaffer.errors import Conflict, DriverUnavailable
from gaffer.job import Job
from gaffer.ledger import Ledger
from gaffer.schedules import Recurring
from gaffer.service import Service

__all__ = ["Scheduler"]

_log = logging.getLogger("gaffer.scheduler")

_LONGEST = 30.0
"""Seconds between looks at the clock, which may have been set."""
_AGAIN = 5.0
"""Seconds until a slot is tried again that could not be dealt with."""
_ASTRAY = timedelta(seconds=60)
"""A last slot that is further ahead would keep its schedule silent until then."""


class Scheduler:
    """A thread that sleeps until the next slot of *ledger*'s queue; *inserted* is told of jobs."""

    def __init__(self, ledger: Ledger, inserted: Callable[[], None]) -> None:
        self._ledger = ledger
        self._inserted = inserted
        self.service = Service(f"gaffer:{ledger.conf.name}:scheduler", self._step)

    def start(self) -> None:
        """Start, if the queue has a schedule."""
        if self._ledger.conf.schedules:
            self.service.start()
            self.service.poke()

    def _step(self) -> bool:
        schedules = self._ledger.conf.schedules
        self.service.wait(self.tick() if schedules else None)
        return not self.service.stopping

    def tick(self) -> float:
        """Deal with what is due now; return the seconds until there may be more."""
        pauses = [self._deal(schedule) for schedule in self._ledger.conf.schedules]
        return min(pauses, default=_LONGEST)

    def _deal(self, schedule: Recurring) -> float:
        try:
            now = self._ledger.driver.now()
            self._advance(schedule, now)
            due = schedule.next(now)
        except DriverUnavailable as error:
            _log.warning("%r of queue %r waits: %s", schedule, self._ledger.conf.name, error)
            return _AGAIN
        except Exception:  # the payload's function; it may be well the next time
            _log.exception("%r of queue %r", schedule, self._ledger.conf.name)
            return _AGAIN
        return _LONGEST if due is None else min(_LONGEST, (due - now).total_seconds())

    def _advance(self, schedule: Recurring, now: datetime) -> None:
        driver, queue = self._ledger.driver, self._ledger.conf.name
        last = driver.schedule_last(queue, schedule.key)
        if last is None:  # it is new: nothing was missed
            driver.schedule_advance(queue, schedule.key, None, now, [])
            return
        if last - now > _ASTRAY:  # the storage's clock was ahead, and was set back
            _log.warning("%r of queue %r was at %s; it goes on from now", schedule, queue, last)
            driver.schedule_advance(queue, schedule.key, last, now, [])
            return
        latest, slots = schedule.due(last, now)
        if latest is None:
            return
        jobs = [recurring(self._ledger, schedule, slot) for slot in slots]
        while True:
            try:
                if driver.schedule_advance(queue, schedule.key, last, latest, jobs):
                    self._told(jobs)
                return
            except Conflict as conflict:  # those jobs are there: that is all that was wanted
                there = len(jobs)
                jobs = [job for job in jobs if job.id not in conflict.ids]
                if len(jobs) == there:
                    raise

    def _told(self, jobs: list[Job]) -> None:
        self._ledger.announce(jobs, "runner")
        if jobs:
            self._inserted()


def recurring(ledger: Ledger, schedule: Recurring, slot: datetime) -> Job:
    """Return the job of a schedule's *slot*; raise what its payload's function raises."""
    return machine.create(
        ledger.template,
        codec.encode(schedule.payload_of(slot), limit=ledger.max_bytes),
        id=schedule.id_of(ledger.conf.name, slot),
        now=ledger.driver.now(),
        scheduled_at=slot,
        **check_job(schedule.options),
    )
