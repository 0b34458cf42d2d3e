"""What `gaffer why` answers, on the storage that the workers use."""

from __future__ import annotations

from gaffer import Gaffer
from tests.cli.conftest import Run


def test_a_job_that_waits_for_nobody_is_told_who_is_missing(g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")
    first, job = g.insert_many("mails", [1, 2])
    g.pause("mails")

    ran, value = run("why", job.id), run("why", job.id, "--json")

    assert ran.code == 0
    assert ran.out.splitlines() == [
        f"job {job.id} of queue 'mails'",
        "  queue 'mails' is paused; `gaffer resume mails` ends that",
        "  no process works queue 'mails'; start one: gaffer work MODULE",
    ]
    assert [reason["code"] for reason in value.json["reasons"]] == ["paused", "unserved"]
    assert (value.json["state"], value.json["id"]) == ("available", str(job.id))
    assert first.id != job.id
