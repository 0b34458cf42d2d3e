"""`stop()` returns in its time, whatever runs, whoever calls it, and however storage is.

Many Gaffers with jobs that are stuck, blocked in C, swallow everything or end when they are told,
stop at once: called plainly, by a job, by hooks, in a signal handler, twice, or while queues are
still declared. On the memory driver, and on PostgreSQL: as it should be, gone, frozen, and behind
a network that takes everything in and answers nothing.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.rig.chance import chance
from tests.rig.proxy import Proxy
from tests.rig.server import Server, own_server
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

PROGRAM = Path(__file__).parents[1] / "rig" / "_stopper.py"
MORE = 10.0
"""Seconds that a stop may take beyond the longest `shutdown_timeout` of what runs."""
WAYS = ["plain", "job", "signal", "twice"]
CALM_WAYS = [*WAYS, "hook", "caller", "early"]
"""Who stops; some can only while storage answers."""
JOBS = ["stuck", "blocked", "swallows", "ends"]
TOGETHER = 4
"""Processes at once."""
LASTS = 12.0
"""Seconds of bad weather, at most, before a stop: it meets calls that began at any time."""

Scenes = list[dict[str, Any]]


def run(
    calm: int, down: int, frozen: int, silent: int, seed: int | None = None
) -> Sequence[Figure]:
    """Stop so many times in each weather."""
    dice = chance(seed)
    ends: Scenes = []
    with own_server({"max_connections": 600}) as server:
        weathers: list[tuple[str, int, Callable[[Server], Any]]] = [
            ("calm", calm, fine),
            ("down", down, gone),
            ("frozen", frozen, froze),
            ("silent", silent, silenced),
        ]
        for weather, number, make in weathers:
            if number:
                ends += play(scenes(weather, number, dice), server, weather, make)
        spent = attempts_spent(server)
    return figures(ends, calm + down + frozen + silent, spent)


def scenes(weather: str, number: int, dice: random.Random) -> Scenes:
    """Return so many scenes; over them all, ways, jobs and drivers are spread evenly."""
    ways = CALM_WAYS if weather == "calm" else WAYS
    made = [
        {
            "name": f"{weather} {at}",
            "way": ways[at % len(ways)],
            "job": JOBS[at // len(ways) % len(JOBS)],
            "driver": dice.choice(["memory", "postgres"]) if weather == "calm" else "postgres",
            "url": dice.random() < 0.5,
            "shutdown": dice.uniform(0.0, 2.0),
            "grace": dice.choice([None, None, dice.uniform(0.0, 1.0)]),
            "wait": 0.0 if weather == "calm" else dice.uniform(0.0, LASTS),
        }
        for at in range(number)
    ]
    dice.shuffle(made)
    return made


def play(all_: Scenes, server: Server, weather: str, make: Callable[[Server], Any]) -> Scenes:
    """Play scenes in some processes up to the stop; make the weather; have them stop."""
    with ExitStack() as stack:
        conninfo, turn = stack.enter_context(make(server))
        players = [
            stack.enter_context(player(all_[at::TOGETHER], conninfo, weather == "calm"))
            for at in range(min(TOGETHER, len(all_)))
        ]
        for one in players:
            assert "ready" in said(one)
        turn()
        for one in players:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        ends = [said(one) for at, one in enumerate(players) for _ in all_[at::TOGETHER]]
    facts = {scene["name"]: scene for scene in all_}
    return [{**facts[end["name"]], **end} for end in ends]


@contextmanager
def player(some: Scenes, conninfo: str, calm: bool) -> Iterator[subprocess.Popen[str]]:
    """Give a process that plays *some* scenes; it is gone with the block."""
    settings = json.dumps({"scenes": some, "conninfo": conninfo, "calm": calm})
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), settings],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next line of a player."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "a player ended"
    found: dict[str, Any] = json.loads(line)
    return found


# -- the weather -----------------------------------------------------------------------------------

Weather = Iterator[tuple[str, Callable[[], None]]]


@contextmanager
def fine(server: Server) -> Weather:
    """Leave the server as it is."""
    yield server.conninfo, lambda: None


@contextmanager
def gone(server: Server) -> Weather:
    """Stop the server for a while."""
    yield server.conninfo, lambda: server.stop("immediate")
    server.start()


@contextmanager
def froze(server: Server) -> Weather:
    """Freeze the server for a while: connections are accepted, and nothing answers."""
    try:
        yield server.conninfo, server.freeze
    finally:
        server.thaw()


@contextmanager
def silenced(server: Server) -> Weather:
    """Put a network before the server that stops to pass anything on."""
    with Proxy(server.conninfo) as proxy:
        yield proxy.conninfo, proxy.silence


# -- what came of it -------------------------------------------------------------------------------


def attempts_spent(server: Server) -> int:
    """Return how many jobs that did not end have lost an attempt."""
    with psycopg.connect(server.conninfo) as connection:
        found = connection.execute(
            "SELECT count(*) FROM gaffer.jobs WHERE attempt > 0"
            " AND state NOT IN ('completed', 'failed', 'cancelled')"
        ).fetchone()
    assert found is not None
    return int(found[0])


def figures(ends: Scenes, number: int, spent: int) -> list[Figure]:
    """Return the figures of all stops."""
    returned = [end for end in ends if end["seconds"] is not None]
    excess = [end["seconds"] - end["promise"] for end in returned]
    calm = [end for end in returned if "released" in end]
    slowest = max(returned, key=lambda end: end["seconds"] - end["promise"])
    where = f"{slowest['name']}, {slowest['job']}, {slowest['way']}"
    return [
        exactly("stops that returned", len(returned), number),
        exactly("stops over their promise", sum(more > MORE for more in excess), 0),
        at_most(f"seconds beyond the promised, the slowest ({where})", max(excess), MORE, " s"),
        at_least("jobs released where storage answers", sum(end["released"] for end in calm), 1),
        exactly("released jobs that lost an attempt", spent + sum(e["cost"] for e in calm), 0),
        exactly("jobs not claimable at once", sum(end["unclaimable"] for end in calm), 0),
        exactly("inserts that returned and are not stored", sum(end["lost"] for end in calm), 0),
    ]


TRIAL = Trial(
    run=run,
    full={"calm": 80, "down": 40, "frozen": 40, "silent": 40},
    short={"calm": 14, "down": 0, "frozen": 0, "silent": 0},
)
