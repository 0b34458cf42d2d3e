"""What is wrong with queues and their storage, and what to do: for people, and for alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gaffer.driver import Driver, Finding, JobState
from gaffer.presence import Presence, presence
from gaffer.wording import are, command, counted

__all__ = ["examined"]

_LEASE = 20.0
_CLOCK = 5.0
"""Seconds by which clocks may differ before it is told."""
_ORDER = {"error": 0, "warning": 1, "info": 2}


def examined(driver: Driver, *, waiting: float, timeout: float) -> list[Finding]:
    """Return what is found, the gravest first.

    A job that is due and waits for longer than *waiting* seconds is worth telling. The storage has
    *timeout* seconds to say how it does; `DriverUnavailable` if it does not answer.
    """
    look = _Look(driver, waiting)
    found = [*look.nodes(), *look.queues(), *look.lost(), *_clock(driver, timeout)]
    found += driver.diagnose(timeout)
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


@dataclass(slots=True)
class _Queue:
    """A queue as storage has it: due jobs that wait, as far as was looked, and who serves it."""

    name: str
    paused: bool
    waits: float | None
    """Seconds since the oldest that is due; `None`: none is."""
    available: int
    failed: int
    jobs: int
    served: bool


class _Look:
    """One look at all queues and nodes."""

    def __init__(self, driver: Driver, waiting: float) -> None:
        self._driver = driver
        self._waiting = waiting
        self._now = driver.now()
        nodes = driver.node_list()
        self._nodes = None if nodes is None else [presence(node, self._now) for node in nodes]

    def _alive(self) -> list[Presence]:
        return [node for node in self._nodes or () if node.alive]

    def _served(self, queue: str) -> bool:
        """Return whether a living node claims from *queue*, or may: not all say."""
        if self._nodes is None:
            return True
        return any(
            node.queues is None
            or ((s := node.queues.get(queue)) is not None and not s.draining and not s.stuck)
            for node in self._alive()
        )

    def nodes(self) -> Iterator[Finding]:
        """Tell of queues that are stuck in a process, and of processes that are deaf."""
        for node in self._alive():
            if node.listening is False:
                yield Finding(
                    severity="info",
                    code="deaf",
                    text=f"{node.node} does not hear at once of jobs that others insert, and finds "
                    "them by looking",
                    remedy="behind a pooler, or with notify=false, it is so; else look at its log",
                    facts={"node": node.node},
                )
            for name, served in (node.queues or {}).items():
                if served.stuck:
                    yield Finding(
                        severity="error",
                        code="stuck",
                        text=f"queue {name!r} is stuck in {node.node}: too many threads outlive "
                        "their jobs' timeouts",
                        remedy=f"restart process {node.pid} on {node.host}, and have its jobs end "
                        "in their time",
                        facts={"queue": name, "node": node.node},
                    )

    def queues(self) -> Iterator[Finding]:
        """Tell of queues whose jobs wait, and why."""
        for name in self._driver.queue_list():
            queue = self._queue(name)
            yield from _failed(queue)
            if queue.waits is None:
                yield from _unused(queue)
            elif queue.paused:
                yield _finding_of(
                    queue, "warning", "paused", "it is paused", command("resume", name)
                )
            elif not queue.served:
                yield _finding_of(
                    queue,
                    "error",
                    "unserved",
                    "no process claims from it",
                    "start one: gaffer work MODULE",
                )
            elif queue.waits > self._waiting:
                yield _finding_of(
                    queue,
                    "warning",
                    "behind",
                    "its workers do not keep up",
                    "more workers or processes; "
                    f"{command('jobs list', queue=name, state='executing')} shows what they do",
                )

    def _queue(self, name: str) -> _Queue:
        stats = self._driver.job_stats(name)
        since = stats[JobState.AVAILABLE].waiting_since
        return _Queue(
            name=name,
            paused=self._driver.queue_paused(name),
            waits=None if since is None else max(0.0, (self._now - since).total_seconds()),
            available=stats[JobState.AVAILABLE].count,
            failed=stats[JobState.FAILED].count,
            jobs=sum(one.count for one in stats.values()),
            served=self._served(name),
        )

    def lost(self) -> Iterator[Finding]:
        """Tell of jobs whose process is gone, and that nobody settles."""
        for queue in sorted({job.queue for job in self._driver.job_orphans(None, 3 * _LEASE)}):
            jobs = self._driver.job_orphans(queue, 3 * _LEASE)
            if not jobs or self._served(queue):
                continue  # somebody is about to
            yield Finding(
                severity="error",
                code="lost",
                text=f"queue {queue!r}: {counted(len(jobs))} {are(len(jobs))} executing in "
                "processes that give no sign of life, and nobody works the queue to settle them",
                remedy="start a worker: gaffer work MODULE",
                facts={"queue": queue, "jobs": [str(job.id) for job in jobs[:10]]},
            )


def _finding_of(queue: _Queue, severity: str, code: str, why: str, remedy: str) -> Finding:
    return Finding(
        severity=severity,  # type: ignore[arg-type]
        code=code,
        text=f"queue {queue.name!r}: {counted(queue.available)} {are(queue.available)} available, "
        f"the oldest that is due for {queue.waits:.0f} s, and {why}",
        remedy=remedy,
        facts={"queue": queue.name, "available": queue.available, "waits": queue.waits},
    )


def _failed(queue: _Queue) -> Iterator[Finding]:
    if queue.failed:
        yield Finding(
            severity="info",
            code="failed",
            text=f"queue {queue.name!r} keeps {counted(queue.failed)} that failed for good",
            remedy=command("jobs list", queue=queue.name, state="failed"),
            facts={"queue": queue.name, "failed": queue.failed},
        )


def _unused(queue: _Queue) -> Iterator[Finding]:
    if not queue.jobs and not queue.served:
        yield Finding(
            severity="info",
            code="unused",
            text=f"queue {queue.name!r} has no jobs, and no process works it",
            remedy=f"if no program declares it any more: gaffer.delete_queue({queue.name!r}, "
            "driver=...)",
            facts={"queue": queue.name},
        )


def _clock(driver: Driver, timeout: float) -> Iterator[Finding]:
    offset = driver.health(timeout).clock_offset
    if offset is not None and abs(offset) > _CLOCK:
        yield Finding(
            severity="warning",
            code="clock",
            text=f"the storage's clock differs from this machine's by {offset:.1f} s",
            remedy="gaffer goes by the storage's; have both machines keep time (NTP)",
            facts={"offset": offset},
        )
