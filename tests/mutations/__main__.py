"""The command line of the mutation check."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutations.bench import Bench
from tests.mutations.catalogue import MUTANTS
from tests.mutations.mutant import Mutant
from tests.rig.server import own_server


def chosen(words: Sequence[str]) -> list[Mutant]:
    """Return the mutants whose name has one of *words*; all, if there are none."""
    return [m for m in MUTANTS if not words or any(word in m.name for word in words)]


def sound(bench: Bench, mutants: Sequence[Mutant]) -> bool:
    """Run all tests without a mutant; return whether they are green."""
    kept = True
    for options in dict.fromkeys(tuple(mutant.options) for mutant in mutants):
        tests = dict.fromkeys(t for m in mutants if tuple(m.options) == options for t in m.tests)
        run = bench.sound(tests, options)
        if not run.green:
            print(run.output)
        kept &= run.green
    return kept


def survivors(bench: Bench, mutants: Sequence[Mutant], jobs: int, loud: bool) -> int:
    """Run each mutant, print what became of it, and return how many live."""
    alive = 0
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, run in zip(mutants, pool.map(bench.spoilt, mutants), strict=True):
            alive += run.green
            verdict = "SURVIVED" if run.green else ", ".join(run.red)
            print(f"{mutant.name:<58}  {run.seconds:5.1f} s  {verdict}", flush=True)
            if loud:
                print(run.output)
    return alive


def main() -> int:
    """Run the mutants that are named, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("word", nargs="*", help="run those whose name has one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many run at once")
    parser.add_argument("--loud", action="store_true", help="show what the tests say")
    options = parser.parse_args()
    mutants = chosen(options.word)
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="gaffer-mutations-") as place,
        own_server({"fsync": "off"}) as server,
    ):
        bench = Bench(Path(place), server.conninfo)
        bench.set_up()
        if not sound(bench, mutants):
            print("red without any mutant")
            return 1
        alive = survivors(bench, mutants, options.jobs, options.loud)
    print(f"{alive} of {len(mutants)} survived; {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
