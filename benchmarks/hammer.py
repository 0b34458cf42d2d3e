"""Are the promises kept that only many processes can break? An exit code of 1 says that one is not.

Never more jobs of a queue execute than its global limit, never two of one chain, and a job that is
cancelled while it is claimed ends in exactly one of the two. On an embedded server, or `--dsn`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import choice
from typing import Any
from uuid import UUID, uuid4

import psycopg
from _hammer_audit import Audit
from measure import machine

import gaffer
from gaffer.driver import Claim
from gaffer_driver_postgres import EmbeddedServer, PostgresDriver

WORKER = Path(__file__).with_name("_hammer_worker.py")
BACKLOG, BATCH = 40, 20
"""Jobs that wait at least, and that are inserted at once."""
CHAINS = 4
ROUND = 50
"""Races between two inserts."""
PATIENCE = 60.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dsn", help="a database to make a schema in (default: an own server)")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--limit", type=int, default=5, help="global_max_workers")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the first two")
    parser.add_argument("--races", type=int, default=10_000, help="of cancel against claim")
    return parser.parse_args()


def verdict(kept: bool, what: str) -> bool:
    print(f"    {'kept' if kept else 'BROKEN'}: {what}", flush=True)
    return kept


@contextmanager
def schema(dsn: str) -> Iterator[tuple[PostgresDriver, Audit, str]]:
    """Give a driver on a schema of its own, and the audit there."""
    name = f"hammer_{uuid4().hex[:12]}"
    driver = PostgresDriver(dsn, schema=name)
    driver.start()
    audit = Audit(dsn, name)
    try:
        yield driver, audit, name
    finally:
        driver.stop()
        audit.drop()


@contextmanager
def processes(number: int, settings: Mapping[str, Any]) -> Iterator[None]:
    """Have so many processes work; raise `RuntimeError` if one of them fails."""
    command = [sys.executable, str(WORKER), json.dumps(settings)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.communicate(timeout=PATIENCE)
    if failed := [process.returncode for process in started if process.returncode]:
        raise RuntimeError(f"processes ended with {failed}")


class Feed:
    """Keeps a queue full, and watches it."""

    def __init__(self, queue: gaffer.Queue, audit: Audit, chains: Sequence[str | None]) -> None:
        self._queue = queue
        self._audit = audit
        self._chains = chains
        self.most = 0
        """The most jobs that were seen to execute at once."""

    def run(self, seconds: float, connection: psycopg.Connection) -> bool:
        """Go on for *seconds*; return whether all jobs ended soon afterwards."""
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            if self._queue.stats()[gaffer.JobState.AVAILABLE].count < BACKLOG:
                self._queue.insert_many(self._jobs())
                # Chains are looked after in other ways when others insert in their transactions.
                self._queue.insert_many(self._jobs(), connection=connection)
                connection.commit()
            self._watch()
        while self._queue.list(state="incomplete", limit=1):
            if time.monotonic() > over + PATIENCE:
                return False
            self._watch()
        return True

    def _jobs(self) -> list[gaffer.NewJob]:
        return [
            gaffer.NewJob(None, chain=choice(self._chains), priority=choice([-1, 0, 1]))
            for _ in range(BATCH)
        ]

    def _watch(self) -> None:
        for _ in range(10):
            self.most = max(self.most, self._audit.executing())


def hammer(dsn: str, options: argparse.Namespace, chains: Sequence[str | None]) -> bool:
    """Have processes work a queue with a limit, or one with chains; return whether all is well."""
    limit = options.limit if chains == [None] else None
    with schema(dsn) as (driver, audit, name):
        worker = {"max_workers": options.limit, "global_max_workers": limit}
        settings = {"dsn": dsn, "schema": name, "options": worker}
        with gaffer.Gaffer(driver, work=False) as app, psycopg.connect(dsn) as connection:
            feed = Feed(app.ensure_queue("hammered"), audit, chains)
            with processes(options.processes, settings):
                drained = feed.run(options.seconds, connection)
        print(f"    {audit.claimed():,} jobs were claimed", flush=True)
        kept = verdict(drained, "all of them ended")
        if limit is not None:
            most = max(audit.most_executing(), feed.most)
            return verdict(0 < most <= limit, f"{most} of {limit} executed at the most") and kept
        most, overlaps = audit.most_in_chain(), audit.overlaps()
        text = f"{most} of a chain executed at the most; {overlaps} of {audit.runs():,} overlapped"
        return verdict(most == 1 and not overlaps, text) and kept


def together(*calls: Callable[[], None]) -> None:
    """Make all calls at the same moment."""
    gate = threading.Barrier(len(calls))

    def make(call: Callable[[], None]) -> None:
        gate.wait()
        call()

    threads = [threading.Thread(target=make, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Races:
    """Cancels against claims, from two drivers."""

    def __init__(self, app: gaffer.Gaffer, there: PostgresDriver) -> None:
        self._app = app
        self._there = there
        self.claimed: list[UUID] = []
        self.cancelled: list[UUID] = []
        self.refused: list[UUID] = []

    def run(self, jobs: Sequence[gaffer.Job]) -> None:
        """Cancel all and claim all; they meet somewhere."""
        together(lambda: self._cancel(jobs), self._claim)

    def _cancel(self, jobs: Sequence[gaffer.Job]) -> None:
        for job in jobs:
            try:
                self.cancelled.append(self._app.cancel("hammered", job.id).id)
            except gaffer.InvalidTransition:
                self.refused.append(job.id)

    def _claim(self) -> None:
        wanted: dict[str, Any] = {"queue": "hammered", "limit": 1, "global_max_workers": None}
        while jobs := self._there.job_claim(Claim(node="hammer", now=self._there.now(), **wanted)):
            self.claimed += [job.id for job in jobs]


def race(dsn: str, number: int) -> bool:
    """Have so many jobs cancelled and claimed at once; return whether all is well."""
    with schema(dsn) as (driver, _, name), gaffer.Gaffer(driver, work=False) as app:
        there = PostgresDriver(dsn, schema=name)
        there.start()
        races = Races(app, there)
        queue = app.ensure_queue("hammered")
        for start in range(0, number, ROUND):
            jobs = queue.insert_many([None] * min(ROUND, number - start))
            races.run(jobs if start % (2 * ROUND) else jobs[::-1])
        there.stop()
        stored = {state: {job.id for job in queue.list(state=state)} for state in gaffer.JobState}
    kept = (
        len(races.claimed) + len(races.cancelled) == number
        and set(races.claimed) == set(races.refused) == stored[gaffer.JobState.EXECUTING]
        and set(races.cancelled) == stored[gaffer.JobState.CANCELLED]
    )
    return verdict(kept, f"{len(races.claimed):,} claimed, {len(races.cancelled):,} cancelled")


def run(dsn: str, options: argparse.Namespace) -> bool:
    """Try all promises; return whether they are kept."""
    several = f"{options.processes} processes, {options.seconds:g} s"
    print(f"{several}, one queue with global_max_workers={options.limit}", flush=True)
    kept = hammer(dsn, options, [None])
    print(f"{several}, one queue with {CHAINS} chains", flush=True)
    kept &= hammer(dsn, options, [f"chain {number}" for number in range(CHAINS)])
    print(f"{options.races:,} jobs cancelled and claimed at once", flush=True)
    kept &= race(dsn, options.races)
    return kept


@contextmanager
def server(dsn: str | None) -> Iterator[str]:
    """Give the conninfo of the server that is named, or of one of our own."""
    if dsn:
        yield dsn
        return
    with tempfile.TemporaryDirectory(prefix="gaffer-pg-", ignore_cleanup_errors=True) as place:
        embedded = EmbeddedServer(Path(place) / "data")
        try:
            yield embedded.start()
        finally:
            embedded.stop()


def main() -> int:
    """Return the exit code."""
    options = arguments()
    print(f"{machine()}\n")
    with server(options.dsn) as dsn:
        return 0 if run(dsn, options) else 1


if __name__ == "__main__":
    sys.exit(main())
