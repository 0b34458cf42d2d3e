"""What `instructions.py` counts: each case does its work for a number of jobs, in one thread.

Run under valgrind, as a program: each case in forks of one process, so that all begin alike.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from gaffer.clock import SystemClock
from gaffer.conf import QueueConf, configured
from gaffer.crew import Crew
from gaffer.driver import Claim, Driver
from gaffer.execution import Execution
from gaffer.heartbeat import Heartbeat
from gaffer.job import Complete, Job
from gaffer.machine import claim, create, settle, template
from gaffer.pace import Pace
from gaffer.results import Results
from gaffer.service import Service
from gaffer.supervisor import Shared, Supervisor
from gaffer.suspects import Suspects
from gaffer.watchdog import Watchdog
from gaffer_driver_memory import MemoryDriver
from gaffer_driver_postgres.rows import claimed_jobs
from gaffer_driver_postgres.statements import Statements
from gaffer_driver_postgres.writing import Batch, Remembered, Writer

__all__ = ["CASES", "MANY"]

MANY = 1_200
"""The most jobs of a case; what does not count is made for so many, however many count."""
BATCH = 50
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CLAIM = Claim(queue="q", limit=BATCH, global_max_workers=None, node="n", now=NOW)
NAIVE = NOW.replace(tzinfo=None)
PAYLOAD = {"to": "user@example.com", "n": 1}
TEXT = '{"to":"user@example.com","n":1}'


# -- one thread for all ----------------------------------------------------------------------------


class Still(Service):
    """A service whose thread never starts."""

    def start(self) -> None:
        """Do nothing."""


class Alone(Crew):
    """Runs executions at once, in the caller's thread."""

    def hire(self, number: int) -> int:
        """Need nobody."""
        return 0

    def run(self, executions: Iterable[Execution]) -> None:
        """Run *executions*, one after the other."""
        for execution in executions:
            execution.run()


def supervisor(**options: Any) -> Supervisor:
    """Return a queue on the memory driver that starts no thread."""
    driver = MemoryDriver()
    driver.queue_insert("q")
    clock = SystemClock()
    watchdog = Watchdog(clock)
    watchdog._service = Still("watchdog", lambda: False)
    shared = Shared(
        clock=clock,
        watchdog=watchdog,
        hooks=lambda: (),
        ledger_of=lambda name: queue.ledger,
        heartbeat_of=heartbeat,
        max_bytes=1_000_000,
        looks=Pace(clock, 1.0),
        sweeps=Pace(clock, 1.0),
        suspects=Suspects(clock),
        results=Results(),
    )
    queue = Supervisor(conf(driver, **options), shared)
    queue.runner.roster._crew = Alone("q")
    return queue


def heartbeat(driver: Driver) -> Heartbeat:
    """Return a heart that beats when it is asked to, and not by itself."""
    heart = Heartbeat(
        driver,
        lambda: "node",
        interval=5.0,
        lease=20.0,
        clock=SystemClock(),
        rescue=lambda driver, orphans, lease: None,
        lapsed=lambda driver: None,
    )
    heart._service = Still("heartbeat", lambda: False)
    return heart


def conf(driver: Driver, **options: Any) -> QueueConf:
    """Return the configuration of the queue."""
    return configured("q", lambda job: None, driver, options)


# -- the cases -------------------------------------------------------------------------------------


def insert_many(number: int) -> None:
    """Insert jobs at once."""
    supervisor().insert_many([PAYLOAD] * number, {}, None)


def transitions(number: int) -> None:
    """Make, claim and complete jobs, by the state machine alone."""
    made = template(conf(MemoryDriver()))
    for n in range(number):
        job = create(made, TEXT, id=UUID(int=n), now=NOW)
        settle(claim(job, now=NOW), Complete(), now=NOW)


def life(number: int) -> None:
    """Insert jobs one by one, have them run by `poll`, and prune them."""
    queue = supervisor(max_workers=10)
    for _ in range(number):
        queue.insert(PAYLOAD, {}, None)
    ran = 0
    while some := queue.poll():
        ran += some
    assert ran == number
    assert len(queue.ledger.prune("pruner")) == number


def written(number: int) -> None:
    """Turn new jobs into the parameters of statements."""
    batches, remembered = chunks(new()), Remembered()
    for batch in batches[: number // BATCH]:
        writer().statement(Batch.of(batch, remembered))


def read(number: int) -> None:
    """Turn the rows of claims into jobs, and remember these."""
    rows, remembered = [row_of(job) for job in new()], Remembered()
    for some in chunks(rows)[: number // BATCH]:
        remembered.add(claimed_jobs(some, CLAIM)[0])


def settled(number: int) -> None:
    """Turn completed jobs into the parameters of statements, and forget them."""
    executing, remembered = claimed_jobs([row_of(job) for job in new()], CLAIM)[0], Remembered()
    remembered.add(executing)
    batches = chunks([settle(job, Complete(), now=NOW) for job in executing])
    for batch in batches[: number // BATCH]:
        writer().statement(Batch.of(batch, remembered))
        remembered.forget(batch)


def new() -> list[Job]:
    """Return new jobs, always the same."""
    made = template(conf(MemoryDriver()))
    return [create(made, TEXT, id=UUID(int=n), now=NOW) for n in range(MANY)]


def row_of(job: Job) -> tuple[Any, ...]:
    """Return what the server answers when it has claimed *job*."""
    return (
        job.id, None, None, job.payload_json, 1, 0, job.max_attempts, job.priority, job.timeout,
        "[1.0]", job.shutdown_timeout, 0, NAIVE, None, None, None,
    )  # fmt: skip


def chunks(values: Sequence[Any]) -> list[Sequence[Any]]:
    """Return *values* in batches."""
    return [values[at : at + BATCH] for at in range(0, len(values), BATCH)]


def writer() -> Writer:
    """Return what makes statements, for a server whose clock stands still."""
    return Writer(STATEMENTS, lambda: NOW)


STATEMENTS = Statements('"gaffer"')
CASES: dict[str, Callable[[int], None]] = {
    "memory: insert_many": insert_many,
    "machine: create, claim, settle": transitions,
    "memory: insert, poll, prune": life,
    "postgres: new jobs to parameters": written,
    "postgres: rows to claimed jobs": read,
    "postgres: completed jobs to parameters": settled,
}


def main() -> None:
    """Run each case in forks, one for each number of jobs; print which was which process."""
    numbers = [int(text) for text in sys.argv[1:]]
    gc.disable()  # when it collects depends on all that was there before
    for name, case in CASES.items():
        for number in numbers:
            child = os.fork()
            if not child:
                case(number)
                assert threading.active_count() == 1, f"{name} has started a thread"
                os._exit(0)
            _, status = os.waitpid(child, 0)
            if status:
                sys.exit(f"{name}: status {status}")
            print(f"{child}\t{number}\t{name}", flush=True)


if __name__ == "__main__":
    main()
