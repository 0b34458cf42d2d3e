"""Why a job is not running, from what storage knows: no queue need be declared here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from gaffer.driver import Driver, Job, JobFilter, JobState
from gaffer.failures import in_a_line
from gaffer.presence import Presence, Served, presence
from gaffer.wording import are, command, counted

__all__ = ["Reason", "Why", "WhyCode", "why"]

_EXECUTING = frozenset({JobState.EXECUTING})
_MOST = 10
"""Jobs that are named where very many may be."""


class WhyCode(StrEnum):
    """What keeps a job from running."""

    ENDED = "ended"
    EXECUTING = "executing"
    LOST = "lost"
    PAUSED = "paused"
    NOT_DUE = "not_due"
    UNSERVED = "unserved"
    CHAIN = "chain"
    LIMIT = "limit"
    BUSY = "busy"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that keeps a job from running: *text* for people, *facts* as plain values."""

    code: WhyCode
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why *job* is not running.

    *reasons* come in the order in which they have to go; there is at least one, and where nothing
    is wrong it says how many jobs are ahead.
    """

    job: Job
    reasons: tuple[Reason, ...]

    @property
    def main(self) -> Reason:
        """The first reason."""
        return self.reasons[0]


def why(driver: Driver, job: Job) -> Why:
    """Return why *job*, as it is stored now, is not running."""
    look = _Look(driver, job)
    return Why(job=job, reasons=tuple(look.reasons()))


class _Look:
    """One look at a job and what is around it."""

    def __init__(self, driver: Driver, job: Job) -> None:
        self._driver = driver
        self._job = job
        self._now = driver.now()
        nodes = driver.node_list()
        self._nodes = None if nodes is None else [presence(node, self._now) for node in nodes]

    def reasons(self) -> Iterator[Reason]:
        if self._job.state.terminal:
            yield self._ended()
        elif self._job.state is JobState.EXECUTING:
            yield self._executing()
        else:
            yield from self._waiting()

    # -- it does not wait --------------------------------------------------------------------------

    def _ended(self) -> Reason:
        job = self._job
        text = f"it is {job.state.value} for {_span(self._now - job.entered_at)}"
        if job.state is not JobState.COMPLETED:
            if job.errors:
                text += f", after {in_a_line(job.errors[0].error)}"
            text += "; `gaffer jobs retry` has it tried again"
        return Reason(code=WhyCode.ENDED, text=text, facts={"state": job.state.value})

    def _executing(self) -> Reason:
        job, holder = self._job, self._holder()
        began = job.attempted_at or self._now
        since = f"it is executing for {_span(self._now - began)}"
        facts = {"node": None if holder is None else holder.node}
        if self._nodes is not None and (holder is None or not holder.alive):
            who = "a process that has left" if holder is None else _name(holder)
            text = f"{since}, by {who}, which gives no sign of life; "
            text += (
                "another that serves the queue settles it as lost"
                if self._serving()
                else f"start a worker of queue {job.queue!r}, which will settle it as lost"
            )
            return Reason(code=WhyCode.LOST, text=text, facts=facts)
        by = "" if holder is None else f", by {_name(holder)}"
        left = began + timedelta(seconds=job.timeout) - self._now
        text = f"{since}{by}; its timeout is in {_span(left)}"
        if left < timedelta(0):
            text = f"{since}{by}; its timeout was {_span(-left)} ago"
        return Reason(code=WhyCode.EXECUTING, text=text, facts=facts)

    def _holder(self) -> Presence | None:
        for node in self._nodes or ():
            held = JobFilter(queue=self._job.queue, states=_EXECUTING, node=node.node)
            if any(job.id == self._job.id for job in self._driver.job_list(held)):
                return node
        return None

    # -- it waits ----------------------------------------------------------------------------------

    def _waiting(self) -> Iterator[Reason]:
        found = [*self._paused(), *self._unserved(), *self._not_due()]
        ahead = self._driver.job_ahead(self._job)
        found += self._chain(ahead.chain)
        if self._serving():
            found += self._limit() or self._busy()
        yield from found
        if not found:
            text = "it is the next to be claimed"
            if ahead.count:
                text = f"nothing is wrong; {counted(ahead.count)} {are(ahead.count)} ahead"
            yield Reason(code=WhyCode.WAITING, text=text, facts={"ahead": ahead.count})
        elif found[-1].code in (WhyCode.LIMIT, WhyCode.BUSY) and ahead.count:
            text = f"then {counted(ahead.count)} {are(ahead.count)} ahead of it"
            yield Reason(code=WhyCode.WAITING, text=text, facts={"ahead": ahead.count})

    def _paused(self) -> Iterator[Reason]:
        queue = self._job.queue
        if self._driver.queue_paused(queue):
            text = f"queue {queue!r} is paused; `{command('resume', queue)}` ends that"
            yield Reason(code=WhyCode.PAUSED, text=text)

    def _not_due(self) -> Iterator[Reason]:
        due, job = self._job.scheduled_at, self._job
        if due is not None and due > self._now:
            text = f"it is not due before {due.isoformat()}, in {_span(due - self._now)}"
            if job.errors and job.attempt:
                text += f": a retry, after {in_a_line(job.errors[0].error)}"
            yield Reason(code=WhyCode.NOT_DUE, text=text, facts={"due": due.isoformat()})

    def _serving(self) -> list[tuple[Presence, Served]]:
        """Return the living nodes that claim from the queue."""
        return [
            (node, served)
            for node in self._nodes or ()
            if node.alive and node.queues is not None
            if (served := node.queues.get(self._job.queue)) is not None
            and not served.draining
            and not served.stuck
        ]

    def _unserved(self) -> Iterator[Reason]:
        if self._nodes is None or self._serving():
            return
        queue = self._job.queue
        idle = [
            f"{_name(node)} {'is stuck' if node.queues[queue].stuck else 'was drained'}"
            for node in self._nodes
            if node.alive and node.queues is not None and queue in node.queues
        ]
        if any(node.alive and node.queues is None for node in self._nodes):
            return  # of an earlier release: it does not say
        text = f"no process works queue {queue!r}; start one: gaffer work MODULE"
        if idle:
            text = f"no process claims from queue {queue!r}: {', '.join(idle)}"
        yield Reason(code=WhyCode.UNSERVED, text=text, facts={"idle": idle})

    def _chain(self, first: Job | None) -> Iterator[Reason]:
        if first is None:
            return
        text = f"job {first.id} of its chain {first.chain!r} comes first, and "
        due = first.scheduled_at
        if first.state is JobState.EXECUTING:
            text += f"is executing for {_span(self._now - (first.attempted_at or self._now))}"
        elif due is not None and due > self._now:
            text += f"waits for its time, in {_span(due - self._now)}"
        else:
            text += "waits, too"
        facts = {"job": str(first.id), "chain": first.chain, "state": first.state.value}
        yield Reason(code=WhyCode.CHAIN, text=text, facts=facts)

    def _limit(self) -> list[Reason]:
        limits = [s.global_max_workers for _, s in self._serving() if s.global_max_workers]
        if not limits:
            return []
        limit, queue = min(limits), self._job.queue
        executing = self._driver.job_list(JobFilter(queue=queue, states=_EXECUTING, limit=limit))
        if len(executing) < limit:
            return []
        ids = [str(job.id) for job in executing[:_MOST]]
        more = f" and {len(executing) - _MOST} more" if len(executing) > _MOST else ""
        do, facts = "does" if limit == 1 else "do", {"limit": limit, "jobs": ids}
        text = f"{counted(limit)} of queue {queue!r} may execute at once, and {do}: "
        return [Reason(code=WhyCode.LIMIT, text=f"{text}{', '.join(ids)}{more}", facts=facts)]

    def _busy(self) -> list[Reason]:
        counts = [(node, served, self._held(node)) for node, served in self._serving()]
        if any(s.max_workers is None or held < s.max_workers for _, s, held in counts):
            return []
        each = ", ".join(f"{_name(node)} has {held}" for node, _, held in counts)
        facts = {"nodes": {node.node: held for node, _, held in counts}}
        text = f"all workers of queue {self._job.queue!r} are busy: {each}"
        return [Reason(code=WhyCode.BUSY, text=text, facts=facts)]

    def _held(self, node: Presence) -> int:
        held = JobFilter(queue=self._job.queue, states=_EXECUTING, node=node.node)
        return len(self._driver.job_list(held))


def _name(node: Presence) -> str:
    where = f" (pid {node.pid} on {node.host})" if node.pid is not None else ""
    return f"node {node.node}{where}"


def _span(length: timedelta) -> str:
    left = max(0.0, length.total_seconds())
    if left < 60:
        return f"{left:.1f} s"
    minutes, seconds = divmod(int(left), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])
