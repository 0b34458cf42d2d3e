"""How many instructions does Python execute for one job? A count has no noise, unlike a time.

By valgrind's cachegrind, which makes the program some twenty times slower, and simulates no cache
here. Each case is run with two numbers of jobs; the difference, per job, is free of what it costs
to begin. `--compare FILE` returns 1 if a case needs 5 % more than what `--save FILE` has kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

CASES = Path(__file__).with_name("_instructions_cases.py")
FEW, MANY = 200, 1_200
TOLERANCE = 0.05
"""How much more a case may need than before."""
VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
PATIENCE = 300.0

Counts = Mapping[str, int]
"""Instructions per job, by the name of the case."""


def counted() -> dict[str, int]:
    """Run all cases, and return what each needs per job."""
    with tempfile.TemporaryDirectory(prefix="gaffer-count-") as folder:
        command = [*VALGRIND, f"--log-file={folder}/%p", sys.executable, str(CASES)]
        done = subprocess.run(
            [*command, str(FEW), str(MANY)],
            env=surroundings(os.environ),
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        totals: dict[str, list[int]] = {}
        for line in done.stdout.splitlines():
            process, _, name = line.split("\t")
            totals.setdefault(name, []).append(total(Path(folder, process).read_text()))
    return {name: per_job(few, many) for name, (few, many) in totals.items()}


def surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the cases: the same wherever they are counted."""
    kept = {name: value for name, value in environment.items() if name in ("HOME", "PATH")}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def total(log: str) -> int:
    """Return the instructions of a whole process, from what valgrind logs of it."""
    found = re.search(r"I +refs: +([\d,]+)", log)
    if found is None:
        raise ValueError(f"valgrind tells no count:\n{log}")
    return int(found[1].replace(",", ""))


def per_job(few: int, many: int) -> int:
    """Return the instructions of one job, from the totals for `FEW` and for `MANY`."""
    return round((many - few) / (MANY - FEW))


def table(now: Counts, before: Counts) -> list[str]:
    """Return the lines that tell of *now*, and how it differs from *before*."""
    lines = []
    for name, count in now.items():
        line = f"{name:<40} {count:>12,}"
        if name in before:
            more = count / before[name] - 1
            verdict = "MORE" if name in grown(now, before) else ""
            line += f" {before[name]:>12,} {more:>+8.1%} {verdict}"
        lines.append(line.rstrip())
    return lines


def grown(now: Counts, before: Counts) -> list[str]:
    """Return the cases that need more than they may; those that are new may need anything."""
    most = {name: count * (1 + TOLERANCE) for name, count in before.items()}
    return [name for name, count in now.items() if name in most and count > most[name]]


def read(file: Path) -> Counts:
    """Return what was saved; raise `SystemExit` if it was counted on another Python."""
    saved = json.loads(file.read_text())
    if saved["python"] != sys.version:
        message = f"{file} is of Python {saved['python']}, this is {sys.version}: save it anew"
        raise SystemExit(message)
    counts: Counts = saved["instructions"]
    return counts


def main() -> int:
    """Return the exit code."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep the counts")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare with kept counts")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed")
    before = read(options.compare) if options.compare is not None else {}
    print(f"{__doc__.splitlines()[0]}\nPython {sys.version}; cachegrind\n")
    now = counted()
    print(f"{'instructions per job':<40} {'now':>12}" + f" {'before':>12}" * bool(before))
    print("\n".join(table(now, before)))
    if options.save is not None:
        kept = {"python": sys.version, "instructions": now}
        options.save.write_text(json.dumps(kept, indent=1) + "\n")
    return 1 if grown(now, before) else 0


if __name__ == "__main__":
    sys.exit(main())
