"""The runner of one queue: it alone decides what becomes of attempts.

One thread repeats three verbs: collect what happened, settle what has ended, claim what is free.
All others send it messages. While its thread does not run, a caller may take its turn: see
`gaffer.turn`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import TypeAlias
from uuid import UUID

from gaffer.clock import Clock
from gaffer.crew import Crew
from gaffer.errors import DriverUnavailable, Stopped
from gaffer.events import QueueStuck, RunnerFailed
from gaffer.execution import Execution, Late, Report
from gaffer.heartbeat import Heartbeat
from gaffer.intake import Intake
from gaffer.job import Job
from gaffer.ledger import Ledger
from gaffer.outbox import Outbox
from gaffer.pace import Pace
from gaffer.retry import Retry
from gaffer.roster import Roster
from gaffer.service import Service
from gaffer.suspects import Suspects
from gaffer.turn import Turn
from gaffer.watchdog import Watchdog
from gaffer.writing import Claiming

__all__ = ["Runner"]

_log = logging.getLogger("gaffer.runner")

Message: TypeAlias = Report | Callable[[], object] | None

_PATIENCE = 10.0
"""Seconds without anything to do, after which idle threads may go."""


class Runner:
    """Works one queue. What has no lock is changed in the runner's turn only."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        heartbeat: Heartbeat,
        watchdog: Watchdog,
        clock: Clock,
        looks: Pace,
        suspects: Suspects,
        crew: type[Crew],
    ) -> None:
        self._name = name = ledger.conf.name
        self.ledger = ledger
        self.draining = False
        self.stuck = False
        self.service = Service(
            f"gaffer:{name}:runner", self.step, failed=self._broken, nudge=self.look
        )
        self._clock = clock
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self.roster = Roster(crew(name), self._inbox.put, watchdog=watchdog, clock=clock)
        self.outbox = Outbox(ledger, self._settled)
        self._writing = Retry(clock)
        self.intake = Intake(
            ledger, self.roster, self.outbox, heartbeat=heartbeat, clock=clock, looks=looks,
            suspects=suspects, may=self._may_claim, failed=self._went,
        )  # fmt: skip
        self.turn = Turn(self.service, self._inbox.put, self._stand_in, clock)
        self._polls: list[set[UUID]] = []
        self._ended_at: datetime | None = None  # one for all that is collected at once
        self._stirred = False  # something was settled since the last quiet moment
        self._reported_at = clock.monotonic()
        # When it last came round, and when storage last took an outcome:
        self.turned_at: float | None = None
        self.settled_at: float | None = None
        self._stop_asked: tuple[float | None, float] | None = None  # written by any thread
        self._stop_heard: tuple[float | None, float] | None = None
        self._stop_by: float | None = None
        self._orphans: tuple[Sequence[Job], float] | None = None  # written by the heartbeat

    # -- for other threads -------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """How many jobs run here and now."""
        return len(self.roster)

    @property
    def failing_since(self) -> float | None:
        """Since when storage takes no claim or no outcome, in monotonic seconds."""
        since = [self._writing.since, self.intake.retry.since if self.intake.able else None]
        return min((at for at in since if at is not None), default=None)

    @property
    def rehearses(self) -> bool:
        """Whether a test runs jobs by hand, on a clock that stands still: nobody should wait."""
        return self.roster.here and not self.service.running

    @property
    def serving(self) -> bool:
        """Whether this process works the queue: by a worker, or by hand."""
        return self.ledger.conf.worker is not None or self.intake.claims.by_hand_ever

    @property
    def abandoned(self) -> int:
        """How many threads outlive their attempt."""
        return self.roster.abandoned

    def unsettled(self) -> list[UUID]:
        """Return the jobs that run here, or have ended and are not written."""
        return self.roster.ids() + self.outbox.ids()

    def wake(self) -> None:
        """Say that there may be jobs; from any thread, any number of times."""
        if self.intake.lookout.poke(self.ledger.conf):
            self._inbox.put(None)

    def look(self) -> None:
        """Have the runner look for jobs, whatever the poll interval."""
        self._inbox.put(self.intake.lookout.look)

    def drain(self) -> None:
        """Claim no more; in the runner's turn, so that no claim is under way."""
        self.draining = True

    def look_again(self) -> None:
        """Have the runner look at its configuration, and for jobs if it polls at all."""
        self._inbox.put(self._reconfigured)

    def _reconfigured(self) -> None:
        self.intake.lookout.rearm(self.ledger.conf)
        self._check_stuck()

    def tell(self, ids: Iterable[UUID]) -> None:
        """Tell running jobs to stop, because they are gone from storage."""
        gone = list(ids)
        if self.roster:  # else nobody might ever read it
            self._inbox.put(lambda: self.roster.tell(gone))

    def rescue(self, orphans: Sequence[Job], lease: float) -> None:
        """Have the jobs of silent nodes settled."""
        waiting, self._orphans = self._orphans, (orphans, lease)
        if waiting is None:  # else the message is on its way
            self._inbox.put(self._rescue)

    def _rescue(self) -> None:
        found, self._orphans = self._orphans, None
        try:
            if found is not None:
                self.ledger.rescue(*found)
        except DriverUnavailable as error:
            _log.warning("queue %r: rescue comes later: %s", self.ledger.conf.name, error)

    def lapsed(self) -> None:
        """Have the jobs that others have taken told: this node was silent for a lease."""
        self._inbox.put(self._check_held)

    def _check_held(self) -> None:
        try:
            self.intake.lapsed()
        except DriverUnavailable as error:
            _log.warning("queue %r: what it holds is looked at later: %s", self._name, error)

    def poll(self) -> int:
        """Claim what is free, even while paused, run and settle it; return how many jobs."""
        number, polled = self.turn.ask(self._poll)
        self.roster.work()
        self.turn.wait(lambda: not polled, None)
        return number

    def _poll(self) -> tuple[int, set[UUID]]:
        self.check_open()
        polled = self.intake.fill(even_paused=True)
        self._polls.append(polled)
        return len(polled), polled

    def check_open(self) -> None:
        """Raise `Stopped` if the queue stops or has stopped."""
        if self._stop_asked is not None:
            raise Stopped(f"queue {self.ledger.conf.name!r} has stopped")

    # -- the loop ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, which looks for jobs at once."""
        self.intake.lookout.rearm(self.ledger.conf)
        self.service.start()

    def step(self) -> bool:
        """Collect, settle, claim; return whether there is more to come."""
        with self.turn.lock:
            self.turned_at = self._clock.monotonic()
            self._collect(self._patience())
            self._settle(self.intake.beside)
            self._claim()
            return not self._finished()

    def _stand_in(self, patience: float) -> None:
        """Do a step for a caller who has taken the turn; no claim, which nobody would follow."""
        self._collect(patience)
        self._settle(lambda: None)

    def _patience(self) -> float:
        """Return how long there is nothing to do unless a message comes."""
        now = self._clock.monotonic()
        due = now + (_PATIENCE if self._stop_by is None else 0.1)
        if self.intake.lookout.wanted and self.intake.able:
            due = min(due, self.intake.retry.at or now)
        if self.outbox.waiting:
            due = min(due, self._writing.at or now)
        due = min(due, self.intake.lookout.next(self.ledger.conf) or due)
        return max(0.0, due - now)

    def _collect(self, patience: float) -> None:
        """Wait for a message, up to *patience* seconds, and take all that there are."""
        self._ended_at = None
        try:
            self._take(self._inbox.get(timeout=patience) if patience else self._inbox.get_nowait())
            for _ in range(self._inbox.qsize()):  # who sends all the time must not keep us here
                self._take(self._inbox.get_nowait())
        except Empty:
            pass
        if self._clock.monotonic() - self._reported_at >= _PATIENCE:
            self.roster.rest()
        self.intake.lookout.tick(self.ledger.conf)

    def _take(self, message: Message) -> None:
        match message:
            case Execution():
                self._take_ended(message)
            case None:
                self.intake.lookout.poked()
            case Late(execution, dropped):
                self.roster.came_home(execution)
                self._check_stuck()
                if dropped:
                    self.ledger.too_late(execution.job, "worker")
            case call:
                call()

    def _take_ended(self, execution: Execution) -> None:
        self._reported_at = self._clock.monotonic()
        displaced = self.roster.displaced(execution)
        if not displaced and not self.roster.runs(execution):
            return
        if not displaced:
            self._ended_at = self._ended_at or self.ledger.driver.now()
            # First here, then not there: nothing is lost between.
            self.outbox.ended(execution, self._ended_at)
        self.roster.gone(execution)
        self.intake.lookout.look()  # a slot is free
        if execution.abandoned:
            self._check_stuck()
        elif displaced:  # it is late for certain: a later claim is ours
            self.ledger.too_late(execution.job, "worker")

    # -- settle ------------------------------------------------------------------------------------

    def _settle(self, beside: Callable[[], Claiming | None]) -> None:
        """Write what has ended, in one batch; what storage does not take is kept.

        What *beside* returns is claimed in the same go: half of the trips.
        """
        self._begin_stop()
        if self.outbox.waiting and self._writing.due:
            error = self.outbox.write(beside())
            self.intake.tell()
            self._went(self._writing, error)

    def _settled(self, ids: Sequence[UUID]) -> None:
        self.settled_at = self._clock.monotonic()
        self._stirred = True
        if self._polls:
            for polled in self._polls:
                polled.difference_update(ids)
            self._polls = [polled for polled in self._polls if polled]
            self.turn.notify()

    def _went(self, retry: Retry, error: Exception | None) -> None:
        """Note how a call of storage went."""
        if error is None:
            retry.succeeded()
            return
        pause = retry.failed()
        _log.warning("queue %r tries again in %.1f s: %r", self.ledger.conf.name, pause, error)
        self._failed(error)

    def _broken(self, error: BaseException) -> None:
        """Note that an exception ended a step; what it had taken from the inbox may be lost."""
        for execution in self.roster.ended():
            self._inbox.put(execution)
        self.intake.lookout.rearm(self.ledger.conf)
        self.look()
        self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.ledger.emit(RunnerFailed(actor="runner", queue=self.ledger.conf.name, error=error))

    # -- claim -------------------------------------------------------------------------------------

    def _claim(self) -> None:
        """Fill the free slots."""
        if self.intake.due:
            try:
                self.intake.fill()
            except DriverUnavailable as error:
                self._went(self.intake.retry, error)

    def _may_claim(self) -> bool:
        barred = self.draining or self.stuck or self._stop_asked is not None
        return not barred and self.ledger.conf.worker is not None

    def claim_by_hand(self) -> Job | None:
        """Claim one job for the caller, who settles it."""
        return self.turn.ask(self._claim_by_hand, undo=self.intake.claims.put_back)

    def _claim_by_hand(self) -> Job | None:
        self.check_open()
        return None if self.draining else self.intake.by_hand()

    def _check_stuck(self) -> None:
        was, self.stuck = self.stuck, self.roster.stuck(self.ledger.conf)
        if self.stuck and not was:
            name, number = self.ledger.conf.name, self.roster.abandoned
            _log.error("queue %r is stuck: %d threads outlive their jobs", name, number)
            self.ledger.emit(QueueStuck(actor="runner", queue=name, abandoned=number))
        self.intake.lookout.look()

    # -- stop --------------------------------------------------------------------------------------

    def stop(self, grace: float | None, settle_for: float) -> None:
        """Claim no more, tell the jobs, and release those that do not end in their time.

        Each job has its `shutdown_timeout`, at most *grace* seconds. What has ended is written for
        up to *settle_for* seconds more. Again, it can only hasten what is under way.
        """
        self._stop_asked = (grace, settle_for)
        self.look()  # the runner sees to it in its next step

    def longest_shutdown(self) -> float:
        """Return the longest `shutdown_timeout` of what runs here, in seconds."""
        return self.roster.longest_shutdown()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until all is settled and the thread has ended."""
        if self.service.began:
            return self.service.join(timeout)
        self.service.stop()  # it never will; what `poll` left behind is settled here
        deadline = self._clock.monotonic() + timeout
        self.turn.take(0.0)
        while self.unsettled() and (left := deadline - self._clock.monotonic()) > 0:
            self.turn.take(min(0.1, left))
        with self.turn.lock:
            return self._finished()

    def _begin_stop(self) -> None:
        asked = self._stop_asked
        if asked is not None and asked is not self._stop_heard:
            self._stop_heard = asked
            grace, settle_for = asked
            longest = self.roster.longest_shutdown()
            by = self._clock.monotonic() + longest + settle_for
            self._stop_by = by if self._stop_by is None else min(by, self._stop_by)
            self.roster.hurry(grace)

    def _finished(self) -> bool:
        busy = self.roster or self.outbox or (self.intake.lookout.wanted and self.intake.able)
        if self._stirred and not busy:
            self._stirred = False
            self.turn.notify()
        if self._stop_by is None:
            return False
        if self.unsettled():
            if self._clock.monotonic() < self._stop_by:
                return False
            _log.error("queue %r stops, unwritten: %s", self.ledger.conf.name, self.unsettled())
        self.intake.close()
        self.roster.rest()
        return True
