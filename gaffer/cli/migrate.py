"""``gaffer migrate``: the schema of a storage that has one."""

from __future__ import annotations

import argparse
from typing import Any

from gaffer.cli.arguments import count
from gaffer.cli.exits import Exit, UsageError
from gaffer.cli.opening import Migrating, unstarted
from gaffer.cli.output import Output

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    about = "apply the migrations that the storage lacks"
    command = commands.add_parser("migrate", help=about, description=about)
    instead = command.add_mutually_exclusive_group()
    instead.add_argument(
        "--check", action="store_true", help="change nothing; the exit code is 1 if any is pending"
    )
    instead.add_argument("--sql", action="store_true", help="print SQL that makes the schema")
    instead.add_argument(
        "--rollback",
        metavar="N",
        type=count,
        help="take back all after this one; 0 drops the tables, and all jobs with them",
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    driver = unstarted(args)
    if not isinstance(driver, Migrating):
        raise UsageError(f"{type(driver).__name__} has no schema; there is nothing to migrate")
    try:
        if args.sql:
            sql = driver.migration_sql()
            out.say(sql, {"sql": sql})
            return Exit.DONE
        if args.rollback is not None:
            driver.rollback(args.rollback)
        elif not args.check:
            driver.migrate()
        return _told(driver, out, check=args.check)
    finally:
        driver.stop()


def _told(driver: Migrating, out: Output, *, check: bool) -> Exit:
    versions = driver.migrations()
    pending = [version for version in versions.all if version not in versions.applied]
    value = {"applied": versions.applied, "pending": pending}
    lines = [f"{name}: {', '.join(map(str, of)) or 'none'}" for name, of in value.items()]
    out.say("\n".join(lines), value)
    return Exit.NO if check and pending else Exit.DONE
