"""Which job a log record belongs to: ``gaffer_job``, ``gaffer_queue``, ``gaffer_attempt`` on all.

Made by a record factory, because only that sees the records of every logger and handler. Outside
of a job the three are `None`, so that a format may name them anywhere.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from gaffer.execution import running

__all__ = ["install"]

_lock = threading.Lock()
_installed = False


def install() -> None:
    """Wrap the present record factory, once per process."""
    global _installed
    with _lock:
        if not _installed:
            _installed = True
            logging.setLogRecordFactory(_factory(logging.getLogRecordFactory()))


def _factory(make: Any) -> Any:
    def make_with_job(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = make(*args, **kwargs)
        execution = running()
        job = execution.job if execution is not None else None
        record.gaffer_job = str(job.id) if job else None
        record.gaffer_queue = job.queue if job else None
        record.gaffer_attempt = job.attempt + 1 if job else None
        return record

    return make_with_job
