"""What `gaffer top` shows."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from gaffer import Gaffer, Job
from gaffer.cli.watching import Line, Rates
from gaffer.driver import Node
from gaffer.presence import Presence, Served, presence
from tests.cli.conftest import Run
from tests.rig.waiting import until

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def told(node: str, ended: int | None, at: float) -> Presence:
    """Return what a node says *at* seconds past noon."""
    served = Served(
        max_workers=1, global_max_workers=None, draining=False, stuck=False, ended=ended
    )
    return Presence(
        node=node,
        alive=True,
        silent=0.0,
        beat_at=NOON + timedelta(seconds=at),
        queues={"q": served},
    )


def test_a_rate_is_what_ended_between_two_beats_over_all_processes() -> None:
    rates = Rates(lambda served: served.ended)

    rates.note([told("a", 100, 0), told("b", 7, 1)])
    assert rates.of("q") is None
    rates.note([told("a", 150, 5), told("b", 17, 6)])
    assert rates.of("q") == 50 / 5 + 10 / 5

    rates.note([told("a", 150, 5), told("b", 17, 6)])  # no beat since
    assert rates.of("q") == 12.0
    rates.note([told("b", 17, 11)])  # one has left
    assert rates.of("q") == 0.0


def test_a_process_that_does_not_count_has_no_rate() -> None:
    rates = Rates(lambda served: served.ended)

    for at in (0, 5):
        rates.note([told("a", None, at)])

    assert rates.of("q") is None


def test_one_table_is_printed_without_a_terminal(g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")
    g.insert_many("mails", [1, 2])
    g.pause("mails")

    text, value = run("top", "--once"), run("top", "--json")

    header, line = text.out.splitlines()
    assert header.split()[:3] == ["QUEUE", "STATUS", "AVAILABLE"]
    assert line.split()[:9] == ["mails", "paused", "2", "0", "0", "-", "-", "0/0", "0"]
    assert (value.json["available"], value.json["status"]) == (2, "paused")


def test_the_processes_that_work_a_queue_and_their_workers_are_counted(
    url: str, g: Gaffer, run: Run
) -> None:
    g.ensure_queue("mails")
    with Gaffer(url, beat_interval=0.05) as worker:
        worker.ensure_queue("mails", worker=lambda job: None, max_workers=7)
        until(lambda: run("top", "--json").json["processes"] == 1)
        line = run("top", "--json").json

    assert (line["workers"], line["processes"]) == (7, 1)


def test_errors_are_told_with_the_beats_also_of_jobs_that_are_gone(
    url: str, g: Gaffer, run: Run
) -> None:
    def work(job: Job) -> None:
        raise ValueError(f"no address\n{'x' * 500}")

    g.ensure_queue("mails")
    g.insert("mails", 1)
    with Gaffer(url, beat_interval=0.05) as worker:
        worker.ensure_queue("mails", worker=work, max_attempts=1, prune={"interval": 0.05})
        until(lambda: run("top", "--json").json["last_error"])
        line = run("top", "--json").json

    assert line["last_error"].startswith("ValueError: no address xxx")
    assert len(line["last_error"]) < 130
    assert datetime.fromisoformat(line["last_error_at"]).utcoffset() == timedelta(0)


def test_an_instant_that_is_none_is_not_told() -> None:
    about = {"queues": {"q": {"last_error": "x", "last_error_at": "yesterday"}}}
    node = Node(name="n", beat_at=NOON, about=json.dumps(about))

    queues = presence(node, NOON).queues

    assert queues is not None
    assert queues["q"].last_error_at is None


def test_a_queue_that_fails_has_its_newest_error_below_the_table() -> None:
    line = Line(
        queue="mails", status="active", available=0, executing=0, failed=1, rate=None, errors=1.0,
        error="ValueError: no", error_at=NOON, workers=1, processes=1, since=None,
    )  # fmt: skip

    assert line.trouble(NOON + timedelta(seconds=90)) == "mails, 1m 30s ago: ValueError: no"


def test_without_the_extra_a_live_table_says_what_to_install(
    g: Gaffer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    g.ensure_queue("mails")
    monkeypatch.setitem(sys.modules, "rich.live", None)

    ran = run("top")

    assert (ran.code, "pip install 'gaffer-queue[top]'" in ran.err) == (2, True)


def test_a_live_table_ends_at_a_q(g: Gaffer, environment: dict[str, str]) -> None:
    g.ensure_queue("mails")
    ours, theirs = pty.openpty()
    settings = {**environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30"}
    command = [sys.executable, "-m", "gaffer", "top", "--interval", "30"]
    process = subprocess.Popen(
        command, env=settings, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    seen = b""
    while b"mails" not in seen:
        seen += os.read(ours, 4096)

    os.write(ours, b"q")

    assert process.wait(20) == 0
    os.close(ours)
