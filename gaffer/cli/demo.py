"""``gaffer demo``: something to see, without a program."""

from __future__ import annotations

import argparse
from threading import Lock
from typing import Any

from gaffer import Fail, Gaffer, Job, JobFailed
from gaffer.cli.exits import Exit
from gaffer.cli.output import Output
from gaffer.clock import monotonic
from gaffer.discovery import DEFAULT
from gaffer.events import Event

__all__ = ["add"]

_JOBS = 500
_QUEUE = "gaffer-demo"


def add(commands: Any) -> None:
    """Add the command."""
    about = (
        f"work {_JOBS} jobs, of which some fail and are tried again, and check that all adds up; "
        "in memory unless --driver says otherwise"
    )
    command = commands.add_parser("demo", help="work some jobs, and check them", description=about)
    command.set_defaults(run=_run)


class _Sum:
    """A worker that adds up; every tenth job fails at first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.total = 0
        self.failures = 0

    def perform(self, job: Job) -> Fail | None:
        if job.payload % 10 == 0 and job.attempt == 0:
            return Fail("on purpose")
        with self._lock:
            self.total += job.payload
        return None

    def gaffer_hook(self, event: Event) -> None:
        if isinstance(event, JobFailed):
            self.failures += 1


def _run(args: argparse.Namespace, out: Output) -> Exit:
    worker, began = _Sum(), monotonic()
    with Gaffer(args.driver or DEFAULT, hooks=[worker]) as g:
        queue = g.ensure_queue(_QUEUE, worker=worker, max_workers=10, backoff=0.05)
        queue.insert_many(range(_JOBS))
        queue.flush(timeout=60)
        g.delete_queue(_QUEUE, driver=queue.conf.driver)
    seconds = monotonic() - began
    wanted = sum(range(_JOBS))
    well = (worker.total, worker.failures) == (wanted, _JOBS // 10)
    value = {
        "jobs": _JOBS,
        "failures": worker.failures,
        "sum": worker.total,
        "expected": wanted,
        "seconds": round(seconds, 3),
        "well": well,
    }
    text = (
        f"{_JOBS} jobs and {worker.failures} retries in {seconds:.2f} s; the sum is {worker.total}"
    )
    out.say(f"{text}, as it should be" if well else f"{text}, NOT {wanted}", value)
    return Exit.DONE if well else Exit.NO
