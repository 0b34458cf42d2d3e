"""The parser: the commands in the order of the help, and the options that all of them take."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from gaffer.cli import demo, doctor, insert, jobs, migrate, queues, redrive, top, why, work

__all__ = ["build", "parsed"]

_COMMANDS = (work, queues, jobs, why, doctor, top, redrive, insert, migrate, demo)
_ABOUT = "Run workers, and look at queues and their jobs."
_MORE = """\
exit codes: 0 done; 1 the answer is no; 2 wrong arguments; 3 no such queue or job;
4 the storage does not answer; 5 refused.
"""


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """Return the arguments; raise `SystemExit` for wrong ones, and after ``--help``."""
    args = build().parse_args(argv, argparse.Namespace(**_defaults()))
    if not hasattr(args, "run"):
        build().error("which command? `gaffer --help` has them all")
    return args


def build() -> argparse.ArgumentParser:
    """Return the parser."""
    everywhere = _everywhere()
    parser = argparse.ArgumentParser(
        prog="gaffer",
        description=_ABOUT,
        epilog=_MORE,
        parents=[everywhere],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"gaffer {_version()}")
    commands = parser.add_subparsers(
        metavar="COMMAND", parser_class=_of_command(everywhere), title="commands"
    )
    for command in _COMMANDS:
        command.add(commands)
    return parser


def _everywhere() -> argparse.ArgumentParser:
    """Return what may stand before a command and behind it."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("everywhere")
    group.add_argument(
        "--driver",
        metavar="URL",
        help="the storage: postgresql://host/database, or a driver's name (else GAFFER_DRIVER)",
    )
    group.add_argument(
        "--app",
        metavar="MODULE[:CALL]",
        help="import the program that declares the queues, for what they say (else GAFFER_APP)",
    )
    group.add_argument("--json", action="store_true", help="print JSON")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="print the traceback of an error"
    )
    return parser


def _of_command(everywhere: argparse.ArgumentParser) -> type[argparse.ArgumentParser]:
    class Command(argparse.ArgumentParser):
        def __init__(self, **options: object) -> None:
            super().__init__(parents=[everywhere], allow_abbrev=False, **options)  # type: ignore[arg-type]

    return Command


def _defaults() -> dict[str, object]:
    return {
        "driver": os.environ.get("GAFFER_DRIVER") or None,
        "app": os.environ.get("GAFFER_APP") or None,
        "json": False,
        "verbose": False,
    }


def _version() -> str:
    try:
        return version("gaffer-queue")
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"
