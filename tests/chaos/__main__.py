"""The command line of the chaos."""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.nemeses import NEMESES
from tests.chaos.run import Run, run
from tests.rig.checker import story

_MOST_STORIES = 20


def main() -> int:
    """Run, report, and return the exit code."""
    options = _options()
    print(f"seed {options.seed}, {options.minutes:g} minutes", flush=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))  # so that all is cleared up
    with _place(options.logs) as place:
        form = "%(asctime)s %(threadName)s %(name)s %(message)s"
        logging.basicConfig(filename=place / "chaos.log", level=logging.INFO, format=form)
        done = run(options.seed, options.minutes, options.nemesis or list(NEMESES), place)
        print(report(done), flush=True)
        if options.json:
            options.json.write_text(json.dumps(_numbers(done), indent=2) + "\n")
        if not done.clean:
            raise SystemExit(1)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults strike")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument(
        "--nemesis", action="append", choices=NEMESES, help="only this one; may be repeated"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep there what processes log")
    return parser.parse_args()


@contextmanager
def _place(wanted: Path | None) -> Iterator[Path]:
    """Give a folder for what the processes log; it is kept if it was *wanted*, or is needed."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
    place = wanted or Path(tempfile.mkdtemp(prefix="gaffer-chaos-"))
    try:
        yield place
    except BaseException:
        print(f"what the processes logged is in {place}", flush=True)
        raise
    if wanted is None:
        shutil.rmtree(place)


def report(done: Run) -> str:
    """Return what is printed at the end."""
    lines = [f"seed {done.seed}, {done.minutes:g} minutes", "nemeses (struck, missed):"]
    lines += [f"    {name:<18} {done.strikes[name]:>5} {done.missed[name]:>5}" for name in NEMESES]
    lines += [f"    left out here: {name}" for name in done.left_out]
    lines += ["jobs:", *(f"    {name:<18} {number:>6}" for name, number in done.counts.items())]
    lines += [f"FAULT: {fault}" for fault in done.faults]
    lines += [f"VIOLATION of {violation}" for violation in done.violations]
    lines += _stories(done)
    lines.append(f"{len(done.violations)} violations, {len(done.faults)} faults")
    lines.append("clean" if done.clean else "NOT CLEAN")
    return "\n".join(lines)


def _stories(done: Run) -> Iterator[str]:
    """Tell of the jobs that something is wrong with."""
    assert done.records is not None
    jobs = dict.fromkeys(violation.job for violation in done.violations if violation.job)
    for job in list(jobs)[:_MOST_STORIES]:
        yield f"job {job}:"
        yield from (f"    {line}" for line in story(done.records, job))


def _numbers(done: Run) -> dict[str, object]:
    """Return what is written for machines."""
    return {
        "seed": done.seed,
        "minutes": done.minutes,
        "strikes": done.strikes,
        "missed": done.missed,
        "left_out": done.left_out,
        "jobs": done.counts,
        "faults": done.faults,
        "violations": [str(violation) for violation in done.violations],
        "clean": done.clean,
    }


if __name__ == "__main__":
    sys.exit(main())
