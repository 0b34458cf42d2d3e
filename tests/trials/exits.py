"""A program may fall off its end at any moment: it ends in time, with its exit code, and quietly.

Under each Python at hand, on the memory driver and, where psycopg is installed, on PostgreSQL; also
while the server is gone.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.rig.scripts import PYTHONS, Ended, has_postgres
from tests.rig.scripts import run as run_script
from tests.rig.server import Server, own_server
from tests.trials.figures import Figure, Trial, at_most, exactly

SHUTDOWN = 1.0
"""The `shutdown_timeout` of the jobs, in seconds."""
TOGETHER = 4
WITHOUT_STORAGE = 10.0
"""Seconds beyond the shutdown timeout that an exit may take while storage does not answer."""

SCRIPT = """
import os, signal, sys, threading, time
import gaffer

log = open(sys.argv[1], "w", buffering=1)

def hook(event):
    print(type(event).__name__, file=log)

if sys.argv[2] == "memory":
    from gaffer_driver_memory import MemoryDriver
    driver = MemoryDriver()
else:
    driver = sys.argv[2]
gaffer.configure(driver=driver, hooks=[hook])

def work(job):
    inside.set()
    time.sleep(job.payload)

inside = threading.Event()
queue = gaffer.ensure_queue(
    sys.argv[3], worker=work, timeout=600, shutdown_timeout={shutdown}, prune={{"interval": None}}
)

def begin(seconds):
    queue.insert(seconds)
    inside.wait(60)

{before}
print("ready", flush=True)
sys.stdin.readline()
{end}
"""


@dataclass(frozen=True, slots=True)
class State:
    """A state to end in: what the script does before and then, and what has to come of it."""

    before: str
    end: str = ""
    code: int = 0
    last: str | None = None
    """The last event."""


STATES = {
    "idle": State("", last="QueueCreated"),
    "short job": State("begin(0.5)", last="JobCompleted"),
    "long job": State("begin(60)", last="JobScheduled"),
    "exception": State("begin(0.3)", "raise ValueError('mine')", 1, "JobCompleted"),
    "sys.exit": State("begin(0.3)", "sys.exit(3)", 3, "JobCompleted"),
    "SIGTERM": State(
        "begin(60); signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        143,
        "JobScheduled",
    ),
}
DOWN = {"server down, idle": State(""), "server down, long job": State("begin(60)")}


@dataclass(frozen=True, slots=True)
class End:
    """How a script ended in a state."""

    where: str
    state: State
    ended: Ended
    events: list[str]

    @property
    def noisy(self) -> bool:
        """Whether it said anything on stderr that does not belong there."""
        words = ["Exception ignored", "Fatal"] + ["Traceback"] * (self.state.code != 1)
        return any(word in self.ended.noise for word in words)

    @property
    def right(self) -> bool:
        """Whether its jobs came to what they should."""
        return self.state.last is None or self.events[-1:] == [self.state.last]


def run(
    rounds: int,
    more: float,
    down: int,
    pythons: Sequence[str] = tuple(PYTHONS),
    states: Sequence[str] = tuple(STATES),
) -> Sequence[Figure]:
    """End so often in each state, under each Python, at most *more* seconds late.

    And *down* times while the server is gone.
    """
    with tempfile.TemporaryDirectory() as place, own_server() as server:
        calm = [
            (PYTHONS[python], driver, name, state)
            for _ in range(rounds)
            for python in pythons
            for driver in ("memory", url(server))
            if driver == "memory" or has_postgres(PYTHONS[python])
            for name, state in STATES.items()
            if name in states
        ]
        found = figures(play(Path(place), calm, TOGETHER), SHUTDOWN + more)
        if down:
            todo = [(Path(sys.executable), url(server), *item) for item in DOWN.items()] * down
            gone = threading.Barrier(len(todo), lambda: server.stop("immediate"))
            late = play(Path(place), todo, len(todo), lambda: gone.wait(60))
            found += figures(late, SHUTDOWN + WITHOUT_STORAGE, "down: ")
    return found


def url(server: Server) -> str:
    """Return the server's URL."""
    place = dict(item.split("=") for item in server.conninfo.split())
    return f"postgresql://{place['user']}@{place['host']}:{place['port']}/{place['dbname']}"


def play(
    place: Path,
    todo: Sequence[tuple[Path, str, str, State]],
    together: int,
    then: Callable[[], object] = lambda: None,
) -> list[End]:
    """Run the scripts, some at a time."""

    def one(number: int, python: Path, driver: str, name: str, state: State) -> End:
        folder = Path(tempfile.mkdtemp(dir=place))
        script, log = folder / "script.py", folder / "events"
        text = SCRIPT.format(shutdown=SHUTDOWN, before=state.before, end=state.end)
        script.write_text(text)
        ended = run_script(python, script, str(log), driver, f"{name} {number}", then=then)
        events = log.read_text().splitlines() if log.exists() else []
        kind = "memory" if driver == "memory" else "postgres"
        return End(f"{name}, {kind}, {python}", state, ended, events)

    with ThreadPoolExecutor(together) as pool:
        return list(pool.map(lambda item: one(item[0], *item[1]), enumerate(todo)))


def figures(ends: Sequence[End], limit: float, what: str = "") -> list[Figure]:
    """Return the figures of these ends."""
    slowest = max(ends, key=lambda end: end.ended.last)
    codes = [end.where for end in ends if end.ended.code != end.state.code]
    noisy = [f"{end.where}: {end.ended.noise[-500:]}" for end in ends if end.noisy]
    wrong = [f"{end.where}: {end.events[-1:]}" for end in ends if not end.right]
    return [
        exactly(
            f"{what}scripts that ended with their code{told(codes)}",
            len(ends) - len(codes),
            len(ends),
        ),
        at_most(
            f"{what}from the end to the exit, the slowest ({slowest.where.rpartition(',')[0]})",
            slowest.ended.last,
            limit,
            " s",
        ),
        exactly(f"{what}scripts with noise on stderr{told(noisy)}", len(noisy), 0),
        exactly(f"{what}scripts whose job came to something else{told(wrong)}", len(wrong), 0),
    ]


def told(found: Sequence[str]) -> str:
    """Return which they are, in brackets."""
    return f" ({'; '.join(found)})" if found else ""


TRIAL = Trial(
    run=run,
    full={"rounds": 3, "more": 2.0, "down": 3},
    short={
        "rounds": 1,
        "more": 20.0,
        "down": 0,
        "pythons": ["this"],
        "states": ["short job", "long job", "SIGTERM"],
    },
)
