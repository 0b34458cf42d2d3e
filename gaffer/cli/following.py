"""``gaffer jobs list --follow``: what changes, as it changes."""

from __future__ import annotations

import argparse
from contextlib import suppress
from threading import Event
from uuid import UUID

from gaffer import Job
from gaffer.cli.output import Output
from gaffer.cli.selecting import filtered
from gaffer.cli.views import cells, plain
from gaffer.driver import Driver, DriverUnavailable

__all__ = ["Changes", "followed"]


class Changes:
    """What is new since the last look: jobs at a revision that was not seen, and those gone."""

    def __init__(self) -> None:
        self._seen: dict[UUID, int] = {}

    def look(self, jobs: list[Job]) -> tuple[list[Job], list[UUID]]:
        """Return the jobs of *jobs* that changed, and the ids that are not among them any more."""
        now = {job.id: job.revision for job in jobs}
        changed = [job for job in jobs if self._seen.get(job.id) != job.revision]
        gone = [id for id in self._seen if id not in now]
        self._seen = now
        return changed, gone


def followed(driver: Driver, args: argparse.Namespace, out: Output) -> None:
    """Print what changes, until Ctrl-C. A storage that is away is asked again."""
    changes, pause = Changes(), Event()
    with suppress(KeyboardInterrupt):
        while True:
            with suppress(DriverUnavailable):
                _print(*changes.look(list(filtered(driver, args))), driver, out)
            pause.wait(args.interval)


def _print(changed: list[Job], gone: list[UUID], driver: Driver, out: Output) -> None:
    now = driver.now()
    for job in changed:
        out.say("  ".join("-" if one is None else str(one) for one in cells(job, now)), plain(job))
    for id in gone:
        out.say(f"{id}  gone", {"id": str(id), "state": "gone"})
