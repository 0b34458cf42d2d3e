"""``gaffer queues``, and what is done to a whole queue: ``pause``, ``resume``, ``prune``."""

from __future__ import annotations

import argparse
from typing import Any

from gaffer import JobState
from gaffer.cli.arguments import age
from gaffer.cli.exits import Exit
from gaffer.cli.opening import Opened, opened
from gaffer.cli.output import Output
from gaffer.cli.views import span
from gaffer.wording import counted

__all__ = ["add"]

_COLUMNS = (
    "QUEUE",
    "STATUS",
    "AVAILABLE",
    "EXECUTING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "OLDEST",
)


def add(commands: Any) -> None:
    """Add the commands."""
    listing = commands.add_parser("queues", help="list the queues, and their jobs by state")
    listing.set_defaults(run=_list)
    for verb, run, help in (
        ("pause", _pause, "claim nothing from a queue, in any process, until it is resumed"),
        ("resume", _resume, "end a pause"),
    ):
        command = commands.add_parser(verb, help=help, description=help)
        command.add_argument("queue", metavar="QUEUE")
        command.set_defaults(run=run)
    prune = commands.add_parser("prune", help="delete jobs of a queue that have ended")
    prune.add_argument("queue", metavar="QUEUE")
    prune.add_argument(
        "--max-age",
        metavar="STATE=AGE",
        type=age,
        action="append",
        default=[],
        help="those in this state for longer, such as failed=7d, completed=0, cancelled=never; "
        "without --app nothing else is deleted",
    )
    prune.set_defaults(run=_prune)


def _list(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        out.rows(_COLUMNS, [_row(o, name) for name in o.queues()])
    return Exit.DONE


def _row(o: Opened, name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    stats, status = o.driver.job_stats(name), "paused" if o.driver.queue_paused(name) else "active"
    counts = {state.value: stats[state].count for state in JobState}
    since = stats[JobState.AVAILABLE].waiting_since
    waits = None if since is None else o.driver.now() - since
    value = {
        "queue": name,
        "status": status,
        **counts,
        "waiting_since": None if since is None else since.isoformat(),
    }
    return (name, status, *counts.values(), None if waits is None else span(waits)), value


def _pause(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        o.g.pause(o.queue(args.queue))
    out.say(f"{args.queue} is paused", {"queue": args.queue, "status": "paused"})
    return Exit.DONE


def _resume(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        o.g.resume(o.queue(args.queue))
    out.say(f"{args.queue} is active", {"queue": args.queue, "status": "active"})
    return Exit.DONE


def _prune(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        known = args.queue in o.g.list_queues()
        queue = o.queue(args.queue)
        # A queue that no program has told of keeps what is not named: deleting is no default.
        ages = {} if known else {state.value: None for state in JobState}
        o.g.update_queue(queue, prune={"max_age": {**ages, **dict(args.max_age)}})
        number = len(o.g.prune(queue))
    out.say(f"{counted(number)} deleted", {"queue": args.queue, "deleted": number})
    return Exit.DONE
