"""What `jobs list --follow` prints."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest

from gaffer import Gaffer
from gaffer.cli.following import Changes


@pytest.fixture
def following(g: Gaffer, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Give a process that follows the queue "mails"."""
    g.ensure_queue("mails", worker=lambda job: "done", poll_interval=None)
    words = ["jobs", "list", "--follow", "--json", "--queue", "mails", "--interval", "0.05"]
    command = [sys.executable, "-m", "gaffer", *words]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    yield process
    process.kill()
    process.communicate()


def test_each_change_is_a_line_until_ctrl_c(g: Gaffer, following: subprocess.Popen[str]) -> None:
    assert following.stdout is not None

    def line() -> tuple[UUID, str]:
        told = json.loads(following.stdout.readline())  # type: ignore[union-attr]
        return UUID(told["id"]), told["state"]

    job = g.insert("mails", 1)
    assert line() == (job.id, "available")
    g.poll("mails")
    while (change := line()) == (job.id, "executing"):  # if it looked just then
        pass
    assert change == (job.id, "completed")
    g.delete("mails", job.id)
    assert line() == (job.id, "gone")

    following.send_signal(signal.SIGINT)
    _, noise = following.communicate(timeout=20)
    assert (following.returncode, noise) == (0, "")


def test_whoever_has_seen_enough_may_close_the_pipe(
    g: Gaffer, following: subprocess.Popen[str]
) -> None:
    assert following.stdout is not None
    g.insert("mails", 1)
    following.stdout.readline()

    following.stdout.close()
    g.insert("mails", 2)

    assert following.wait(20) == 0
    assert following.stderr is not None
    assert following.stderr.read() == ""


def test_a_job_is_told_once_for_each_of_its_revisions(g: Gaffer) -> None:
    g.ensure_queue("mails")
    jobs, changes = g.insert_many("mails", [1, 2]), Changes()

    assert changes.look(jobs) == (jobs, [])
    assert changes.look(jobs) == ([], [])
    assert changes.look(jobs[:1]) == ([], [jobs[1].id])
