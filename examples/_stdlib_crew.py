"""The worker processes of a run of `index_stdlib --processes`, and what happens to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from _stdlib_member import Member, Plan
from _stdlib_tally import Stats, Tally, ended

import gaffer

__all__ = ["Crew", "CrewError"]

_START = 60.0
"""Seconds within which a process has to work."""
_SUSPENDED = 4.0
"""Seconds for which a process is suspended: two leases."""


class CrewError(Exception):
    """A worker process did not begin to work."""


class Crew:
    """Starts the processes, watches them, kills one when a third of the jobs is done, ends them.

    If the plan says so, it suspends another one at half of the jobs, for so long that the others
    take it for dead. Events of all are added to *tally*; *say* prints a line. As a context manager
    it ends the processes.
    """

    def __init__(self, plan: Plan, total: int, tally: Tally, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.members: list[Member] = []
        self.most = 0  # jobs that were seen executing at once
        self._total = total
        self._tally = tally
        self._say = say
        self._killed_at: float | None = None
        self._suspended: tuple[Member, float] | None = None  # since when
        self._rescued = 0  # jobs whose rescue was said
        self._missed: set[int] = set()  # numbers of those whose end was said

    def start(self) -> None:
        """Start the processes, and wait until they work; raise `CrewError`."""
        for number in range(1, self.plan.processes + 1):
            self.members.append(Member(number, self.plan, self._tally))
        for member in self.members:
            if not member.wait(_START):
                raise CrewError(f"{member} does not work")
        self._say(f"{len(self.members)} processes work: {', '.join(map(str, self.members))}")

    def look(self, g: gaffer.Gaffer, stats: Stats) -> bool:
        """Look at how `index` stands; return whether anybody is left to work it."""
        self.most = max(self.most, stats[gaffer.JobState.EXECUTING].count)
        done = ended(stats)
        if self._killed_at is None and done >= self._total // 3:
            self._kill(g, done)
        elif self._suspended is not None:
            self._resume(_SUSPENDED)
        elif self.plan.suspend and done >= self._total // 2:
            self._suspend(g)
        self._say_rescued()
        self._say_missed()
        return any(member.alive for member in self.members)

    def _kill(self, g: gaffer.Gaffer, done: int) -> None:
        """Kill a process in the middle of its jobs; if all are done, any."""
        victim, jobs = self._catch(g)
        if jobs or done == self._total:
            victim.kill()
            self._killed_at = time.monotonic()
            self._say(
                f"{victim} is killed by SIGKILL: {done:,} of {self._total:,} files are done, "
                f"{jobs} under way there"
            )
        else:
            victim.resume()

    def _suspend(self, g: gaffer.Gaffer) -> None:
        """Suspend a process in the middle of its jobs."""
        victim, jobs = self._catch(g)
        if jobs:
            self._suspended = victim, time.monotonic()
            self._say(f"{victim} is suspended: {jobs} under way there")
        else:
            victim.resume()

    def _catch(self, g: gaffer.Gaffer) -> tuple[Member, int]:
        """Suspend the process that runs the most; return it, and how many jobs it is amidst."""
        victim = max(self.members, key=lambda member: (member.alive, len(member.running)))
        victim.suspend()
        time.sleep(0.05)  # what it has written arrives in storage
        executing = {job.id for job in g.list("index", state="executing")}
        return victim, len(victim.running & executing)

    def _resume(self, after: float) -> None:
        """Resume the process that is suspended, if it is, *after* so many seconds."""
        if self._suspended is None:
            return
        member, since = self._suspended
        seconds = time.monotonic() - since
        if member.suspended and seconds >= after:
            member.resume()
            self._say(f"{member} is resumed after {seconds:.1f} s")

    def _say_rescued(self) -> None:
        rescued = self._tally["index", "rescued"]
        if rescued > self._rescued:
            self._rescued = rescued
            by = [f"{m['rescued']} by process {m.number}" for m in self.members if m["rescued"]]
            self._say(f"jobs rescued: {', '.join(by)}{self._since_kill()}")

    def _since_kill(self) -> str:
        if self._killed_at is None:
            return ""
        return f", {time.monotonic() - self._killed_at:.1f} s after the kill"

    def _say_missed(self) -> None:
        for member in self.members:
            if not (member.alive or member.killed or member.number in self._missed):
                self._missed.add(member.number)
                self._say(f"{member} {member.fate} before it was told to")

    def end(self) -> None:
        """Have all processes stop, and wait for that."""
        self._resume(0.0)
        for member in self.members:
            member.dismiss()
        for member in self.members:
            member.join()
        self._say_rescued()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
