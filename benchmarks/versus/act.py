"""The program that runs in a peer's environment: inserts, works, or watches, as it is told.

It is started with a JSON object as its argument, and talks by lines of JSON: it says ``ready`` when
all is imported, waits for a line, acts, and says what came of it. The end of its input ends it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from versus.errors import Missing
from versus.peer import WARM, Peer, Place
from versus.record import RECORD, Payload

ANSWERS = sys.stdout
"""Kept, as a library may put something else in its place."""
BATCH = 1000
SPEAKING = threading.Lock()
LONGEST = 120.0
"""Seconds after which a watch gives up: whoever has started it may be gone."""
REPORT = 0.005
"""Seconds between two reports of a worker that does not know when all jobs have run."""


def say(**facts: Any) -> None:
    """Write one line to whoever has started this process; any thread may call."""
    line = json.dumps(facts) + "\n"
    with SPEAKING:
        ANSWERS.write(line)
        ANSWERS.flush()


def payloads(task: dict[str, Any]) -> list[Payload]:
    """Make the jobs, numbered from *first* on."""
    pad = {"pad": "x" * task["pad"]} if task.get("pad") else {}
    first = task.get("first", 0)
    return [{"n": number, **pad} for number in range(first, first + task["jobs"])]


def bulk(peer: Peer, task: dict[str, Any]) -> None:
    """Insert by full calls; the first one connects and is not measured."""
    jobs = payloads(task)
    size = task.get("batch", BATCH)
    batches: list[Sequence[Payload]] = [jobs[at : at + size] for at in range(0, len(jobs), size)]
    returns = list(peer.bulk(batches))
    measured = len(jobs) - len(batches[0])
    say(jobs=measured, seconds=returns[-1] - returns[0])


def each(peer: Peer, task: dict[str, Any]) -> None:
    """Insert by a call for each job."""
    seconds = peer.each(payloads(task), task["clients"])
    say(jobs=task["jobs"] - WARM * task["clients"], seconds=seconds)


def paced(peer: Peer, task: dict[str, Any]) -> None:
    """Insert one job after the other, slowly."""
    say(returned=peer.paced(payloads(task), task["gap"]))


def watch(peer: Peer, task: dict[str, Any]) -> None:
    """Look until all jobs are recorded as finished."""
    until = time.monotonic() + LONGEST
    while peer.unfinished() and time.monotonic() < until:
        time.sleep(0.002)
    if time.monotonic() < until:
        say(finished=time.monotonic())


def work(peer: Peer, task: dict[str, Any]) -> None:
    """Work until told to stop, reporting how many jobs have started."""
    threading.Thread(target=report, args=[task.get("alone", True)], daemon=True).start()
    if "client" in task:
        threading.Thread(target=insert_here, args=[task], daemon=True).start()
    threading.Thread(target=stop_when_told, daemon=True).start()
    peer.work()


def report(alone: bool) -> None:
    """Say how many jobs have started: at once at the end, else now and then."""
    said = 0
    while not RECORD.full.wait(0.25 if alone else REPORT):
        if len(RECORD.starts) > said:
            said = len(RECORD.starts)
            say(count=said)
    say(count=len(RECORD.starts))


def insert_here(task: dict[str, Any]) -> None:
    """Insert in the process that works, once it has worked the job that warms it up."""
    while not RECORD.starts:
        time.sleep(0.01)
    time.sleep(0.5)
    peer = make(task)
    say(returned=peer.paced(payloads(task["client"]), task["client"]["gap"]))


def stop_when_told() -> None:
    """Wait for a line, say which jobs have started and when, and end, whatever still runs."""
    sys.stdin.readline()
    say(starts=RECORD.starts)
    os._exit(0)


def make(task: dict[str, Any]) -> Peer:
    """Return the peer that *task* names."""
    place = Place(task["url"], task["settings"])
    peer = import_module(f"versus.peers.{task['peer']}").make(place)
    assert isinstance(peer, Peer)
    return peer


def main() -> None:
    """Do what the argument says."""
    task = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.ERROR)
    RECORD.expected = task.get("expected", sys.maxsize)
    RECORD.nap = task.get("nap", 0.0)
    try:
        peer = make(task)
        if task.get("install"):
            peer.install()
    except Missing as error:
        say(missing=str(error))
        return
    if task["act"] == "watch":
        say(sees=peer.unfinished())
    say(ready=True)
    if sys.stdin.readline():
        {"bulk": bulk, "each": each, "paced": paced, "watch": watch, "work": work}[task["act"]](
            peer, task
        )


if __name__ == "__main__":
    main()
    os._exit(0)  # without what the libraries would do at the end
