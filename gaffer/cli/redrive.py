"""``gaffer redrive``: forwarded jobs go back to where they came from."""

from __future__ import annotations

import argparse
from typing import Any

from gaffer.cli.arguments import count, rate
from gaffer.cli.exits import Exit
from gaffer.cli.opening import opened
from gaffer.cli.output import Output
from gaffer.wording import counted

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    about = "send the jobs that were forwarded to a queue back where they came from"
    command = commands.add_parser("redrive", help=about, description=about)
    command.add_argument("queue", metavar="DEAD_LETTER")
    command.add_argument("--rate", metavar="N", type=rate, help="at most so many a second")
    command.add_argument("--limit", metavar="N", type=count, help="at most so many")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        redriven = o.g.redrive(o.queue(args.queue), rate=args.rate, limit=args.limit)
    left = {str(id): reason for id, reason in redriven.left.items()}
    lines = [
        f"{counted(redriven.sent)} sent back",
        *(f"{id} stays: {why}" for id, why in left.items()),
    ]
    out.say("\n".join(lines), {"sent": redriven.sent, "left": left})
    return Exit.NO if left else Exit.DONE
