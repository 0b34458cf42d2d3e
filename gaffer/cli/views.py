"""Jobs and spans of time, as commands show them."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from gaffer import Job, JobState

__all__ = ["COLUMNS", "cells", "page", "plain", "said", "span", "whole"]

COLUMNS = ("ID", "QUEUE", "KIND", "STATE", "ATTEMPT", "SINCE", "DUE", "ERROR")

_INSTANTS = (
    "created_at", "scheduled_at", "attempted_at", "completed_at", "failed_at", "cancelled_at",
)  # fmt: skip
_FIELDS = (
    "id", "queue", "kind", "chain", "state", "revision", "attempt", "max_attempts", "priority",
    "timeout", "shutdown_timeout", "hops",
)  # fmt: skip


def plain(job: Job) -> dict[str, Any]:
    """Return *job* as JSON has it."""
    backoff = asdict(job.backoff) if is_dataclass(job.backoff) else job.backoff
    return {
        **{name: getattr(job, name) for name in _FIELDS},
        "id": str(job.id),
        "state": job.state.value,
        "backoff": backoff,
        **{name: _instant(getattr(job, name)) for name in _INSTANTS},
        "payload": job.payload,
        "result": job.result,
        "errors": [
            {"attempt": one.attempt, "error": one.error, "at": one.at.isoformat()}
            for one in job.errors
        ],
    }


def cells(job: Job, now: datetime) -> tuple[Any, ...]:
    """Return the cells of *job*'s row under `COLUMNS`."""
    due = None
    if job.state is JobState.AVAILABLE and job.scheduled_at is not None:
        due = "now" if job.scheduled_at <= now else f"in {span(job.scheduled_at - now)}"
    return (
        job.id,
        job.queue,
        job.kind,
        job.state.value,
        f"{job.attempt}/{job.max_attempts}",
        span(now - job.entered_at),
        due,
        said(job.errors[0].error) if job.errors else None,
    )


def page(job: Job, now: datetime) -> str:
    """Return all that there is to say of *job*, as text."""
    shown = plain(job)
    errors, payload, result = (shown.pop(name) for name in ("errors", "payload", "result"))
    lines = [f"{name:<17} {value}" for name, value in shown.items() if value is not None]
    lines += [f"{'in this state for':<17} {span(now - job.entered_at)}", "", "payload"]
    lines += [_indented(json.dumps(payload, indent=2, ensure_ascii=False))]
    if result is not None:
        lines += ["", "result", _indented(json.dumps(result, indent=2, ensure_ascii=False))]
    for one in errors:
        lines += [
            "",
            f"attempt {one['attempt']} failed at {one['at']}",
            _indented(whole(one["error"])),
        ]
    return "\n".join(lines)


def said(error: Any) -> str:
    """Return in one line what went wrong."""
    if not isinstance(error, dict):
        return str(error)
    kind, message = error.get("type", "error"), error.get("message")
    if message and str(message).startswith(f"{kind}: "):  # as those of gaffer's own do
        return str(message)
    return f"{kind}: {message}" if message else str(kind)


def span(length: timedelta) -> str:
    """Return a span of time as people say it: ``4m 10s``."""
    left = max(0, int(length.total_seconds()))
    parts: list[str] = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, seconds)
        if number or (unit == "s" and not parts):
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])


def whole(error: Any) -> str:
    """Return all that is known of what went wrong: the traceback, if there is one."""
    trace = error.get("traceback") if isinstance(error, dict) else None
    return trace.rstrip() if isinstance(trace, str) and trace else said(error)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
