"""The queues of the chaos, and what their jobs do: by payload, so that a seed decides."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import gaffer
from tests.rig.checker import Limits
from tests.rig.history import Scribe

__all__ = ["BEAT", "LEASE", "LIMITS", "QUEUES", "end_of", "worker"]

BEAT = 0.5
LEASE = 2.5
"""Seconds: short, so that a run of minutes sees many rescues."""

_COMMON: Mapping[str, Any] = {
    "prune": {"interval": None},
    "poll_interval": 0.2,
    "max_workers": 3,
    "max_attempts": 10,
    "backoff": 0.3,
    "timeout": 15.0,
    "shutdown_timeout": 1.0,
    "max_abandoned": 1000,
}
_OWN: Mapping[str, Mapping[str, Any]] = {
    # Those that others forward to come first.
    "dead": {},
    "archive": {},
    "limited": {"global_max_workers": 4},
    "chained": {},
    "letters": {"max_attempts": 2, "forward": {"failed": "dead"}},
    "orders": {"forward": {"completed": "archive", "cancelled": "archive"}},
    "timed": {"max_attempts": 2, "timeout": 1.0, "interrupt": True},
    "poison": {"max_attempts": 2},
}
QUEUES: Mapping[str, dict[str, Any]] = {name: {**_COMMON, **own} for name, own in _OWN.items()}
LIMITS = {
    name: Limits(options.get("global_max_workers"), options.get("forward", {}))
    for name, options in QUEUES.items()
}


def end_of(event: gaffer.Event) -> tuple[UUID, str] | None:
    """Return the job that has ended by what *event* says, and its state; else `None`."""
    kinds = gaffer.JobCompleted | gaffer.JobFailed | gaffer.JobCancelled
    if isinstance(event, kinds) and event.job.state.terminal:
        return event.job.id, event.job.state.value
    return None


def worker(scribe: Scribe) -> Callable[[gaffer.Job], Any]:
    """Return the worker of all queues, which writes what it does by *scribe*."""

    def work(job: gaffer.Job) -> Any:
        scribe.write(job, "start")
        result = _do(job)
        if not isinstance(result, gaffer.Schedule | gaffer.Cancel):
            scribe.write(job, "end")
        return result

    return work


def _do(job: gaffer.Job) -> Any:
    payload = job.payload
    wanted = payload.get("do")  # none in a forwarded job
    match wanted:
        case "raise":
            if job.attempt < payload["times"]:
                raise ValueError("as I was told")
        case "hang":
            # In short turns: an exception that is raised in the thread comes between two.
            for _ in range(int(payload["seconds"] * 20)):
                threading.Event().wait(0.05)
        case "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        case "again":
            if job.revision < 4:
                return gaffer.Schedule(delay=payload["delay"])
        case "cancel":
            return gaffer.Cancel("as I was told")
        case "work":
            threading.Event().wait(payload["seconds"])
    return {"process": os.getpid(), "revision": job.revision}
