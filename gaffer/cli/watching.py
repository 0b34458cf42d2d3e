"""What `gaffer top` shows: one look at all queues, and what has changed since the one before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gaffer import JobState
from gaffer.cli.views import span
from gaffer.driver import Driver
from gaffer.presence import Presence, presence

__all__ = ["COLUMNS", "Line", "Rates", "looked"]

COLUMNS = ("QUEUE", "STATUS", "AVAILABLE", "EXECUTING", "FAILED", "PER SECOND", "WORKERS",
           "PROCESSES", "OLDEST")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One queue.

    *rate*: attempts that ended a second, by what the processes told last; `None`: not yet known.
    *workers*: how many its living processes have, `None` for no limit.
    """

    queue: str
    status: str
    available: int
    executing: int
    failed: int
    rate: float | None
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
            f"{self.executing}/{'∞' if self.workers is None else self.workers}",
            self.processes,
            None if self.since is None else span(now - self.since),
        )

    def plain(self) -> dict[str, Any]:
        """Return the line as JSON has it."""
        since = None if self.since is None else self.since.isoformat()
        return {
            "queue": self.queue,
            "status": self.status,
            "available": self.available,
            "executing": self.executing,
            "failed": self.failed,
            "rate": self.rate,
            "workers": self.workers,
            "processes": self.processes,
            "waiting_since": since,
        }


class Rates:
    """How many attempts end a second, from what processes tell with their beats."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, datetime]] = {}
        self._rates: dict[tuple[str, str], float] = {}

    def note(self, nodes: Iterable[Presence]) -> None:
        """Take what *nodes* tell now."""
        told = {
            (node.node, queue): (served.ended, node.beat_at)
            for node in nodes
            for queue, served in (node.queues or {}).items()
            if served.ended is not None
        }
        for key, (ended, at) in told.items():
            before, since = self._last.get(key, (ended, at))
            seconds = (at - since).total_seconds()
            if seconds > 0:
                self._rates[key] = max(0, ended - before) / seconds
        self._last = told
        self._rates = {key: rate for key, rate in self._rates.items() if key in told}

    def of(self, queue: str) -> float | None:
        """Return the rate of *queue* over all processes, or `None` if it is not known yet."""
        rates = [rate for (_, name), rate in self._rates.items() if name == queue]
        return sum(rates) if rates else None


def looked(driver: Driver, rates: Rates) -> list[Line]:
    """Return a line for each queue, and have *rates* take what the processes tell."""
    now = driver.now()
    alive = [one for node in driver.node_list() or () if (one := presence(node, now)).alive]
    rates.note(alive)
    return [_line(driver, name, alive, rates) for name in driver.queue_list()]


def _line(driver: Driver, name: str, alive: list[Presence], rates: Rates) -> Line:
    stats = driver.job_stats(name)
    serving = [served for node in alive if (served := (node.queues or {}).get(name))]
    workers = [served.max_workers for served in serving]
    stuck = any(served.stuck for served in serving)
    return Line(
        queue=name,
        status="paused" if driver.queue_paused(name) else "stuck" if stuck else "active",
        available=stats[JobState.AVAILABLE].count,
        executing=stats[JobState.EXECUTING].count,
        failed=stats[JobState.FAILED].count,
        rate=rates.of(name),
        workers=None if None in workers else sum(one or 0 for one in workers),
        processes=len(serving),
        since=stats[JobState.AVAILABLE].waiting_since,
    )
