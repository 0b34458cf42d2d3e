"""The example tells the truth: it ends with 0 if its numbers add up, and with 1 if they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
TIMEOUT = 120.0

GOOD = {
    "plain.py": b"import os\n\n\nclass A:\n    def f(self): ...  # one\n",
    "empty.py": b"",
    "deep/inside/[odd] name.py": b"x = lambda: 1\n",
    "latin.py": "# coding: latin-1\ns = 'é'\n".encode("latin-1"),
}
BROKEN = {
    "syntax.py": b"def f(:\n",
    "null.py": b"x = 1\n\0\n",
    "unknown_encoding.py": b"# coding: nonesuch\n",
    "no_utf8.py": b"s = '\xff'\n",
    "deep/open.py": b"x = (1,\n",
}


def run(
    *options: str, program: str = "", folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the example; with *program*, which may spoil it first, instead of its last lines."""
    script = [str(EXAMPLES / "index_stdlib.py")]
    if program:
        script = ["-c", f"import index_stdlib as it\n{program}\nraise SystemExit(it.main())"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GAFFER_", "PYTEST"))}
    return subprocess.run(
        [sys.executable, "-W", "error", *script, *options],
        env={**environment, "PYTHONPATH": str(EXAMPLES), "COLUMNS": "120"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def facts(done: subprocess.CompletedProcess[str], verdict: str) -> list[str]:
    """Return the sums that hold (``"ok"``) or do not (``"WRONG"``)."""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    return [words[1] for words in lines if words and words[0] == verdict]


def totals(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return what was found, by the first word of its name."""
    found = done.stdout.partition("Found")[2].partition("Slowest")[0]
    rows = [line.split() for line in found.splitlines()]
    return {row[0]: int(row[-1]) for row in rows if row and row[-1].isdigit()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a folder with nine files, five of them broken."""
    for name, source in {**GOOD, **BROKEN}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    return tmp_path


def test_the_beginning_of_the_standard_library_adds_up() -> None:
    done = run("--limit", "300")

    assert done.returncode == 0, done.stdout
    assert "300 files," in done.stdout
    assert facts(done, "WRONG") == []
    assert facts(done, "ok")[:2] == [
        "files found = jobs inserted: 300 = 300",
        "jobs inserted = completed + failed: 300 = 300",
    ]
    assert "\x1b" not in done.stdout


def test_broken_files_are_dead_letters_with_a_reason(tree: Path) -> None:
    done = run("--root", str(tree), "--workers", "3", "--plain")

    assert done.returncode == 0, done.stdout
    letters = done.stdout.partition("Dead letters")[2].partition("Queues")[0]
    rows = {words[0]: words[1:] for line in letters.splitlines() if (words := line.split())}
    assert {name: rows[name][0] for name in BROKEN} == dict.fromkeys(BROKEN, "2")
    assert all("Error:" in rows[name][1] for name in BROKEN)
    total = sum(totals(done).values())
    assert facts(done, "ok") == [
        "files found = jobs inserted: 9 = 9",
        "jobs inserted = completed + failed: 9 = 9",
        "failed = dead letters: 5 = 5",
        "completed = aggregated: 4 = 4",
        "aggregated = completed there: 4 = 4",
        "dead letters = completed there: 5 = 5",
        "available or executing = none: 0 = 0",
        "files found = files seen exactly once: 9 = 9",
        "files found = files seen: 9 = 9",
        f"total of all numbers in storage = aggregated: {total} = {total}",
        "index: storage = events: 4 completed, 5 failed, 0 cancelled = "
        "4 completed, 5 failed, 0 cancelled",
        "aggregate: storage = events: 4 completed, 0 failed, 0 cancelled = "
        "4 completed, 0 failed, 0 cancelled",
        "dead_letter: storage = events: 5 completed, 0 failed, 0 cancelled = "
        "5 completed, 0 failed, 0 cancelled",
    ]


def test_the_totals_are_those_of_the_files(tree: Path) -> None:
    done = run("--root", str(tree))

    found = totals(done)
    size = sum(map(len, GOOD.values()))
    expected = {"bytes": size, "classes": 1, "functions": 1, "lambdas": 1, "imports": 1}
    expected |= {"comments": 2, "lines": 8}
    assert expected == {name: found[name] for name in expected}


@pytest.mark.parametrize(
    ("program", "wrong"),
    [
        (
            "it.Aggregate.perform = lambda self, job: None",
            ["completed = aggregated", "aggregated = completed there",
             "files found = files seen exactly once", "files found = files seen",
             "total of all numbers in storage = aggregated"],
        ),
        (
            "honest = it.index\n"
            "it.index = lambda job: it.gaffer.Cancel() if 'plain' in job.payload['file'] "
            "else honest(job)",
            ["jobs inserted = completed + failed", "files found = files seen exactly once",
             "files found = files seen"],
        ),
        (
            "honest = it.Aggregate.perform\n"
            "def perform(self, job):\n"
            "    if 'plain' in job.payload['payload']['file']:\n"
            "        job.payload['payload']['file'] = 'empty.py'\n"
            "    honest(self, job)\n"
            "it.Aggregate.perform = perform",
            ["files found = files seen exactly once", "files found = files seen"],
        ),
        (
            "honest = it.read_dead_letters\n"
            "it.read_dead_letters = lambda g: honest(g)[1:]",
            ["failed = dead letters", "dead letters = completed there",
             "files found = files seen exactly once", "files found = files seen"],
        ),
        (
            "honest = it.index\n"
            "it.index = lambda job: it.gaffer.Schedule(delay=60) if 'plain' in job.payload['file'] "
            "else honest(job)",
            ["jobs inserted = completed + failed", "available or executing = none",
             "files found = files seen exactly once", "files found = files seen"],
        ),
        (
            "it.Tally.add = lambda self, queue, kind: None",
            ["files found = jobs inserted", "jobs inserted = completed + failed",
             "index: storage = events", "aggregate: storage = events",
             "dead_letter: storage = events"],
        ),
    ],
    ids=["dropped", "cancelled", "mistaken", "letter lost", "never done", "deaf hook"],
)  # fmt: skip
def test_what_does_not_add_up_is_named_and_ends_with_1(
    tree: Path, program: str, wrong: list[str]
) -> None:
    done = run("--root", str(tree), "--patience", "2", program=program)

    assert done.returncode == 1, done.stdout
    assert [fact.rpartition(": ")[0].partition(": 4")[0] for fact in facts(done, "WRONG")] == wrong
    assert f"{len(wrong)} sums do not add up" in done.stdout


def test_a_folder_without_files_is_no_success(tmp_path: Path) -> None:
    done = run("--root", str(tmp_path))

    assert done.returncode == 2
    assert "there is no .py file" in done.stdout


def test_the_jobs_of_an_earlier_run_are_not_counted(tree: Path) -> None:
    twice = (
        "from gaffer_driver_memory import MemoryDriver, Storage\n"
        "storage, make = Storage(), it.gaffer.Gaffer\n"
        "it.gaffer.Gaffer = lambda driver, **options: make(MemoryDriver(storage), **options)\n"
        "import sys\n"
        "codes = [it.main([*sys.argv[1:], *more]) for more in ([], [], ['--fresh'])]\n"
        "sys.exit(str(codes))"
    )

    done = run("--root", str(tree), program=twice)

    assert done.stdout.splitlines()[-1] == "[0, 2, 0]", done.stdout


def test_a_driver_that_is_not_there_is_said_so(tree: Path) -> None:
    done = run("--root", str(tree), "--driver", "nonesuch")

    assert done.returncode == 1
    assert "no driver 'nonesuch'" in done.stdout


@pytest.mark.parametrize("driver", ["memory", "memory://"])
def test_several_processes_need_a_driver_that_they_can_share(tree: Path, driver: str) -> None:
    done = run("--root", str(tree), "--driver", driver, "--processes", "2")

    assert done.returncode == 2
    assert done.stdout == (
        "the driver memory shares no jobs between processes: give another --driver\n"
    )
