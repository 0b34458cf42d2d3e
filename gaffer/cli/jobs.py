"""``gaffer jobs``: list, show, cancel, retry, delete."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gaffer import Gaffer, GafferError, Job
from gaffer.cli.arguments import job_id, seconds
from gaffer.cli.exits import Exit, exit_of
from gaffer.cli.following import followed
from gaffer.cli.opening import opened
from gaffer.cli.output import Output
from gaffer.cli.selecting import add_filters, filtered, selected
from gaffer.cli.views import COLUMNS, cells, page, plain
from gaffer.wording import counted

__all__ = ["add"]

Act = Callable[[Gaffer, Job], object]

_MOST = 50
_ACTS: dict[str, tuple[str, str, Act]] = {
    "cancel": (
        "cancel available jobs, scheduled or not",
        "cancelled",
        lambda g, job: g.cancel(job.queue, job.id),
    ),
    "retry": (
        "make failed or cancelled jobs available again, with their history",
        "available",
        lambda g, job: g.retry(job.queue, job.id),
    ),
    "delete": (
        "delete jobs, whatever their state",
        "deleted",
        lambda g, job: g.delete(job.queue, job.id),
    ),
}


def add(commands: Any) -> None:
    """Add the commands."""
    jobs = commands.add_parser("jobs", help="list, show, cancel, retry and delete jobs")
    verbs = jobs.add_subparsers(metavar="VERB", required=True, title="verbs")
    listing = verbs.add_parser("list", help="list jobs, the oldest first")
    add_filters(listing)
    listing.add_argument(
        "--follow", action="store_true", help="go on, and print each job that changes"
    )
    listing.add_argument(
        "--interval", metavar="TIME", type=seconds, default=1.0, help="between two looks (1s)"
    )
    listing.set_defaults(run=_list)
    show = verbs.add_parser("show", help="print all that there is to know of a job")
    show.add_argument("id", metavar="ID", type=job_id)
    show.set_defaults(run=_show)
    for verb, (help, _, _) in _ACTS.items():
        command = verbs.add_parser(verb, help=help, description=help)
        command.add_argument("ids", metavar="ID", type=job_id, nargs="*")
        add_filters(command)
        command.add_argument(
            "--yes", action="store_true", help="do it to all that the filters let through"
        )
        command.set_defaults(run=_act, verb=verb)


def _list(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        if args.queue is not None:
            o.queue(args.queue)
        if args.follow:
            followed(o.driver, args, out)
            return Exit.DONE
        if args.limit is None:
            args.limit = _MOST
        now = o.driver.now()
        out.rows(COLUMNS, [(cells(job, now), plain(job)) for job in filtered(o.driver, args)])
    return Exit.DONE


def _show(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        job = o.job(args.id)
        out.document(page(job, o.driver.now()), plain(job))
    return Exit.DONE


def _act(args: argparse.Namespace, out: Output) -> Exit:
    """Do it to each job; one that refuses keeps no other from it. The worst code counts."""
    _, becomes, act = _ACTS[args.verb]
    worst, number = Exit.DONE, 0
    with opened(args) as o:
        for job in selected(o, args):
            number += 1
            if not args.ids and not args.yes:
                continue
            try:
                act(o.g, o.job(job.id))
            except GafferError as error:
                worst = max(worst, exit_of(error))
                told = {"id": str(job.id), "error": type(error).__name__, "message": str(error)}
                hint = f"; see `gaffer why {job.id}`" if args.verb == "retry" else ""
                out.say(f"{job.id} refused: {error}{hint}", told)
            else:
                out.say(f"{job.id} {becomes}", {"id": str(job.id), "became": becomes})
    if not args.ids and not args.yes:
        out.say(f"{counted(number)}; --yes to {args.verb} them", {"jobs": number, "done": False})
    return worst
