"""The suite is red for a broken driver: each fault is found by the part that is there for it."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MUTANTS = Path(__file__).parent / "mutants.py"
SOUND = "Spoilt"
"""The harness that is built like the others, without a fault."""

FOUND_BY = {
    "test_races": ["NoLock", "NoFence", "ClaimsTwoSteps"],
    "test_writes": ["NoFence", "Upsert", "HalfBatches", "FirstConflictOnly", "AnyQueue"],
    "test_claims": [
        "PriorityIgnored",
        "NewestFirst",
        "IdIgnored",
        "PauseIgnored",
        "GlobalLimitIgnored",
        "TimeIgnored",
    ],
    "test_write_and_claim": [
        "ClaimsWhateverIsRefused",
        "ForgetsToWrite",
        "WritesWhatItCan",
        "ClaimsBesideWithoutLimit",
    ],
    "test_freed": [
        "ClaimsBeforeItWrites",
        "ForgetsToWrite",
        "WritesTwice",
        "ClaimsBesideOverTheGlobalLimit",
        "CountsWhatItWritesTooOften",
    ],
    "test_write_and_claim_races": ["NoFence", "ClaimsBesideInTwoSteps"],
    "test_chains": ["ChainIgnored", "ChainOvertaken", "ChainOverAllQueues"],
    "test_ended": ["EndedOnceClaimed", "GoneLeftOut"],
    "test_nodes": ["NeverSilent", "KeepsItsNode", "NodeForgotten"],
    "test_prunes": ["PrunesTheEdge", "PrunesOtherQueues"],
    "test_lists": ["ListsAsInserted", "CountsAllQueues", "WaitsFromTheInsert"],
    "test_values": ["Milliseconds", "JsonNormalised", "FloatsAsTheyCome", "SharesItsErrors"],
    "test_queues": ["PauseForgotten"],
    # What waits in vain for a fault waits long: one test for each is enough.
    "test_subscribe::test_an_insert_wakes": ["NeverWakes"],
    "test_subscribe::test_a_wake_may_use_the_driver_from_another_thread": ["WakesUnderTheLock"],
    # Some are too rare for it: the aimed test is enough.
    "test_stateful": [
        "NoFence",
        "Upsert",
        "HalfBatches",
        "PriorityIgnored",
        "IdIgnored",
        "ChainIgnored",
        "ChainOvertaken",
        "PauseIgnored",
        "GlobalLimitIgnored",
        "KeepsItsNode",
        "PrunesTheEdge",
        "ListsAsInserted",
        "ClaimsWhateverIsRefused",
        "ClaimsBeforeItWrites",
        "WritesTwice",
    ],
}
HURRY = """
from hypothesis import Phase, settings

settings.register_profile(
    "hurry", phases=[Phase.generate], database=None, derandomize=True, print_blob=False
)
settings.load_profile("hurry")
"""
"""A plugin: that a fault is found is enough, it need not be made small."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder where all mutants look installed."""
    folder = tmp_path_factory.mktemp("mutants")
    shutil.copy(MUTANTS, folder)
    (folder / "hurry.py").write_text(HURRY)
    info = folder / "mutants-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mutants\nVersion: 1.0\n")
    names = [SOUND, *(name for found in FOUND_BY.values() for name in found)]
    lines = [f"{name} = mutants:{name}Harness" for name in dict.fromkeys(names)]
    (info / "entry_points.txt").write_text("\n".join(["[gaffer.harnesses]", *lines, ""]))
    return folder


def failing(folder: Path, part: str, drivers: list[str]) -> tuple[set[str], str]:
    """Run a part of the suite on drivers; return those for which it is red, and the output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "-rf"]
    command += ["-p", "gaffer.testing.plugin", *(f"--driver={name}" for name in drivers)]
    command += ["-p", "hurry", "--pyargs", f"gaffer.testing.suite.{part}"]
    # The machine is given time to find rare faults; the rest is aimed at them.
    examples = "400" if part == "test_stateful" else "25"
    environment = {**os.environ, "PYTHONPATH": str(folder), "GAFFER_EXAMPLES": examples}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout
    return set(re.findall(r"^FAILED \S+?\[(\w+)", done.stdout, re.MULTILINE)), done.stdout


@pytest.mark.parametrize("part", FOUND_BY)
def test_this_part_of_the_suite_finds_its_faults(part: str, installed: Path) -> None:
    red, output = failing(installed, part, [SOUND, *FOUND_BY[part]])

    assert red == set(FOUND_BY[part]), output[-5000:]


def test_every_fault_is_looked_for() -> None:
    faults = runpy.run_path(str(MUTANTS))["FAULTS"]

    assert {name for names in FOUND_BY.values() for name in names} == set(faults)
