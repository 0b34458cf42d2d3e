"""What a test expects of a job, and how far the jobs that there are are from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

from gaffer.driver import Job

__all__ = ["differences", "expectation", "report"]

_SHOWN = 5
_FACTS = {"delay", "payload", "result", *(field.name for field in fields(Job))}


def expectation(queue: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is expected, by the name of the fact; those that are `...` do not matter."""
    wanted = {name: value for name, value in facts.items() if value is not ...}
    if unknown := wanted.keys() - _FACTS:
        raise TypeError(f"a job has no {', '.join(sorted(unknown))}")
    if isinstance(delay := wanted.get("delay"), timedelta):
        wanted["delay"] = delay.total_seconds()
    return {"queue": queue, **wanted}


def differences(job: Job, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what *job* has instead, by the name of the fact."""
    found = {name: _fact(job, name) for name in wanted}
    return {name: found[name] for name, value in wanted.items() if found[name] != value}


def _fact(job: Job, name: str) -> Any:
    if name == "delay":
        at = job.scheduled_at
        return None if at is None else (at - job.created_at).total_seconds()
    return getattr(job, name)


def report(headline: str, jobs: Sequence[Job], wanted: Mapping[str, Any]) -> str:
    """Return *headline*, what was wanted, and what was inserted instead, the nearest first."""
    near = sorted(jobs, key=lambda job: _distance(job, wanted))
    lines = [headline, f"  wanted: {_listed(wanted)}"]
    lines += [f"  {_listed(_shown(job))}  <- {_verdict(job, wanted)}" for job in near[:_SHOWN]]
    if len(near) > _SHOWN:
        lines.append(f"  and {len(near) - _SHOWN} more")
    return "\n".join(lines if near else [*lines, "  nothing was inserted"])


def _distance(job: Job, wanted: Mapping[str, Any]) -> int:
    missed = differences(job, wanted)
    return len(missed) + (2 if "queue" in missed else 0)


def _verdict(job: Job, wanted: Mapping[str, Any]) -> str:
    missed = differences(job, wanted)
    return f"differs: {_listed(missed)}" if missed else "is one"


def _shown(job: Job) -> dict[str, Any]:
    facts = {"queue": job.queue, "payload": job.payload}
    return facts if job.kind is None else {**facts, "kind": job.kind}


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in facts.items())
