"""What runs in a queue: its executions, and the threads that outlive theirs.

Only the runner changes it, in its turn; others may read the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from gaffer.clock import Clock
from gaffer.conf import QueueConf
from gaffer.crew import Crew
from gaffer.execution import Execution, Report
from gaffer.job import Job
from gaffer.step import Mark, mark
from gaffer.watchdog import Watchdog

__all__ = ["Roster"]


class Roster:
    """The running executions of one queue, the crew that runs them, and whom it has lost."""

    def __init__(
        self, crew: Crew, report: Callable[[Report], None], *, watchdog: Watchdog, clock: Clock
    ) -> None:
        self._report = report
        self._watchdog = watchdog
        self._clock = clock
        self._crew = crew
        self._running: dict[int, Execution] = {}  # by the id's number, which hashes faster
        # Attempts whose job was taken from us, and claimed by us again, while they went on.
        self._displaced: set[Execution] = set()
        self._abandoned: set[Execution] = set()
        self._home: set[Execution] = set()  # came home before their end was reported

    def __len__(self) -> int:
        return len(self._running) + len(self._displaced)

    def _all(self) -> list[Execution]:
        return [*self._running.values(), *self._displaced]

    def ids(self) -> list[UUID]:
        """Return the ids of the jobs that run."""
        return [execution.job.id for execution in self._all()]

    def held(self) -> list[Mark]:
        """Return the jobs that run, each at the revision that it was claimed at."""
        return [mark(execution.job) for execution in self._running.copy().values()]

    @property
    def abandoned(self) -> int:
        """How many threads outlive their attempt."""
        return len(self._abandoned)

    def stuck(self, conf: QueueConf) -> bool:
        """Return whether more threads are abandoned than *conf* allows."""
        most = conf.max_workers if conf.max_abandoned is None else conf.max_abandoned
        return most is not None and len(self._abandoned) > most

    def run(self, jobs: Sequence[Job], conf: QueueConf) -> tuple[list[Execution], list[Job]]:
        """Start *jobs*; return their executions, and the jobs that no thread could be had for."""
        if conf.worker is None:
            return [], list(jobs)
        executions = [
            Execution(job, conf.worker, self._report, self._clock, interrupt=conf.interrupt)
            for job in jobs
        ]
        able = len(executions) - self._crew.hire(len(self) + len(executions))
        started, unable = executions[:able], executions[able:]
        try:
            self._watchdog.watch(started)
        except RuntimeError:  # no thread for the watchdog, and nothing runs unwatched
            return [], list(jobs)
        for execution in started:
            self._begin(execution)
        self._crew.run(started)
        return started, [execution.job for execution in unable]

    @property
    def here(self) -> bool:
        """Whether jobs run in the thread of who polls."""
        return self._crew.here

    def work(self) -> None:
        """Run in the caller's thread what waits for that; see `gaffer.crew.Here`."""
        self._crew.work()

    def _begin(self, execution: Execution) -> None:
        older = self._running.get(execution.job.id.int)
        if older is not None:
            older.told = True
            self._displaced.add(older)
        self._running[execution.job.id.int] = execution

    def displaced(self, execution: Execution) -> bool:
        """Return whether the execution goes on although its job was claimed here again."""
        return execution in self._displaced

    def runs(self, execution: Execution) -> bool:
        """Return whether this very execution counts as running."""
        # Not by the id alone: the job may run again while an older attempt reports.
        return self._running.get(execution.job.id.int) is execution

    def gone(self, execution: Execution) -> None:
        """Note that a running execution has ended; its thread may go on."""
        if self.displaced(execution):
            self._displaced.discard(execution)
        else:
            del self._running[execution.job.id.int]
        if execution.abandoned:
            self._crew.lose()
            if execution in self._home:
                self._home.discard(execution)
            else:
                self._abandoned.add(execution)

    def came_home(self, execution: Execution) -> None:
        """Note that the thread of an abandoned execution has ended, maybe before we knew of it."""
        if execution in self._abandoned:
            self._abandoned.discard(execution)
        elif self.runs(execution) or self.displaced(execution):
            self._home.add(execution)

    def ended(self) -> list[Execution]:
        """Return the running ones that should have reported by now: a report may be lost."""
        return [
            execution
            for execution in self._all()
            if execution.outcome is not None or execution.abandoned
        ]

    def longest_shutdown(self) -> float:
        """Return the longest `shutdown_timeout` of the running jobs, in seconds."""
        running = self._all()
        return max((execution.job.shutdown_timeout for execution in running), default=0.0)

    def overdue(self) -> float | None:
        """Return the seconds that an attempt goes on past its time, at the most; `None`: none."""
        now = self._clock.monotonic()
        # What the watchdog has ended waits for the runner, which waits for storage, maybe.
        late = [now - execution.deadline for execution in self._all() if not execution.ended]
        return max((seconds for seconds in late if seconds > 0), default=None)

    def hurry(self, grace: float | None) -> None:
        """Give each running job its shutdown timeout, at most *grace*."""
        now = self._clock.monotonic()
        for execution in self._all():
            wait = execution.job.shutdown_timeout
            wait = wait if grace is None else min(wait, grace)
            execution.hurry(now + wait)
        self._watchdog.watch(self._all(), "shutdown")

    def tell(self, ids: Iterable[UUID]) -> int:
        """Tell the running ones among *ids* to stop: their jobs are gone. Return how many."""
        gone = [self._running[id.int] for id in ids if id.int in self._running]
        for execution in gone:
            execution.told = True
        return len(gone)

    def rest(self) -> None:
        """Let threads without work go."""
        self._crew.trim(len(self))
