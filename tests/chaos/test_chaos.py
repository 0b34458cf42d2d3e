"""The program of the chaos, for some seconds; `nox -s chaos` runs it for minutes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.chaos.__main__ import report
from tests.chaos.nemeses import QUICK
from tests.chaos.run import Run
from tests.rig.checker import check
from tests.rig.processes import ROOT
from tests.rig.test_checker import CLEAN, DEAD


def test_nothing_is_lost_doubled_or_stuck_whatever_fails(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "tests.chaos", f"--seed={seed}", "--minutes=0.15"]
    chosen = [f"--nemesis={name}" for name in QUICK]

    ended = subprocess.run(
        [*command, *chosen, f"--json={numbers}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )

    assert ended.returncode == 0, f"seed {seed}: {ended.stdout}{ended.stderr}"
    assert ended.stdout.startswith(f"seed {seed}, ")
    found = json.loads(numbers.read_text())
    assert (found["seed"], found["clean"], found["violations"]) == (seed, True, [])
    assert sum(found["strikes"].values()) > 0
    assert found["jobs"]["completed"] > 0


def test_a_run_in_which_something_is_found_is_not_clean_and_tells_the_story() -> None:
    records = replace(CLEAN, stored={**CLEAN.stored, DEAD: ("executing", 3)})
    run = Run(7, 3.0, violations=check(records), records=records)

    told = report(run)

    assert not run.clean
    assert told.endswith("NOT CLEAN")
    assert f"VIOLATION of leftovers: job {DEAD} is still executing at revision 3" in told
    assert "available -> executing at revision 3" in told


def test_a_run_with_a_fault_of_a_process_is_not_clean() -> None:
    run = Run(7, 3.0, faults=["a worker ended with 1"], records=CLEAN)

    assert not run.clean
    assert "FAULT: a worker ended with 1" in report(run)
