"""What `gaffer top` shows: one look at all queues, and what has changed since the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gaffer import JobState
from gaffer.cli.views import span
from gaffer.driver import Driver
from gaffer.presence import Presence, Served, presence

__all__ = ["COLUMNS", "Line", "Rates", "Watch", "looked"]

COLUMNS = ("QUEUE", "STATUS", "AVAILABLE", "EXECUTING", "FAILED", "PER SECOND", "ERRORS", "WORKERS",
           "PROCESSES", "OLDEST")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One queue.

    *rate*: attempts that ended a second, and *errors* those of them that failed, by what the
    processes told last; `None`: not yet known. *error* is the newest error that they have told of,
    *error_at* its instant. *workers*: how many its living processes have, `None` for no limit.
    """

    queue: str
    status: str
    available: int
    executing: int
    failed: int
    rate: float | None
    errors: float | None
    error: str | None
    error_at: datetime | None
    workers: int | None
    processes: int
    since: datetime | None

    def cells(self, now: datetime) -> tuple[Any, ...]:
        """Return the cells of the line's row under `COLUMNS`."""
        return (
            self.queue,
            self.status,
            self.available,
            self.executing,
            self.failed,
            None if self.rate is None else f"{self.rate:.1f}",
            None if self.errors is None else f"{self.errors:.1f}",
            f"{self.executing}/{'∞' if self.workers is None else self.workers}",
            self.processes,
            None if self.since is None else span(now - self.since),
        )

    def trouble(self, now: datetime) -> str | None:
        """Return what failed last, and how long ago."""
        if self.error is None or self.error_at is None:
            return None
        return f"{self.queue}, {span(now - self.error_at)} ago: {self.error}"

    def plain(self) -> dict[str, Any]:
        """Return the line as JSON has it."""
        return {
            "queue": self.queue,
            "status": self.status,
            "available": self.available,
            "executing": self.executing,
            "failed": self.failed,
            "rate": self.rate,
            "errors": self.errors,
            "last_error": self.error,
            "last_error_at": None if self.error_at is None else self.error_at.isoformat(),
            "workers": self.workers,
            "processes": self.processes,
            "waiting_since": None if self.since is None else self.since.isoformat(),
        }


class Rates:
    """How often something that *count* finds in what processes tell happens a second."""

    def __init__(self, count: Callable[[Served], int | None]) -> None:
        self._count = count
        self._last: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._rates: dict[tuple[str, str], float] = {}

    def note(self, nodes: Iterable[Presence]) -> None:
        """Take what *nodes* tell now."""
        told = {
            (node.node, queue): (count, node.beat_at)
            for node in nodes
            for queue, served in (node.queues or {}).items()
            if (count := self._count(served)) is not None
        }
        for key, (count, at) in told.items():
            before, since = self._last.get(key, (count, at))
            seconds = (at - since).total_seconds()
            if seconds > 0:
                self._rates[key] = max(0, count - before) / seconds
        self._last = told
        self._rates = {key: rate for key, rate in self._rates.items() if key in told}

    def of(self, queue: str) -> float | None:
        """Return the rate of *queue* over all processes, or `None` if it is not known yet."""
        rates = [rate for (_, name), rate in self._rates.items() if name == queue]
        return sum(rates) if rates else None


class Watch:
    """What is kept from one look to the next."""

    def __init__(self) -> None:
        self.ended = Rates(lambda served: served.ended)
        self.failed = Rates(lambda served: served.failed)


def looked(driver: Driver, watch: Watch) -> list[Line]:
    """Return a line for each queue, and have *watch* take what the processes tell."""
    now = driver.now()
    alive = [one for node in driver.node_list() or () if (one := presence(node, now)).alive]
    watch.ended.note(alive)
    watch.failed.note(alive)
    return [_line(driver, name, alive, watch) for name in driver.queue_list()]


def _line(driver: Driver, name: str, alive: list[Presence], watch: Watch) -> Line:
    stats = driver.job_stats(name)
    serving = [served for node in alive if (served := (node.queues or {}).get(name))]
    workers = [served.max_workers for served in serving]
    stuck = any(served.stuck for served in serving)
    error, error_at = _last_error(serving)
    return Line(
        queue=name,
        status="paused" if driver.queue_paused(name) else "stuck" if stuck else "active",
        available=stats[JobState.AVAILABLE].count,
        executing=stats[JobState.EXECUTING].count,
        failed=stats[JobState.FAILED].count,
        rate=watch.ended.of(name),
        errors=watch.failed.of(name),
        error=error,
        error_at=error_at,
        workers=None if None in workers else sum(one or 0 for one in workers),
        processes=len(serving),
        since=stats[JobState.AVAILABLE].waiting_since,
    )


def _last_error(serving: list[Served]) -> tuple[str | None, datetime | None]:
    told = [
        (served.last_error_at, served.last_error)
        for served in serving
        if served.last_error is not None and served.last_error_at is not None
    ]
    at, error = max(told, default=(None, None))
    return error, at
