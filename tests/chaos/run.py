"""One run: the load and the nemeses at once, then healing, and what is known in the end."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from gaffer import DriverUnavailable
from tests.chaos.load import BY_HAND
from tests.chaos.nemeses import NEMESES, heal, resumed
from tests.chaos.queues import LIMITS
from tests.chaos.world import Busy, World, made
from tests.rig.checker import TERMINAL, WAITING, Records, Violation, check
from tests.rig.waiting import until

__all__ = ["Run", "run"]

_log = logging.getLogger("tests.chaos")

AT_ONCE = 3
"""Nemeses that may be at work together."""
SETTLE = 120.0
"""Seconds after the last strike within which everything is to be done, on a busy machine too."""


@dataclass
class Run:
    """What a run came to."""

    seed: int
    minutes: float
    strikes: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    records: Records | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.violations and not self.faults


def run(seed: int, minutes: float, nemeses: Sequence[str], place: Path) -> Run:
    """Run for so long, and judge. Logs go to *place*."""
    done = Run(seed, minutes)
    with made(place, seed) as world:
        done.left_out = _left_out(world)
        names = [name for name in nemeses if name not in done.left_out]
        _strike(world, done, names)
        world.load.join()
        done.faults += [f"the load ended: {error!r}" for error in world.load.errors]
        heal(world)
        until(lambda: resumed(world), SETTLE)
        _settle(world, done)
        world.fleet.end()
        done.records = _records(world)
        done.counts |= _counts(world, done.records)
        done.faults += world.fleet.faults()
    done.violations = check(done.records)
    return done


def _left_out(world: World) -> list[str]:
    found = []
    if world.disk is None:
        found.append("disk_full")
    if not world.pooled:
        found.append("pgbouncer")
    return found


def _strike(world: World, done: Run, names: Sequence[str]) -> None:
    """Have the load and the nemeses at it, until the time is over or one of them breaks."""
    threads = [
        threading.Thread(
            target=_nemesis,
            args=[world, done, names, random.Random(f"{done.seed} nemesis {number}")],
            daemon=True,
        )
        for number in range(AT_ONCE)
    ]
    world.load.start()
    for thread in threads:
        thread.start()
    world.over.wait(done.minutes * 60)
    world.over.set()
    for thread in threads:
        thread.join(180)
        assert not thread.is_alive(), "a nemesis does not end"


def _nemesis(world: World, done: Run, names: Sequence[str], rng: random.Random) -> None:
    try:
        while not world.over.wait(rng.uniform(0.2, 2.5)):
            name = rng.choice(names)
            try:
                _log.info("%s begins", name)
                NEMESES[name](world, rng)
                done.strikes[name] += 1
                _log.info("%s has ended", name)
            except Busy:
                _log.info("%s finds no room", name)
            except (psycopg.OperationalError, DriverUnavailable) as error:
                done.missed[name] += 1
                _log.info("%s missed: %r", name, error)
    except BaseException as error:
        _log.exception("a nemesis broke")
        done.faults.append(f"a nemesis broke: {error!r}")
        world.over.set()


def _settle(world: World, done: Run) -> None:
    """Wait until all is done; what is not is found by the checker."""
    began = time.monotonic()

    def drained() -> bool:
        threading.Event().wait(0.2)
        try:
            for queue in BY_HAND:
                world.load.work_by_hand(queue)
            return world.load.waiting() == 0
        except DriverUnavailable:
            return False

    try:
        until(drained, SETTLE)
    except AssertionError:
        done.faults.append(f"not everything was done {SETTLE:g} s after the last strike")
    done.counts["settled_after"] = round(time.monotonic() - began)


def _records(world: World) -> Records:
    with world.account() as account:
        transitions, stored = account.transitions(), account.stored()
    load = world.load
    return Records(
        queues=LIMITS,
        transitions=transitions,
        effects=world.history.effects(),
        tried=load.tried,
        acknowledged=load.acknowledged,
        rolled_back=load.rolled_back,
        deleted=load.deleted,
        stored=stored,
        unordered=load.unordered,
        told=world.fleet.told() + Counter(load.told),
    )


def _counts(world: World, records: Records) -> dict[str, int]:
    """Return the numbers of the report."""
    became = Counter(change.became for change in records.transitions)
    errors = Counter(
        change.error
        for change in records.transitions
        if change.was == "executing" and change.became in WAITING | {"failed"}
    )
    seen = world.fleet.seen()
    new = [change for change in records.transitions if change.was is None]
    return {
        "inserted": len(new),
        "forwarded": sum(change.origin is not None for change in new),
        "acknowledged": len(records.acknowledged),
        "rolled_back": len(records.rolled_back),
        **{state: became[state] for state in sorted(TERMINAL)},
        "deleted": became[None],
        "claims": became["executing"],
        "rescued": errors["lost"],
        "timed_out": errors["timeout"],
        "late": seen["job.late"],
        "processes": seen["process.end"],
        "slowest_stop_ms": round(1000 * max(post.slowest_stop for post in world.fleet.posts)),
    }
