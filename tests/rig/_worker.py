"""A process that works queues: it says what happens, and does what it is told.

Its one argument is a JSON object of settings. It writes a JSON object a line: the events of its
Gaffer, and the answers to the lines that it reads, each of which is a call of the Gaffer, or tells
the jobs that hold to go on, or those to come to hold again. It ends with its input.

What the jobs do they write into the table ``effects``, or say, so that it is known whatever happens
to servers.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

import gaffer
from gaffer_driver_postgres import PostgresDriver

LONGEST = 60.0
"""Seconds that a job holds if nobody tells it to go on."""

settings: dict[str, Any] = {}
go = threading.Event()
writing = threading.Lock()


class Own(threading.local):
    """What each thread has for itself."""

    connection: psycopg.Connection | None = None


own = Own()


def say(**facts: Any) -> None:
    """Write a line."""
    with writing:
        sys.stdout.write(json.dumps({**facts, "at": time.monotonic()}, default=str) + "\n")
        sys.stdout.flush()


def tell(event: gaffer.Event) -> None:
    """Say what has happened, as a hook."""
    job = getattr(event, "job", None)
    jobs = [job] if job is not None else getattr(event, "jobs", [])
    say(event=".".join(event.path[1:]), jobs=[job.id for job in jobs])


def effects() -> psycopg.Connection:
    """Return a connection on which a job's thread writes what it does, whatever gaffer's do."""
    if own.connection is None:
        own.connection = psycopg.connect(settings["effects"], autocommit=True)
    return own.connection


def note(job: gaffer.Job) -> Callable[[], object]:
    """Note that *job* has begun; return what notes its end."""
    if settings["effects"] is None:
        say(began=job.id, attempt=job.attempt, process=os.getpid())
        return lambda: say(ended=job.id, attempt=job.attempt)
    table = psycopg.sql.Identifier(settings["driver"]["schema"], "effects")
    begin = psycopg.sql.SQL(
        "INSERT INTO {} (job, chain, process) VALUES (%s, %s, %s) RETURNING place"
    )
    values = (job.id, job.chain, os.getpid())
    row = effects().execute(begin.format(table), values).fetchone()
    end = psycopg.sql.SQL("UPDATE {} SET ended = clock_timestamp() WHERE place = %s")
    return lambda: effects().execute(end.format(table), row)


def wait_to_be_told(job: gaffer.Job) -> None:
    """Hold until *job* is told to stop, or told to go on; say which."""
    while not gaffer.current().stopping and not go.wait(0.01):
        pass
    say(told=job.id, stopping=gaffer.current().stopping)


def work(job: gaffer.Job) -> Any:
    """Do what the payload says; return the process that did it, or something large.

    A number is how many seconds it takes, "hold" waits to be told to go on, "until told" for that
    or for gaffer's word, each with "once" only in the first attempt. A mapping holds, and says how
    many bytes to return; or it says for how many seconds to hold the GIL, in the first attempt. Two
    kill the process.
    """
    ended = note(job)
    match job.payload:
        case int() | float():
            threading.Event().wait(job.payload)
        case "hold" | {"bytes": _}:
            go.wait(LONGEST)
        case "hold once" if job.attempt == 0:
            go.wait(LONGEST)
        case {"hold the GIL": seconds} if job.attempt == 0:
            # Called with the GIL: no other thread of this process does anything meanwhile.
            ctypes.PyDLL(None).sleep(seconds)
        case "until told":
            wait_to_be_told(job)
        case "until told once" if job.attempt == 0:
            wait_to_be_told(job)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fault":
            ctypes.string_at(0)
    ended()
    if isinstance(job.payload, dict) and "bytes" in job.payload:
        return os.urandom(job.payload["bytes"] // 2).hex()
    return os.getpid()


def answer(g: gaffer.Gaffer, line: dict[str, Any]) -> None:
    """Do what a line asks for."""
    if "go" in line:
        (go.set if line["go"] else go.clear)()
        return
    try:
        say(answer=getattr(g, line["call"])(*line["with"], **line["options"]))
    except gaffer.GafferError as error:
        say(answer=type(error).__name__)


def main() -> None:
    """Work until the input ends."""
    settings.update(json.loads(sys.argv[1]))
    if settings.get("quiet"):
        errors = logging.StreamHandler()
        errors.setLevel(logging.ERROR)
        logging.getLogger().addHandler(errors)
    driver = PostgresDriver(settings["conninfo"], **settings["driver"])
    with gaffer.Gaffer(driver, hooks=[tell], **settings["gaffer"]) as g:
        for name, options in settings["queues"].items():
            g.ensure_queue(name, worker=work, **options)
        say(ready=os.getpid())
        for line in sys.stdin:
            answer(g, json.loads(line))
        go.set()
    driver.stop()


if __name__ == "__main__":
    main()
