"""A process that works all queues until it is told to stop, or killed.

Its one argument is a JSON object of settings. It writes a JSON object a line, the events of its
Gaffer, and stops in order at a SIGTERM, and when whoever has started it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from typing import Any

import gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.chaos.queues import BEAT, LEASE, QUEUES, end_of, worker
from tests.rig.history import Scribe

NO_STORAGE = 75
"""The exit code if storage does not answer at the start: whoever keeps us may try again."""
_TOLD = ("job.late", "job.rescue", "queue.stuck", "runner.fail")

_writing = threading.Lock()


def say(**facts: Any) -> None:
    """Write a line."""
    with _writing:
        sys.stdout.write(json.dumps(facts, default=str) + "\n")
        sys.stdout.flush()


def tell(event: gaffer.Event) -> None:
    """Say what has happened, as a hook: what is rare, and how jobs have ended."""
    name = ".".join(event.path[1:])
    if name in _TOLD:
        say(event=name)
    elif (end := end_of(event)) is not None:
        say(end=end)


def stop(number: int, frame: object) -> None:
    """End the main thread, and so everything in order."""
    sys.exit(0)


def main() -> int:
    """Work until the input ends; return the exit code."""
    settings = json.loads(sys.argv[1])
    signal.signal(signal.SIGTERM, stop)
    form = f"%(asctime)s {os.getpid()} %(threadName)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    work = worker(Scribe(settings["effects"]))
    driver = PostgresDriver(settings["conninfo"], **settings["driver"])
    try:
        with gaffer.Gaffer(driver, hooks=[tell], beat_interval=BEAT, lease=LEASE) as g:
            for name, options in QUEUES.items():
                g.ensure_queue(name, worker=work, **options)
            say(ready=os.getpid())
            sys.stdin.read()
    except gaffer.DriverUnavailable as error:
        logging.warning("no storage: %s", error)
        return NO_STORAGE
    finally:
        driver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
