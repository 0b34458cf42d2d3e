"""What `gaffer work` runs, how it ends, and what it says of itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from gaffer import Gaffer, JobState
from tests.rig.waiting import PATIENCE, until

PROGRAM = """
import os, threading, time
import gaffer

gaffer.configure(work=False)  # whoever imports this only inserts

def quick(job):
    return "done"

def broken(job):
    print(job.payload)
    float(job.payload)

def slow(job):
    with open(job.payload, "a") as file:
        file.write("began\\n")
    end = time.monotonic() + 60
    while time.monotonic() < end and not (gaffer.current().stopping and job.kind == "kind"):
        time.sleep(0.01)
    with open(job.payload, "a") as file:
        file.write("ended\\n")

options = {"prune": {"interval": None}, "poll_interval": 0.05}
gaffer.ensure_queue("quick", worker=quick, **options)
gaffer.ensure_queue("broken", worker=broken, **options)
gaffer.ensure_queue("slow", worker=slow, shutdown_timeout=50, timeout=100, **options)
gaffer.ensure_queue("inserted_only")
"""

Work = Callable[..., "Worker"]


class Worker:
    """A process of `gaffer work`, which is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = self._line()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        killer = Timer(PATIENCE, self.process.kill)  # then there is an end to read
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        assert line, self.process.communicate()[1]
        return json.loads(line)

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of what it answers."""
        where = f"http://127.0.0.1:{self.said['health_port']}{path}"
        try:
            with urlopen(where, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its code and its log."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


@pytest.fixture
def work(g: Gaffer, environment: dict[str, str], tmp_path: Path) -> Iterator[Work]:
    """Give a factory of worker processes; they end with the test."""
    (tmp_path / "program.py").write_text(PROGRAM)
    for name in ("quick", "broken", "slow", "inserted_only"):
        g.ensure_queue(name, prune={"interval": None}, shutdown_timeout=50, timeout=100)
    made: list[subprocess.Popen[str]] = []

    def start(*words: str, module: str = "program") -> Worker:
        command = [sys.executable, "-m", "gaffer", "work", module, "--json", *words]
        made.append(
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return Worker(made[-1])

    yield start
    for process in made:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_queues_are_worked_although_the_program_only_inserts(work: Work, g: Gaffer) -> None:
    worker = work()
    job = g.insert("quick", 1)

    until(lambda: g.get("quick", job.id).result == "done")

    assert worker.said["working"] == ["quick", "broken", "slow"]
    worker.tell(signal.SIGTERM)
    code, _ = worker.end()
    assert code == 0


def test_attempts_that_fail_are_in_the_log(work: Work, g: Gaffer) -> None:
    g.ensure_queue("broken", max_attempts=2, backoff=0.01, prune={"interval": None})
    worker = work()
    job = g.insert("broken", "1,20")

    until(lambda: g.get("broken", job.id).state is JobState.FAILED)

    worker.tell(signal.SIGTERM)
    _, log = worker.end()
    first, last, *trace = log.splitlines()
    about = f"job {job.id} of 'broken': attempt"
    error = "ValueError: could not convert string to float: '1,20'"
    assert f"WARNING gaffer.work: {about} 1 of 2 failed, tried again at 20" in first
    assert first.endswith(error)
    assert f"ERROR gaffer.work: {about} 2 of 2 failed, for good: Traceback (most" in last
    assert trace[-1] == error


@pytest.mark.parametrize(("driver", "warned"), [("memory", True), ("", True), (None, False)])
def test_it_warns_where_nobody_else_can_insert(
    driver: str | None, warned: bool, work: Work, environment: dict[str, str]
) -> None:
    if driver is not None:
        environment["GAFFER_DRIVER"] = driver

    worker = work("--queues", "quick,slow")

    worker.tell(signal.SIGTERM)
    _, log = worker.end()
    assert ("the jobs of quick, slow are in the memory of this process" in log) is warned


def test_what_jobs_print_is_seen_at_once(
    work: Work, g: Gaffer, environment: dict[str, str]
) -> None:
    del environment["PYTHONUNBUFFERED"]
    worker = work()

    g.insert("broken", '{"seen": true}')

    assert worker._line() == {"seen": True}


def test_nothing_is_claimed_from_queues_that_are_not_named(work: Work, g: Gaffer) -> None:
    waiting = g.insert("slow", "x")
    worker = work("--queues", "quick")
    job = g.insert("quick", 1)

    until(lambda: g.get("quick", job.id).result == "done")

    assert worker.said["working"] == ["quick"]
    assert g.get("slow", waiting.id).state is JobState.AVAILABLE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_a_signal_what_runs_may_end(number: int, work: Work, g: Gaffer, tmp_path: Path) -> None:
    worker, page = work(), tmp_path / "page"
    job = g.insert("slow", str(page), kind="kind")
    until(page.exists)

    worker.tell(number)

    code, _ = worker.end()
    assert code == 0
    assert page.read_text() == "began\nended\n"
    assert g.get("slow", job.id).state is JobState.COMPLETED


def test_at_a_second_signal_what_runs_goes_back_at_once_and_no_attempt_is_lost(
    work: Work, g: Gaffer, tmp_path: Path
) -> None:
    worker, page = work(), tmp_path / "page"
    job = g.insert("slow", str(page))
    until(page.exists)
    worker.tell(signal.SIGTERM)
    assert worker._line() == {"stopping": True, "running": 1}
    began = time.monotonic()

    worker.tell(signal.SIGTERM)

    code, _ = worker.end()
    assert (code, time.monotonic() - began < 15) == (0, True)
    stored = g.get("slow", job.id)
    assert (stored.state, stored.attempt) == (JobState.AVAILABLE, 0)


def test_it_tells_over_http_how_it_is_and_what_it_counts(work: Work, g: Gaffer) -> None:
    worker = work("--health-port", "0")
    job = g.insert("quick", 1)
    until(lambda: g.get("quick", job.id).result == "done")

    assert worker.get("/live")[0] == 200
    status, body = worker.get("/ready")
    assert (status, json.loads(body)["ready"]) == (200, True)
    until(lambda: 'completed_total{actor="worker",queue="quick"} 1.0' in worker.get("/metrics")[1])
    assert 'gaffer_queue_jobs{queue="slow",state="available"} 0.0' in worker.get("/metrics")[1]
    assert worker.get("/else") == (404, "there are /live, /ready, /metrics\n")


@pytest.mark.parametrize(
    ("source", "words", "says"),
    [
        (None, ["nowhere"], "there is no module 'nowhere' here"),
        ("x = 1", ["odd"], "'odd' declares no queue; name the function that does: odd:CALL"),
        ("x = 1", ["odd:x"], "module 'odd' has no function 'x'"),
        (PROGRAM, ["odd", "--queues", "quick,inserted_only"], "inserted_only: no queue with"),
        ("import gaffer; gaffer.ensure_queue('a')", ["odd"], "no queue with a worker"),
        (PROGRAM, ["odd", "--health-port", "99999999"], "--health-port"),
    ],
)
def test_a_program_that_cannot_be_worked_is_a_usage_error(
    source: str | None,
    words: list[str],
    says: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    if source is not None:
        (tmp_path / "odd.py").write_text(source)

    ran = subprocess.run(
        [sys.executable, "-m", "gaffer", "work", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ran.returncode == 2, ran.stderr
    assert says in ran.stderr
