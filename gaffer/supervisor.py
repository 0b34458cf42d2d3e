"""One queue in this process: its ledger, its runner and its pruner, kept together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any
from uuid import UUID

from gaffer.clock import Clock
from gaffer.conf import OnConflict, QueueConf
from gaffer.crew import Crew
from gaffer.driver import Driver
from gaffer.errors import (
    AlreadyActive,
    AlreadyPaused,
    DrainTimeout,
    DriverUnavailable,
    FlushTimeout,
    InvalidQueueConf,
)
from gaffer.events import Hook, QueuePaused, QueueResumed
from gaffer.execution import breathe, running
from gaffer.futures import Read, ResultFuture
from gaffer.hand import Claiming
from gaffer.health import QueueHealth
from gaffer.heartbeat import Heartbeat
from gaffer.info import QueueInfo, Redriven, WorkersInfo
from gaffer.job import JSON, Job, JobState
from gaffer.ledger import Ledger
from gaffer.pace import Pace
from gaffer.presence import Served
from gaffer.pruner import Pruner
from gaffer.redrive import Redrive
from gaffer.results import Results
from gaffer.runner import Runner
from gaffer.scheduler import Scheduler
from gaffer.suspects import Suspects
from gaffer.turn import TURN
from gaffer.watchdog import Watchdog

__all__ = ["SETTLE_FOR", "Shared", "Supervisor"]

_log = logging.getLogger("gaffer.supervisor")

SETTLE_FOR = 5.0
"""Seconds that a stopping queue goes on trying to write what has ended."""
_GLANCE = 0.25
"""Seconds between looks of `flush` at the storage, when nothing happens here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the queues of one Gaffer share."""

    clock: Clock
    watchdog: Watchdog
    hooks: Callable[[], tuple[Hook, ...]]
    ledger_of: Callable[[str], Ledger]
    heartbeat_of: Callable[[Driver], Heartbeat]
    max_bytes: int
    looks: Pace
    sweeps: Pace
    suspects: Suspects
    results: Results
    crew: type[Crew] = Crew


class Supervisor:
    """Keeps one queue going."""

    def __init__(self, conf: QueueConf, shared: Shared) -> None:
        self._clock = shared.clock
        self._results = shared.results
        self.ledger = Ledger(
            conf,
            hooks=shared.hooks,
            ledger_of=shared.ledger_of,
            waits=shared.results,
            max_bytes=shared.max_bytes,
        )
        self.runner = Runner(
            self.ledger,
            heartbeat=shared.heartbeat_of(conf.driver),
            watchdog=shared.watchdog,
            clock=shared.clock,
            looks=shared.looks,
            suspects=shared.suspects,
            crew=shared.crew,
        )
        self.pruner = Pruner(self.ledger, clock=shared.clock, sweeps=shared.sweeps)
        self.scheduler = Scheduler(self.ledger, lambda: self._inserted(None))
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def conf(self) -> QueueConf:
        """The queue's configuration."""
        return self.ledger.conf

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, if there is a worker."""
        if self.conf.worker is None:
            return
        self._subscribe()
        self.runner.start()
        self.pruner.service.start()
        self.scheduler.start()

    def _subscribe(self) -> None:
        interval = self.conf.poll_interval
        self._end_subscription()
        if interval is None:
            return
        self._unsubscribe = self.conf.driver.subscribe(self.conf.name, interval, self.runner.wake)
        self.runner.intake.lookout.subscribed = self._unsubscribe is not None

    def _end_subscription(self) -> None:
        if self._unsubscribe is not None:
            unsubscribe, self._unsubscribe = self._unsubscribe, None
            try:
                unsubscribe()
            except Exception as error:
                _log.warning("queue %r: a subscription did not end: %r", self.conf.name, error)

    def configure(self, conf: QueueConf, *, work: bool) -> None:
        """Replace the configuration; jobs that run go on under the one that they began with."""
        self.ledger.configure(conf)
        if work:
            self.start()
        if self.runner.service.running:
            self.runner.look_again()
            self.pruner.rearm()

    def stop(self, grace: float | None) -> None:
        """Begin to stop; `join` waits for the end."""
        self.runner.stop(grace, SETTLE_FOR)
        self.pruner.service.stop()
        self.scheduler.service.stop()
        self._end_subscription()

    def join(self, timeout: float) -> bool:
        """Wait for the end of the threads; return whether they have ended."""
        deadline = self._clock.monotonic() + timeout
        ended = self.runner.join(timeout)
        for service in (self.pruner.service, self.scheduler.service):
            ended &= service.join(deadline - self._clock.monotonic())
        return ended

    def longest_shutdown(self, grace: float | None) -> float:
        """Return the most seconds that a job which runs here has to end in."""
        longest = self.runner.longest_shutdown()
        return longest if grace is None else min(longest, grace)

    # -- verbs -------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Pause the queue in every process."""
        if not self.conf.driver.queue_pause(self.conf.name, True):
            raise AlreadyPaused(self.conf.name)
        self.ledger.emit(QueuePaused(actor="user", queue=self.conf.name))

    def resume(self) -> None:
        """Resume the queue in every process, and after a drain here."""
        resumed = self.conf.driver.queue_pause(self.conf.name, False)
        drained, self.runner.draining = self.runner.draining, False
        if not resumed and not drained:
            raise AlreadyActive(self.conf.name)
        self.ledger.emit(QueueResumed(actor="user", queue=self.conf.name))
        self.runner.look()
        self.pruner.service.poke()

    def drain(self, timeout: float | None) -> None:
        """Claim no more here, and wait for what runs; see `Gaffer.drain`."""
        left = self.runner.unsettled
        if self._called_from_inside():
            raise DrainTimeout(self.conf.name, left(), timeout)
        began = self._clock.monotonic()
        self._begin_drain(timeout)
        spent = self._clock.monotonic() - began
        if not self.runner.turn.wait(
            lambda: not left(), None if timeout is None else timeout - spent
        ):
            raise DrainTimeout(self.conf.name, left(), timeout)

    def _begin_drain(self, timeout: float | None) -> None:
        try:
            self.runner.turn.ask(self.runner.drain, TURN if timeout is None else timeout)
        except DriverUnavailable:
            self.runner.draining = True  # a claim hangs; it is the last one
            raise DrainTimeout(self.conf.name, self.runner.unsettled(), timeout) from None

    def flush(self, timeout: float | None) -> None:
        """Wait until no job is available or executing, in whatever process."""
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while True:
            began, since = self._clock.monotonic(), self.runner.turn.moments
            if not self.runner.unsettled() and not self.ledger.incomplete():
                return
            # Looking may cost storage something: not more than a tenth of the time.
            left = max(_GLANCE, 10 * (self._clock.monotonic() - began))
            if deadline is not None:
                left = min(left, deadline - self._clock.monotonic())
            if left <= 0 or self.runner.rehearses or self._called_from_inside():
                raise self._flush_timeout(timeout)
            breathe()
            self.runner.check_open()
            self.runner.look()
            self.runner.turn.wait_quiet(left, since)

    def _flush_timeout(self, timeout: float | None) -> FlushTimeout:
        stats = self.ledger.stats()
        return FlushTimeout(
            self.conf.name,
            timeout,
            available=stats[JobState.AVAILABLE].count,
            executing=stats[JobState.EXECUTING].count,
            paused=self._paused(),
        )

    def _called_from_inside(self) -> bool:
        # A job, or a hook in the runner's thread, that waits for its queue waits for itself.
        if self.runner.service.inside:
            return True
        execution = running()
        return execution is not None and execution.job.id in self.runner.unsettled()

    def poll(self) -> int:
        """Claim and run what is free, and return how many jobs that were."""
        if self.conf.worker is None:
            raise InvalidQueueConf(f"queue {self.conf.name!r} has no worker", keys=["worker"])
        self.scheduler.tick()
        return self.runner.poll()

    def claim(self) -> Claiming:
        """Return a block for one job claimed by hand."""
        return Claiming(self.runner.claim_by_hand, self.ledger, self._out_of_hand)

    def _out_of_hand(self, job: Job, settled: bool) -> None:
        self.runner.intake.claims.out_of_hand(job, settled)
        self.runner.look()

    def insert(
        self,
        payload: JSON,
        options: Mapping[str, Any],
        connection: Any,
        on_conflict: OnConflict = "return",
    ) -> Job:
        """Insert a job, and have the runner look for it."""
        job = self.ledger.insert(payload, options, connection, on_conflict)
        self._inserted(connection)
        return job

    def insert_many(
        self,
        payloads: Iterable[Any],
        options: Mapping[str, Any],
        connection: Any,
        on_conflict: OnConflict = "return",
        *,
        returning: bool = True,
    ) -> list[Job] | int:
        """Insert jobs, and have the runner look for them; return them, or how many they are."""
        batches = self.ledger.insert_many(payloads, options, connection, on_conflict)
        try:
            return list(chain.from_iterable(batches)) if returning else sum(map(len, batches))
        finally:
            self._inserted(connection)

    def _inserted(self, connection: Any) -> None:
        # A driver that takes subscriptions wakes the runner itself, after the commit.
        if connection is None and self._unsubscribe is None and self.runner.service.running:
            self.runner.wake()

    def retry(self, id: UUID) -> Job:
        """Make an ended job available, and have the runner look for it."""
        job = self.ledger.retry(id)
        self._inserted(None)
        return job

    def redrive(self, limit: int | None, rate: float | None) -> Redriven:
        """Send forwarded jobs back; see `Gaffer.redrive`."""
        return Redrive(
            self.ledger, limit=limit, rate=rate, clock=self._clock, wait=self._rest
        ).run()

    def _rest(self, seconds: float) -> None:
        """Wait, in steps, so that a stop or the timeout of the job that waits is noticed."""
        until = self._clock.monotonic() + (0.0 if self.runner.rehearses else seconds)
        while True:
            breathe()
            self.runner.check_open()
            left = until - self._clock.monotonic()
            if left <= 0:
                return
            self.runner.turn.wait_quiet(min(left, _GLANCE), self.runner.turn.moments)

    def submit(
        self, payload: JSON, options: Mapping[str, Any], read: Read | None = None
    ) -> ResultFuture[Any]:
        """Insert a job, and return the future of its result, which *read* decodes."""
        return self._results.submit(self, payload, options, read)

    def future(self, job: Job | UUID, read: Read | None = None) -> ResultFuture[Any]:
        """Return the future of the result of a job that is there."""
        return self._results.future(self, job, read)

    def result(self, job: Job | UUID, timeout: float | None, read: Read | None = None) -> Any:
        """Wait for the result of a job that is there, and return it."""
        return self._results.result(self, job, timeout, read)

    @property
    def inside(self) -> bool:
        """Whether the caller is the queue's runner: a hook, most likely."""
        return self.runner.service.inside

    def unsettled(self) -> list[UUID]:
        """Return the jobs that run here, or have ended and are not written."""
        return self.runner.unsettled()

    def delete(self, id: UUID) -> None:
        """Delete a job, and tell it to stop if it runs here."""
        self.ledger.delete(id)
        self.runner.tell([id])

    def info(self) -> QueueInfo:
        """Return the queue's state, as seen from here."""
        conf, runner = self.conf, self.runner
        return QueueInfo(
            status="stuck" if runner.stuck else "paused" if self._paused() else "active",
            workers=WorkersInfo(
                active=runner.active,
                abandoned=runner.abandoned,
                late=self.ledger.late,
                max_local=conf.max_workers,
                max_global=conf.global_max_workers,
            ),
        )

    def served(self) -> Served:
        """Return how this process serves the queue."""
        tally = self.ledger.tally
        return Served(
            max_workers=self.conf.max_workers,
            global_max_workers=self.conf.global_max_workers,
            draining=self.runner.draining,
            stuck=self.runner.stuck,
            ended=tally.ended,
            failed=tally.failed,
            last_error=tally.last_error,
            last_error_at=None if tally.last is None else tally.last.at,
        )

    def health(self) -> QueueHealth:
        """Return how the queue does here; waits for nobody."""
        runner, now = self.runner, self._clock.monotonic()

        def age(moment: float | None) -> float | None:
            return None if moment is None else now - moment

        return QueueHealth(
            working=runner.service.running,
            turn=age(runner.turned_at),
            claim=age(runner.intake.claimed_at),
            settle=age(runner.settled_at),
            outage=age(runner.failing_since),
            unwritten=len(runner.outbox),
            active=runner.active,
            abandoned=runner.abandoned,
            stuck=runner.stuck,
            overdue=runner.roster.overdue(),
        )

    def _paused(self) -> bool:
        return self.runner.draining or self.conf.driver.queue_paused(self.conf.name)
