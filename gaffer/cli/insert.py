"""``gaffer insert``: a job, or many, from the shell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gaffer.cli.arguments import count, instant, job_id, seconds
from gaffer.cli.exits import Exit, UsageError
from gaffer.cli.opening import opened
from gaffer.cli.output import Output
from gaffer.wording import counted

__all__ = ["add"]

_OPTIONS = (
    "id", "kind", "chain", "priority", "max_attempts", "timeout", "delay", "scheduled_at",
)  # fmt: skip


def add(commands: Any) -> None:
    """Add the command."""
    about = "insert a job; without --app what is left out has the defaults of a queue"
    command = commands.add_parser("insert", help="insert a job", description=about)
    command.add_argument("queue", metavar="QUEUE")
    command.add_argument(
        "payload",
        metavar="JSON",
        nargs="?",
        default="null",
        help="the payload; @FILE, or - for stdin",
    )
    command.add_argument(
        "--many", action="store_true", help="a payload on each line, in batches of 1,000"
    )
    command.add_argument("--id", metavar="ID", type=job_id, help="an id of your own")
    command.add_argument("--kind", metavar="KIND")
    command.add_argument("--chain", metavar="CHAIN")
    command.add_argument("--priority", metavar="N", type=int)
    command.add_argument("--max-attempts", metavar="N", type=count)
    command.add_argument("--timeout", metavar="TIME", type=seconds)
    command.add_argument("--delay", metavar="TIME", type=seconds, help="not before: 90s, 5m")
    command.add_argument("--at", dest="scheduled_at", metavar="INSTANT", type=instant)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    options = {name: getattr(args, name) for name in _OPTIONS if getattr(args, name) is not None}
    with opened(args) as o:
        queue = o.queue(args.queue)
        if args.many:
            number = o.g.insert_many(
                queue, _values(_lines(args.payload)), returning=False, **options
            )
            out.say(f"{counted(number)} inserted", {"queue": queue, "inserted": number})
        else:
            [payload] = _values(["".join(_lines(args.payload))])
            job = o.g.insert(queue, payload, **options)
            out.say(str(job.id), {"queue": queue, "id": str(job.id)})
    return Exit.DONE


def _lines(given: str) -> Iterable[str]:
    if given == "-":
        return sys.stdin
    if given.startswith("@"):
        return Path(given[1:]).read_text(encoding="utf-8").splitlines(keepends=True)
    return [given]


def _values(texts: Iterable[str]) -> Iterator[Any]:
    for number, text in enumerate(texts, 1):
        try:
            yield json.loads(text)
        except ValueError as error:
            raise UsageError(
                f"payload {number} is no JSON: {error}; a text needs its quotes: '\"text\"'"
            ) from None
