"""What people read: numbers of things, and commands that they paste."""

from __future__ import annotations

import shlex

import pytest

from gaffer.cli.parser import parsed
from gaffer.wording import are, command, counted


def test_one_is_one_and_others_are_many() -> None:
    assert [f"{counted(n)} {are(n)}" for n in (0, 1, 2)] == ["0 jobs are", "1 job is", "2 jobs are"]
    assert counted(1, "thread") == "1 thread"


@pytest.mark.parametrize("queue", ["mails", "two words", "-dash", "--help", "it's; rm -rf *", "ö"])
def test_a_command_means_its_queue_whatever_that_is_called(queue: str) -> None:
    resume = shlex.split(command("resume", queue))
    listing = shlex.split(command("jobs list", queue=queue, state="failed"))

    assert resume[0] == listing[0] == "gaffer"
    assert parsed(resume[1:]).queue == queue
    assert parsed(listing[1:]).queue == queue
