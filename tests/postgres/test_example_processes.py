"""The example with several processes, one of which is killed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.rig.waiting import until

psutil: Any = import_module("psutil")

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TIMEOUT = 120.0

KILLED = r"^process (\d) \(pid \d+\) is killed by SIGKILL: (\d+) of 200 files are done"
ROW = r"^ +(\d) +\d+ +(ended|killed) +(\d+) "


def command(folder: Path, *options: str) -> dict[str, Any]:
    """Return what `subprocess` needs to run the example that is in a folder."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GAFFER_", "PYTEST"))}
    return {
        "args": [sys.executable, "-W", "error", str(folder / "index_stdlib.py"), *options],
        "env": {**environment, "COLUMNS": "120"},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }


def run(*options: str, folder: Path = EXAMPLES) -> subprocess.CompletedProcess[str]:
    """Run the example."""
    return subprocess.run(**command(folder, *options), timeout=TIMEOUT, check=False)


def facts(output: str, verdict: str) -> list[str]:
    """Return the sums that hold (``"ok"``) or do not (``"WRONG"``)."""
    lines = [line.split(maxsplit=1) for line in output.splitlines()]
    return [words[1] for words in lines if words and words[0] == verdict]


def pids(output: str) -> list[int]:
    """Return the process ids of the workers."""
    [line] = [line for line in output.splitlines() if "processes work:" in line]
    return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", line)]


def is_left(pid: int) -> bool:
    """Return whether a process has not ended; zombies have."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def users_of(path: Path) -> list[int]:
    """Return the processes of a server in *path*, and of its guardians."""
    return [
        process.pid
        for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == str(path) or str(path) in (process.info["cmdline"] or [])
    ]


@pytest.fixture
def url(server: str, schema: str) -> str:
    """Give the URL of a schema that does not exist, on the server of the session."""
    named = {key: str(value) for key, value in conninfo_to_dict(server).items()}
    return f"postgresql:///?{urlencode({**named, 'schema': schema})}"


Spoil = Callable[..., Path]


@pytest.fixture
def spoil(tmp_path: Path) -> Spoil:
    """Give a function that copies the example, and replaces text in its modules."""

    def replace(*changes: tuple[str, str, str]) -> Path:
        folder = tmp_path / "spoilt"
        shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
        for module, old, new in changes:
            path = folder / f"{module}.py"
            text = path.read_text("utf-8")
            assert text.count(old) == 1, (module, old)
            path.write_text(text.replace(old, new), "utf-8")
        return folder

    return replace


SLOW = ("index_stdlib", "    counts = count(", "    time.sleep(0.3)\n    counts = count(")
"""Work that lasts, so that the process which is killed surely has jobs under way."""


def test_one_of_three_processes_is_killed_and_all_numbers_add_up(tmp_path: Path) -> None:
    path = tmp_path / "data"

    done = run(
        *(
            "--driver",
            f"postgres+embedded://{path}",
            "--limit",
            "200",
            "--processes",
            "3",
            "--plain",
        )
    )

    assert done.returncode == 0, done.stdout
    assert facts(done.stdout, "WRONG") == []
    [(number, at)] = re.findall(KILLED, done.stdout, re.MULTILINE)
    assert 66 <= int(at) <= 150
    expected = {
        "files found = files seen exactly once: 200 = 200",
        "available or executing = none: 0 = 0",
        "processes killed = 1: 1 = 1",
        "processes ended in order = all others: 2 = 2",
    }
    assert expected <= {*facts(done.stdout, "ok")}
    assert re.search(r"^jobs rescued: \d+; late results, dropped: \d+$", done.stdout, re.MULTILINE)
    rows = {row[0]: row[1:] for row in re.findall(ROW, done.stdout, re.MULTILINE)}
    assert {number: fate for number, (fate, _) in rows.items()} == {
        **dict.fromkeys("123", "ended"),
        number: "killed",
    }
    told = [int(completed) for _, completed in rows.values()]
    assert min(told) > 0
    assert 198 <= sum(told) <= 200
    assert not any(map(is_left, pids(done.stdout)))
    until(lambda: not users_of(path))


def test_without_a_rescue_the_numbers_do_not_add_up_and_fresh_clears_what_is_left(
    url: str, spoil: Spoil
) -> None:
    folder = spoil(SLOW, ("index_stdlib", "lease=2.0", "lease=600.0"))
    options = ("--driver", url, "--limit", "24", "--plain")

    done = run(*options, "--processes", "3", "--patience", "3", folder=folder)

    assert done.returncode == 1, done.stdout
    assert [fact.rpartition(": ")[0] for fact in facts(done.stdout, "WRONG")] == [
        "jobs inserted = completed + failed",
        "available or executing = none",
        "files found = files seen exactly once",
        "files found = files seen",
    ]
    assert "4 sums do not add up" in done.stdout
    assert not any(map(is_left, pids(done.stdout)))
    assert [run(*options, *fresh).returncode for fresh in ([], ["--fresh"])] == [2, 0]


def test_the_late_results_of_a_suspended_process_change_nothing(url: str, spoil: Spoil) -> None:
    options = ("--driver", url, "--limit", "24", "--processes", "3", "--suspend")

    done = run(*options, folder=spoil(SLOW))

    assert done.returncode == 0, done.stdout
    steps = ["is killed by SIGKILL", "is suspended", "is resumed"]
    assert [done.stdout.count(step) for step in steps] == [1, 1, 1]
    [(rescued, late)] = re.findall(r"rescued: (\d+); late results, dropped: (\d+)\n", done.stdout)
    assert int(rescued) > int(late) > 0


def test_limits_that_are_exceeded_and_processes_that_do_not_end_well_are_named(
    url: str, spoil: Spoil
) -> None:
    folder = spoil(
        SLOW,
        ("index_stdlib", "global_max_workers=plan.most", "global_max_workers=None"),
        ("_stdlib_worker", "sys.stdin.read()", "sys.stdin.read()\n        os._exit(3)"),
    )

    done = run("--driver", url, "--limit", "24", "--processes", "3", folder=folder)

    assert done.returncode == 1, done.stdout
    assert facts(done.stdout, "WRONG") == [
        "most seen executing at once <= global limit: 6 > 5",
        "processes ended in order = all others: 0 /= 2",
    ]
    assert "ended with 3" in done.stdout


def test_processes_that_cannot_begin_are_an_error(url: str, spoil: Spoil) -> None:
    folder = spoil(("_stdlib_worker", "    plan = Plan(", "    sys.exit('no')\n    plan = Plan("))

    done = run("--driver", url, "--limit", "24", "--processes", "2", folder=folder)

    assert done.returncode == 1
    assert re.search(r"^CrewError: process 1 \(pid \d+\) does not work$", done.stdout, re.MULTILINE)


def test_the_wait_is_over_when_no_process_is_left(url: str, spoil: Spoil) -> None:
    folder = spoil(("index_stdlib", "    counts = count(", "    os._exit(4)\n    counts = count("))

    done = run("--driver", url, "--limit", "24", "--processes", "2", folder=folder)

    assert done.returncode == 1
    assert "ended with 4 before it was told to" in done.stdout
    assert "files found = jobs inserted: 24 = 24" in facts(done.stdout, "ok")


def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path, spoil: Spoil) -> None:
    path, folder = tmp_path / "data", spoil(SLOW)
    options = ("--driver", f"postgres+embedded://{path}", "--processes", "2")

    with subprocess.Popen(**command(folder, *options)) as parent:
        assert parent.stdout is not None
        workers = pids(parent.stdout.readline())
        parent.kill()

    assert len(workers) == 2
    until(lambda: not any(map(is_left, workers)))
    until(lambda: not users_of(path))
