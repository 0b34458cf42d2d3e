"""Scripts that fall off their end, or are thrown off it: in time, the right exit code, no noise."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.rig.scripts import PYTHONS, environment

SOON = 20.0
"""Seconds within which a script ends, on a busy machine too; the trial `exits` has the figures."""

PRELUDE = """
import sys, threading, time
import gaffer
from gaffer_driver_memory import MemoryDriver, Storage

log = open(sys.argv[1], "w", buffering=1)
kept = Storage()

def hook(event):
    print(type(event).__name__, event.actor, file=log)

def begin(worker, **options):
    gaffer.configure(driver=MemoryDriver(storage=kept), hooks=[hook])
    return gaffer.ensure_queue("q", worker=worker, prune={"interval": None}, **options)

inside = threading.Event()

def work(job):
    inside.set()
    time.sleep(job.payload)

"""


def run(folder: Path, python: str, body: str) -> tuple[int, str, float, list[str]]:
    """Run a script; return its exit code, what it said on stderr, its seconds, and its events."""
    script, log = folder / "script.py", folder / "events"
    script.write_text(PRELUDE + body)
    began = time.monotonic()
    ended = subprocess.run(
        [PYTHONS[python], "-X", "dev", "-W", "ignore", script, log],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    seconds = time.monotonic() - began
    return ended.returncode, ended.stderr, seconds, log.read_text().splitlines()


@pytest.fixture(params=list(PYTHONS))
def python(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_an_idle_script_ends_at_once(tmp_path: Path, python: str) -> None:
    """F40."""
    code, noise, seconds, _ = run(tmp_path, python, "begin(work)")

    assert (code, noise) == (0, "")
    assert seconds < SOON


def test_a_short_job_is_completed_at_the_exit(tmp_path: Path, python: str) -> None:
    """F40."""
    body = "begin(work).insert(0.5); inside.wait(5)"

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, noise) == (0, "")
    assert seconds < SOON
    assert events[-1] == "JobCompleted worker"


def test_a_long_job_is_released_at_the_exit(tmp_path: Path, python: str) -> None:
    """F40."""
    body = "begin(work, shutdown_timeout=0.5, timeout=100).insert(60); inside.wait(5)"

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, "Exception ignored" in noise, "Fatal" in noise) == (0, False, False)
    assert seconds < SOON
    assert events[-1] == "JobScheduled runner"


def test_a_job_that_runs_at_the_exit_may_still_insert(tmp_path: Path, python: str) -> None:
    """F40."""
    body = """
def work(job):
    inside.set()
    while not gaffer.current().stopping:
        time.sleep(0.01)
    gaffer.insert("q", 1)
    gaffer.insert("q", 2, delay=1)

begin(work).insert(0)
inside.wait(5)
"""

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, noise) == (0, "")
    assert seconds < SOON
    assert events[-3:] == ["JobInserted user", "JobInserted user", "JobCompleted worker"]


def test_an_exception_in_the_main_thread_ends_the_script_as_ever(
    tmp_path: Path, python: str
) -> None:
    """F40."""
    body = "begin(work).insert(0.3); inside.wait(5); raise ValueError('mine')"

    code, noise, seconds, events = run(tmp_path, python, body)

    assert code == 1
    assert noise.startswith("Traceback")
    assert noise.rstrip().endswith("ValueError: mine")
    assert seconds < SOON
    assert events[-1] == "JobCompleted worker"


def test_an_exit_code_is_kept(tmp_path: Path, python: str) -> None:
    """F40."""
    body = "begin(work).insert(0.3); inside.wait(5); sys.exit(3)"

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, noise) == (3, "")
    assert seconds < SOON
    assert events[-1] == "JobCompleted worker"


def test_several_gaffers_are_all_stopped_at_the_exit(tmp_path: Path, python: str) -> None:
    """F40."""
    body = """
more = [gaffer.Gaffer(MemoryDriver(), hooks=[hook]) for _ in range(3)]
for one in more:
    one.ensure_queue("q", worker=work, prune={"interval": None})
    one.insert("q", 0.3)
begin(work).insert(0.3)
inside.wait(5)
time.sleep(0.1)
"""

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, noise) == (0, "")
    assert seconds < SOON
    assert events.count("JobCompleted worker") == 4


def test_a_job_that_holds_on_to_a_lock_of_the_main_thread_cannot_hang_the_exit(
    tmp_path: Path, python: str
) -> None:
    """F40."""
    body = """
lock = threading.Lock()
lock.acquire()
def work(job):
    inside.set()
    lock.acquire()

begin(work, shutdown_timeout=0.3, interrupt=True).insert(1)
inside.wait(5)
"""

    code, noise, seconds, events = run(tmp_path, python, body)

    assert (code, "Exception ignored" in noise) == (0, False)
    assert seconds < SOON
    assert events[-1] == "JobScheduled runner"


def test_importing_gaffer_starts_no_thread_and_imports_no_driver(
    tmp_path: Path, python: str
) -> None:
    """F40."""
    (tmp_path / "import.py").write_text(
        "import sys, threading, gaffer\n"
        "drivers = [name for name in sys.modules if name.startswith('gaffer_driver')]\n"
        "print(threading.active_count(), drivers)\n"
    )

    ended = subprocess.run(
        [PYTHONS[python], tmp_path / "import.py"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=environment(),
    )

    assert ended.stdout == "1 []\n"
