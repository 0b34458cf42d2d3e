"""``gaffer doctor``: what is wrong, and what to do."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from gaffer import Finding
from gaffer.cli.arguments import seconds
from gaffer.cli.exits import Exit
from gaffer.cli.opening import Migrating, opened, unstarted
from gaffer.cli.output import Output

__all__ = ["add"]


def add(commands: Any) -> None:
    """Add the command."""
    about = "look for what is wrong with the storage and its queues, and say what to do"
    command = commands.add_parser("doctor", help=about, description=about)
    command.add_argument(
        "--waiting",
        metavar="TIME",
        type=seconds,
        default=300.0,
        help="a job that is due may wait for so long (5m)",
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    findings = _pending(args)
    if not findings:
        with opened(args) as o:
            findings = o.g.doctor(o.driver, waiting=args.waiting)
    for finding in findings:
        text = f"{finding.severity:<8} {finding.text}\n{'':<8} {finding.remedy}"
        out.say(text, asdict(finding))
    if not findings and not out.as_json:
        out.say("nothing is wrong", {})
    return Exit.NO if any(one.severity != "info" for one in findings) else Exit.DONE


def _pending(args: argparse.Namespace) -> list[Finding]:
    """Return what is to be said of the schema: until it is there, nothing else can be."""
    if args.app is not None and args.driver is None:
        return []
    driver = unstarted(args)
    if not isinstance(driver, Migrating):
        return []
    try:
        versions = driver.migrations()
    finally:
        driver.stop()
    pending = [version for version in versions.all if version not in versions.applied]
    if not pending:
        return []
    return [
        Finding(
            severity="error",
            code="migrations",
            text=f"the storage lacks migrations {', '.join(map(str, pending))}",
            remedy="gaffer migrate",
            facts={"pending": pending},
        )
    ]
