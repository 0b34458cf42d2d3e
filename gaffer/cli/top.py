"""``gaffer top``: the queues, live."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gaffer import DriverUnavailable
from gaffer.cli.arguments import seconds
from gaffer.cli.exits import Exit, UsageError
from gaffer.cli.keys import Keys
from gaffer.cli.opening import opened
from gaffer.cli.output import Output
from gaffer.cli.watching import COLUMNS, Line, Watch, looked
from gaffer.driver import Driver

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    about = "show the queues, their jobs and their processes, live; q or Ctrl-C ends it"
    command = commands.add_parser("top", help=about, description=about)
    command.add_argument("--once", action="store_true", help="print one table, and end")
    command.add_argument(
        "--interval", metavar="TIME", type=seconds, default=2.0, help="between two looks (2s)"
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    with opened(args) as o:
        if args.once or out.as_json:
            now = o.driver.now()
            lines = looked(o.driver, Watch())
            out.rows(COLUMNS, [(line.cells(now), line.plain()) for line in lines])
        else:
            _live(o.driver, args.interval)
    return Exit.DONE


def _live(driver: Driver, interval: float) -> None:
    with _screen() as show, Keys() as keys, suppress(KeyboardInterrupt):
        watch, lines, trouble = Watch(), list[Line](), ""
        while True:
            try:
                lines, trouble = looked(driver, watch), ""
            except DriverUnavailable as error:  # the last table stays, and it is told
                trouble = str(error)
            show(lines, driver, trouble)
            if keys.wait(interval) == "q":
                return


@contextmanager
def _screen() -> Iterator[Any]:
    """Give what shows lines on the terminal; raise `UsageError` without the library for it."""
    try:
        from rich.console import Group
        from rich.live import Live
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise UsageError(
            "a live table needs rich: pip install 'gaffer-queue[top]'; --once does without"
        ) from None

    def shown(lines: list[Line], driver: Driver, trouble: str) -> None:
        table = Table(box=None, header_style="bold", padding=(0, 1))
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in ("QUEUE", "STATUS") else "right")
        now = driver.now()
        for line in lines:
            style = None if line.status == "active" else "yellow"
            style = "red" if line.status == "stuck" else style
            cells = ["-" if one is None else str(one) for one in line.cells(now)]
            table.add_row(*cells, style=style)
        errors = "\n".join(text for line in lines if (text := line.trouble(now)))
        live.update(Group(table, "", Text(errors), Text(trouble, style="red")), refresh=True)

    with Live(auto_refresh=False, screen=True) as live:
        yield shown
