"""What a worker process writes to its log when an attempt fails."""

from __future__ import annotations

import logging

from gaffer import Event, Gaffer, Job, JobFailed, JobState
from gaffer.cli.views import said, whole

__all__ = ["logged"]

_log = logging.getLogger("gaffer.work")


def logged(g: Gaffer) -> None:
    """Have each failed attempt of the queues of *g* logged. Call it before *g* works."""
    for name, conf in g.list_queues().items():
        g.update_queue(name, hooks=[*conf.hooks, _hook])


def _hook(event: Event) -> None:
    match event:
        case JobFailed(job=job) if job.state is JobState.FAILED:
            # In full: unless the queue keeps what has failed, this is the last of it.
            _log.error("%s, for good: %s", _told(job), whole(job.errors[0].error))
        case JobFailed(job=job):
            again = (job.scheduled_at or job.entered_at).isoformat(" ", "seconds")
            _log.warning("%s, tried again at %s: %s", _told(job), again, said(job.errors[0].error))


def _told(job: Job) -> str:
    return f"job {job.id} of {job.queue!r}: attempt {job.attempt} of {job.max_attempts} failed"
