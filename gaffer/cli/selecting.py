"""Which jobs a command is about: by their ids, or by what they are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import timedelta

from gaffer import Job
from gaffer.cli.arguments import count, job_id, names, seconds, state
from gaffer.cli.exits import UsageError
from gaffer.cli.opening import Opened
from gaffer.driver import Driver
from gaffer.selection import job_filter

__all__ = ["add_filters", "filtered", "selected"]

_PAGE = 500


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what jobs are meant."""
    group = parser.add_argument_group("which jobs")
    group.add_argument("--queue", metavar="QUEUE", help="of this queue")
    group.add_argument(
        "--state",
        metavar="STATE",
        type=state,
        action="append",
        help="in this state; may be given again; 'incomplete' is available or executing",
    )
    group.add_argument("--kind", metavar="KIND", type=names, help="of this kind, or these: a,b")
    group.add_argument(
        "--older-than", metavar="AGE", type=seconds, help="in their state for longer: 90s, 5m, 2d"
    )
    group.add_argument(
        "--error", metavar="TEXT", help="with this text in their last error, however it is written"
    )
    group.add_argument("--limit", metavar="N", type=count, help="at most so many")
    group.add_argument("--after", metavar="ID", type=job_id, help="those behind this one")


def selected(o: Opened, args: argparse.Namespace) -> Iterator[Job]:
    """Give the jobs with the ids that are named, or else those that the filters let through.

    Raise `UsageError` if neither is given.
    """
    filters = (args.queue, args.state, args.kind, args.older_than, args.error)
    if args.ids and any(one is not None for one in filters):
        raise UsageError("give ids, or --queue, --state and so on; not both")
    if args.ids:
        yield from (o.job(id) for id in dict.fromkeys(args.ids))
    elif any(one is not None for one in filters):
        yield from filtered(o.driver, args)
    else:
        raise UsageError("which jobs? give their ids, or --queue, --state, --kind, --error")


def filtered(driver: Driver, args: argparse.Namespace) -> Iterator[Job]:
    """Give the jobs that the filters let through, by (created_at, id), a page at a time."""
    after, left = args.after, args.limit
    while left is None or left > 0:
        jobs = driver.job_list(job_filter(driver, args.queue, _states(args.state), _PAGE, after))
        for job in jobs:
            if _meant(job, args, driver):
                yield job
                left = None if left is None else left - 1
                if left == 0:
                    return
        if len(jobs) < _PAGE:
            return
        after = jobs[-1]


def _states(given: list[str] | None) -> list[str] | str | None:
    if not given:
        return None
    known = {one for one in given if one != "incomplete"}
    return sorted(known | {"available", "executing"} if "incomplete" in given else known)


def _meant(job: Job, args: argparse.Namespace, driver: Driver) -> bool:
    if args.kind is not None and job.kind not in args.kind:
        return False
    if args.older_than is not None:
        age = driver.now() - job.entered_at
        if age <= timedelta(seconds=args.older_than):
            return False
    if args.error is None:
        return True
    return bool(job.errors) and args.error.casefold() in _text(job).casefold()


def _text(job: Job) -> str:
    error = job.errors[0].error
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
