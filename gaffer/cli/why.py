"""``gaffer why``: why a job is not running."""

from __future__ import annotations

import argparse
from typing import Any

from gaffer.cli.arguments import job_id
from gaffer.cli.exits import Exit
from gaffer.cli.opening import opened
from gaffer.cli.output import Output

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    about = "say why a job is not running"
    command = commands.add_parser("why", help=about, description=about)
    command.add_argument("id", metavar="ID", type=job_id)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        job = o.job(args.id)
        why = o.g.why(job.queue, job.id)
    lines = [f"job {job.id} of queue {job.queue!r}"]
    lines += [f"  {reason.text}" for reason in why.reasons]
    reasons = [{"code": r.code.value, "text": r.text, **r.facts} for r in why.reasons]
    value = {
        "id": str(job.id),
        "queue": job.queue,
        "state": why.job.state.value,
        "reasons": reasons,
    }
    out.say("\n".join(lines), value)
    return Exit.DONE
