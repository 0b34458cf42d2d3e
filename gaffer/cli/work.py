"""``gaffer work``: run the queues that a program declares, until a signal ends it."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from contextlib import nullcontext
from typing import Any

from gaffer import Gaffer
from gaffer.cli.arguments import count, names
from gaffer.cli.exits import Exit, UsageError
from gaffer.cli.failing import logged
from gaffer.cli.opening import imported
from gaffer.cli.output import Output
from gaffer.cli.serving import served
from gaffer.cli.signals import Signals

__all__ = ["add"]

_ABOUT = """\
Import MODULE, call CALL if it is given, and work the queues that they declare. SIGTERM and SIGINT
drain: nothing more is claimed, and what runs may end, each job within its shutdown_timeout. A
second signal gives what still runs back to the queue at once; no attempt is lost by that.
"""
_log = logging.getLogger("gaffer.work")
_LEVELS = ("debug", "info", "warning", "error")


def add(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "work", help="run the queues that a program declares", description=_ABOUT
    )
    command.add_argument("target", metavar="MODULE[:CALL]")
    command.add_argument(
        "--queues", metavar="A,B", type=names, help="only these; nothing is claimed from the others"
    )
    command.add_argument(
        "--health-port",
        metavar="PORT",
        type=count,
        help="answer /live, /ready and /metrics on this port; 0 takes a free one",
    )
    command.add_argument(
        "--health-host", metavar="HOST", default="127.0.0.1", help="and this address (127.0.0.1)"
    )
    command.add_argument(
        "--log-level", choices=_LEVELS, default="info", help="of the log on stderr (info)"
    )
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace, out: Output) -> Exit:
    signals = Signals()
    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if isinstance(sys.stdout, io.TextIOWrapper):  # what jobs print is seen at once, in a file too
        sys.stdout.reconfigure(line_buffering=True)
    g = imported(args.target, args.driver)
    queues = _chosen(g, args)
    _warn_of_memory(g, queues)
    logged(g)
    port = args.health_port
    with nullcontext() if port is None else served(g, args.health_host, port) as at:
        signals.arm()
        # First, so that what jobs print comes after it.
        out.say(_ready(queues, at), {"working": queues, "pid": os.getpid(), "health_port": at})
        g.start()
        signals.wait()
        _end(g, signals, out)
    return Exit.DONE


def _chosen(g: Gaffer, args: argparse.Namespace) -> list[str]:
    """Leave the worker to those queues only that are to be worked; return their names."""
    confs = g.list_queues()
    able = [name for name, conf in confs.items() if conf.worker is not None]
    if not able:
        what = "no queue with a worker" if confs else "no queue"
        raise UsageError(
            f"{args.target!r} declares {what}; name the function that does: {args.target}:CALL"
        )
    if args.queues is None:
        return able
    if unknown := [name for name in args.queues if name not in able]:
        raise UsageError(
            f"--queues: {', '.join(unknown)}: no queue with a worker; there are {', '.join(able)}"
        )
    for name in able:
        if name not in args.queues:
            g.update_queue(name, worker=None)
    return [name for name in able if name in args.queues]


def _warn_of_memory(g: Gaffer, queues: list[str]) -> None:
    """Say so if nobody else can insert: easily forgotten is the variable in a second terminal."""
    confs = g.list_queues()
    # By its name: the command line knows no driver.
    alone = [name for name in queues if type(confs[name].driver).__name__ == "MemoryDriver"]
    if alone:
        _log.warning(
            "the jobs of %s are in the memory of this process, where no other can insert any; "
            "set GAFFER_DRIVER, or give --driver postgresql://host/database",
            ", ".join(alone),
        )


def _ready(queues: list[str], port: int | None) -> str:
    health = "" if port is None else f"; health on port {port}"
    return f"gaffer {os.getpid()} works {', '.join(queues)}{health}"


def _end(g: Gaffer, signals: Signals, out: Output) -> None:
    running = sum(g.info(name).workers.active for name in g.list_queues())
    out.say(
        f"stopping; what runs may end ({running}). A second signal gives it back at once"
        if running
        else "stopping; nothing runs",
        {"stopping": True, "running": running},
    )
    if signals.came_during(g.stop):
        out.say("giving back what runs", {"stopping": True, "released": True})
        g.stop(timeout=0)
