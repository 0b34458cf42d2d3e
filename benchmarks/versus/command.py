"""The command line, and the order of a run: in each round every peer has its turn in every mode."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import psycopg
from measure import machine

from versus.environments import cache, described, python_of
from versus.errors import HandFailed, Missing
from versus.idleness import SETTLE, idle
from versus.measures import Stage
from versus.modes import MODES, size
from versus.plan import LIBRARIES, with_best
from versus.report import markdown, text
from versus.results import Results
from versus.servers import Postgres

__all__ = ["main"]

SHORT_PEERS = ["gaffer", "floor", "pgqueuer", "procrastinate"]
SHORT_MODES = ["insert", "insert1", "drain", "processes", "latency"]
TOGETHER = {"idle", "memory"}
"""Modes that hardly wander and take long: one round, for all libraries at once."""


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, with what ``--short`` changes."""
    parser = argparse.ArgumentParser(prog="python benchmarks/versus", description=__doc__)
    add = parser.add_argument
    add("--peers", type=_names(LIBRARIES), help=f"of {','.join(LIBRARIES)}; gaffer always runs")
    add("--modes", type=_names(MODES), help=f"of {','.join(MODES)}; default: all")
    add("--rounds", type=int, help="how often each case is measured; default: 3")
    add("--scale", type=float, help="so many times the jobs; default: 1")
    add("--short", action="store_true", help="some three minutes: the main modes and peers")
    add("--best", type=int, default=200, metavar="N", help="max_workers of gaffer's best profile")
    add("--driver", metavar="URL", help="postgresql://..., with CREATEDB; default: embedded")
    add("--cache", type=Path, default=cache(), help="where environments are; default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="write every value of every round there")
    add("--markdown", type=Path, metavar="FILE", help="write the report there as Markdown")
    chosen = parser.parse_args(arguments)
    short = chosen.short
    chosen.peers = chosen.peers or (SHORT_PEERS if short else list(LIBRARIES))
    chosen.modes = chosen.modes or (SHORT_MODES if short else list(MODES))
    chosen.rounds = chosen.rounds or (2 if short else 3)
    chosen.scale = chosen.scale or (0.5 if short else 1.0)
    if "gaffer" not in chosen.peers:
        chosen.peers.insert(0, "gaffer")
    return chosen


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    allowed = list(known)

    def split(value: str) -> list[str]:
        names = value.split(",")
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
        return names

    return split


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, print the report, and return the exit code."""
    chosen = options(arguments)
    with_best(chosen.best)
    results, began = Results(), time.monotonic()
    pythons = interpreters(chosen.peers, chosen.cache, results)
    with Postgres(
        chosen.driver, Path(tempfile.gettempdir(), f"gaffer-versus-{os.geteuid()}")
    ) as server:
        results.head += [
            machine(),
            server.describe(),
            *_redis_described(pythons),
            "; ".join(described(peer, python) for peer, python in pythons.items()),
            f"{chosen.rounds} rounds, scale {chosen.scale:g}; medians, and min-max of the rounds",
        ]
        print("\n".join(results.head), flush=True)
        try:
            for number in range(chosen.rounds):
                one_round(number, chosen, pythons, server, results)
            if TOGETHER & set(chosen.modes):
                waiting(chosen, pythons, server, results)
        except KeyboardInterrupt:
            results.failed["the run"] = "interrupted"
    results.head.append(f"the run took {(time.monotonic() - began) / 60:.1f} minutes")
    print("\n" + text(results))
    if chosen.json:
        chosen.json.write_text(json.dumps(results.plain(), indent=1) + "\n")
    if chosen.markdown:
        chosen.markdown.write_text(markdown(results))
    return 0 if results.sound() else 1


def interpreters(peers: Sequence[str], folder: Path, results: Results) -> dict[str, str]:
    """Return the interpreter of each library that can be run; the results say why others cannot."""
    found = {}
    for peer in LIBRARIES:  # so that all runs have one order
        if peer not in peers:
            continue
        try:
            if LIBRARIES[peer].store == "redis" and shutil.which("redis-server") is None:
                raise Missing("no redis-server on the path")
            found[peer] = python_of(peer, folder)
        except Missing as error:
            results.trouble(peer, error)
    return found


def _redis_described(pythons: dict[str, str]) -> list[str]:
    if not any(LIBRARIES[peer].store == "redis" for peer in pythons):
        return []
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True)
    return [f"{told.stdout.split(' sha=')[0]}, in memory only: nothing is written to disk"]


def one_round(
    number: int,
    chosen: argparse.Namespace,
    pythons: dict[str, str],
    server: Postgres,
    results: Results,
) -> None:
    """Measure every mode of every library once; every other round goes backwards."""
    for mode in chosen.modes:
        if mode in TOGETHER:
            continue
        turns = [
            (peer, profile)
            for peer in pythons
            for profile, settings in LIBRARIES[peer].profiles.items()
            if mode in settings.modes
        ]
        print(f"round {number + 1} of {chosen.rounds}, {mode}", flush=True)
        for peer, profile in reversed(turns) if number % 2 else turns:
            stage = Stage(server, pythons[peer], peer, LIBRARIES[peer].profiles[profile])
            one_turn(number, mode, stage, profile, chosen.scale, results)


def one_turn(
    number: int, mode: str, stage: Stage, profile: str, scale: float, results: Results
) -> None:
    """Measure one mode of one library in one profile; a failure is kept, and the run goes on."""
    measure = MODES[mode].measure
    assert measure is not None
    who = f"{stage.peer}, {profile}, {mode}"
    try:
        for figure in measure(stage, size(mode, stage.peer, profile, scale)):
            results.add(number, mode, stage.peer, profile, figure)
            print(f"    {stage.peer} {profile}, {figure.case}: {figure.value:,.1f} {figure.unit}")
    except Missing as error:
        results.trouble(who, error)
    except (HandFailed, OSError, psycopg.Error) as error:
        results.trouble(f"{who}, round {number + 1}", error)


def waiting(
    chosen: argparse.Namespace, pythons: dict[str, str], server: Postgres, results: Results
) -> None:
    """Measure the idle workers of all libraries, at once."""
    print("idle workers of all libraries", flush=True)
    stages = {
        peer: Stage(server, python, peer, LIBRARIES[peer].profiles["default"])
        for peer, python in pythons.items()
        if "default" in LIBRARIES[peer].profiles
    }
    seconds = max(1.0, 10.0 * chosen.scale)
    settle = SETTLE * min(1.0, chosen.scale)
    for peer, mode, figure in idle(stages, seconds, settle, results.trouble):
        if mode in chosen.modes:
            results.add(0, mode, peer, "default", figure)
