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


def test_the_doctor_tells_what_is_wrong_and_what_to_do(g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")
    job = g.insert("mails", 1)
    g.pause("mails")

    text, value = run("doctor"), run("doctor", "--json")

    assert text.code == value.code == 1
    assert "and it is paused\n         gaffer resume mails\n" in text.out
    [paused] = [one for one in value.lines if one["code"] == "paused"]
    assert paused["severity"] == "warning"
    g.resume("mails")
    g.delete("mails", job.id)
    g.delete_queue("mails")
    assert run("doctor").code == 0


def test_the_doctor_tells_of_a_schema_that_is_not_there(run: Run) -> None:
    ran = run("doctor", "--json")

    assert (ran.code, ran.json["code"], ran.json["remedy"]) == (1, "migrations", "gaffer migrate")
