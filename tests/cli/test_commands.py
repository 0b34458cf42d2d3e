"""What each command does, says and returns."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gaffer import Fail, Gaffer, Job, JobState, Queue
from tests.cli.conftest import Run

KEEP: Any = {"interval": None}


def fail(job: Job) -> Fail:
    """Work no job."""
    return Fail(f"no {job.payload}")


@pytest.fixture
def mails(g: Gaffer) -> Queue:
    """Give a queue whose jobs fail for good, and are kept."""
    return g.ensure_queue("mails", worker=fail, max_attempts=1, prune=KEEP, poll_interval=None)


# -- queues ----------------------------------------------------------------------------------------


def test_queues_are_listed_with_their_jobs_by_state(mails: Queue, g: Gaffer, run: Run) -> None:
    g.ensure_queue("empty")
    mails.insert(1)
    mails.poll()
    mails.insert_many([2, 3])

    text, value = run("queues"), run("queues", "--json")

    assert text.code == 0
    header, empty, line = text.out.splitlines()
    assert header.split()[:3] == ["QUEUE", "STATUS", "AVAILABLE"]
    assert empty.split() == ["empty", "active", "0", "0", "0", "0", "0", "-"]
    assert line.split()[:7] == ["mails", "active", "2", "0", "0", "1", "0"]
    assert [one["queue"] for one in value.lines] == ["empty", "mails"]
    assert (value.lines[1]["available"], value.lines[1]["failed"]) == (2, 1)
    assert value.lines[1]["waiting_since"] is not None


def test_a_queue_is_paused_and_resumed_and_what_is_so_already_is_refused(
    mails: Queue, run: Run
) -> None:
    assert run("pause", "mails").code == 0
    assert mails.info().status == "paused"
    again = run("pause", "mails")
    assert (again.code, again.err) == (5, "gaffer: queue 'mails' is paused already\n")
    assert run("resume", "mails", "--json").json == {"queue": "mails", "status": "active"}
    assert mails.info().status == "active"
    assert run("resume", "mails").code == 5


@pytest.mark.parametrize("verb", ["pause", "resume", "prune", "redrive", "insert"])
def test_a_queue_that_storage_does_not_know_is_not_made(verb: str, g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")

    ran = run(verb, "mials")

    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "gaffer: there is no queue 'mials' in this storage; see `gaffer queues`\n"
    assert g.orphaned_queues() == []


def test_prune_deletes_what_is_named_and_nothing_else(mails: Queue, run: Run) -> None:
    jobs = mails.insert_many([1, 2])
    mails.poll()
    mails.cancel(jobs[1].id)

    assert run("prune", "mails").out == "0 jobs deleted\n"
    assert run("prune", "mails", "--max-age", "failed=1h").out == "0 jobs deleted\n"
    assert run("prune", "mails", "--max-age", "failed=0", "--json").json["deleted"] == 1

    assert [job.state for job in mails.list()] == [JobState.CANCELLED]


# -- jobs ------------------------------------------------------------------------------------------


def test_jobs_are_listed_and_chosen_by_state_kind_and_error(mails: Queue, run: Run) -> None:
    bad = mails.insert("Straße", kind="a")
    mails.poll()
    good = mails.insert(2, kind="b", delay=3600)

    def ids(*words: object) -> list[str]:
        ran = run("jobs", "list", "--json", *words)
        assert ran.code == 0, ran.err
        return [line["id"] for line in ran.lines]

    assert ids() == [str(bad.id), str(good.id)]
    assert ids("--queue", "mails", "--state", "failed") == [str(bad.id)]
    assert ids("--state", "incomplete") == [str(good.id)]
    assert ids("--state", "failed", "--state", "available") == [str(bad.id), str(good.id)]
    assert ids("--kind", "b,c") == [str(good.id)]
    assert ids("--error", "NO STRASSE") == [str(bad.id)]
    assert ids("--error", "nothing of the kind") == []
    assert ids("--older-than", "1h") == []
    assert ids("--older-than", "0") == [str(bad.id), str(good.id)]
    assert ids("--limit", "1") == [str(bad.id)]
    assert ids("--after", bad.id) == [str(good.id)]


def test_the_table_of_jobs_tells_when_they_are_due_and_what_went_wrong(
    mails: Queue, run: Run
) -> None:
    mails.insert(1)
    mails.poll()
    mails.insert(2, delay=3600)

    header, bad, later = run("jobs", "list").out.splitlines()

    assert header.split() == ["ID", "QUEUE", "KIND", "STATE", "ATTEMPT", "SINCE", "DUE", "ERROR"]
    assert bad.endswith("no 1")
    assert "in 59m 59s" in later or "in 1h" in later


def test_many_jobs_are_listed_a_page_at_a_time_and_fifty_unless_more_are_asked_for(
    mails: Queue, run: Run
) -> None:
    mails.insert_many(range(1200))

    assert len(run("jobs", "list", "--json").lines) == 50
    assert len(run("jobs", "list", "--json", "--limit", "1100").lines) == 1100


def test_a_job_is_shown_with_its_payload_and_all_that_went_wrong(mails: Queue, run: Run) -> None:
    def crash(job: Job) -> None:
        raise ValueError("of all things")

    mails.update(worker=crash)
    job = mails.insert({"to": "ada"}, kind="k")
    mails.poll()

    text, value = run("jobs", "show", job.id), run("jobs", "show", job.id, "--json").json

    assert '"to": "ada"' in text.out
    assert "ValueError: of all things" in text.out
    assert "attempt 1 failed at" in text.out
    assert (value["id"], value["state"], value["payload"]) == (str(job.id), "failed", {"to": "ada"})
    assert value["errors"][0]["error"]["message"] == "of all things"
    assert value["backoff"] == [1.0]


def test_jobs_are_cancelled_retried_and_deleted_by_their_ids(mails: Queue, run: Run) -> None:
    bad, waiting = mails.insert(1), None
    mails.poll()
    waiting = mails.insert(2)

    assert run("jobs", "retry", bad.id).out == f"{bad.id} available\n"
    assert mails.get(bad.id).state is JobState.AVAILABLE
    assert run("jobs", "cancel", waiting.id, "--json").json["became"] == "cancelled"
    assert run("jobs", "delete", bad.id, waiting.id).code == 0
    assert mails.list() == []


def test_of_several_jobs_one_that_refuses_keeps_no_other_from_it(mails: Queue, run: Run) -> None:
    bad = mails.insert(1)
    mails.poll()
    waiting = mails.insert(2)

    ran = run("jobs", "retry", waiting.id, bad.id)

    assert ran.code == 5
    assert f"{waiting.id} refused: job {waiting.id} is available" in ran.out
    assert mails.get(bad.id).state is JobState.AVAILABLE


def test_jobs_that_filters_choose_are_told_first_and_changed_after_a_yes(
    mails: Queue, run: Run
) -> None:
    mails.insert_many([1, 2, 3])
    while mails.poll():
        pass

    asked = run("jobs", "retry", "--queue", "mails", "--error", "no 2")
    assert (asked.code, asked.out) == (0, "1 job; --yes to retry them\n")
    assert len(mails.list(state="failed")) == 3
    assert run("jobs", "retry", "--state", "failed", "--yes").code == 0
    assert len(mails.list(state="available")) == 3


@pytest.mark.parametrize("words", [[], [str(uuid4()), "--queue", "mails"]])
def test_jobs_that_are_not_named_or_named_twice_are_a_usage_error(
    words: list[str], g: Gaffer, run: Run
) -> None:
    g.ensure_queue("mails")

    ran = run("jobs", "delete", *words)

    assert ran.code == 2
    assert ran.err.startswith("gaffer: ")


def test_a_job_that_is_not_there_is_unknown(g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")
    id = uuid4()

    for words in (["show", id], ["retry", id], ["cancel", id], ["delete", id]):
        ran = run("jobs", *words)
        assert (ran.code, str(id) in ran.err) == (3, True)


def test_forwarded_jobs_are_sent_back(g: Gaffer, run: Run) -> None:
    g.ensure_queue("dead")
    queue = g.ensure_queue("q", worker=fail, max_attempts=1, prune=KEEP, forward={"failed": "dead"})
    queue.insert(1)
    queue.poll()
    odd = g.insert("dead", "by hand")

    ran = run("redrive", "dead", "--rate", "100", "--json")

    assert (ran.code, ran.json["sent"], [*ran.json["left"]]) == (1, 1, [str(odd.id)])
    assert [job.payload for job in queue.list(state="available")] == [1]


# -- insert ----------------------------------------------------------------------------------------


def test_a_job_is_inserted_with_its_options(mails: Queue, run: Run) -> None:
    id = uuid4()

    ran = run(
        "insert", "mails", '{"to": "ada"}', "--id", id, "--kind", "k", "--chain", "c", "--priority",
        "3", "--max-attempts", "5", "--timeout", "2m", "--at", "2030-01-01T00:00:00Z",
    )  # fmt: skip

    assert (ran.code, ran.out) == (0, f"{id}\n")
    job = mails.get(id)
    assert (job.payload, job.kind, job.chain, job.priority) == ({"to": "ada"}, "k", "c", 3)
    assert (job.max_attempts, job.timeout) == (5, 120.0)
    assert job.scheduled_at is not None
    assert job.scheduled_at.year == 2030


def test_payloads_come_from_a_file_or_from_stdin(
    mails: Queue, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "payload.json"
    page.write_text('{\n  "a": 1\n}\n')
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n2\n3\n"))

    assert run("insert", "mails", f"@{page}").code == 0
    assert run("insert", "mails", "-", "--many", "--json").json["inserted"] == 3

    assert [job.payload for job in mails.list()] == [{"a": 1}, 1, 2, 3]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["hello"], "payload 1 is no JSON"),
        (["1", "--priority", "9" * 30], "priority"),
        (["1", "--delay", "soon"], "'soon' is no duration; write 90, 90s, 5m"),
        (["1", "--at", "2030-01-01T00:00:00"], "no time zone"),
        (["1", "--id", "7"], "no id of a job"),
        (["@/no/such/file"], "No such file"),
    ],
)
def test_a_payload_or_option_that_is_none_is_named_and_nothing_inserted(
    words: list[str], says: str, mails: Queue, run: Run
) -> None:
    ran = run("insert", "mails", *words)

    assert ran.code in (2, 5)
    assert says in ran.err
    assert mails.list() == []


# -- migrate ---------------------------------------------------------------------------------------


def test_the_schema_is_checked_made_and_taken_back(run: Run) -> None:
    before = run("migrate", "--check", "--json")
    assert (before.code, before.json["applied"]) == (1, [])
    assert before.json["pending"]

    assert run("migrate").code == 0
    assert run("migrate", "--check").code == 0
    assert "CREATE TABLE" in run("migrate", "--sql").out
    assert run("migrate", "--rollback", "0", "--json").json["applied"] == []


def test_a_look_at_storage_makes_no_tables(run: Run) -> None:
    ran = run("queues")

    assert ran.code == 5
    assert "`gaffer migrate` applies them" in ran.err
    assert run("migrate", "--check").code == 1


def test_a_driver_without_a_schema_has_nothing_to_migrate(run: Run) -> None:
    ran = run("migrate", "--driver", "memory")

    assert (ran.code, "nothing to migrate" in ran.err) == (2, True)


# -- all of them -----------------------------------------------------------------------------------


def test_the_demo_adds_up(run: Run) -> None:
    ran = run("demo", "--driver", "memory", "--json")

    assert (ran.code, ran.json["well"], ran.json["sum"]) == (0, True, sum(range(500)))


def test_global_options_may_stand_before_the_command_or_behind_it(g: Gaffer, run: Run) -> None:
    g.ensure_queue("mails")

    assert run("--json", "queues").lines == run("queues", "--json").lines


def test_without_a_driver_a_command_says_what_to_give(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAFFER_DRIVER")

    ran = run("queues")

    assert (ran.code, "--driver postgresql://" in ran.err) == (2, True)


def test_a_storage_that_does_not_answer_has_a_code_of_its_own(run: Run) -> None:
    ran = run("queues", "--driver", "postgresql://127.0.0.1:1/app", "--json")

    assert ran.code == 4
    assert json.loads(ran.err)["error"] == "DriverUnavailable"


@pytest.mark.parametrize("words", [[], ["work"], ["jobs"], ["nonsense"], ["queues", "--jso"]])
def test_a_command_that_is_none_is_a_usage_error(words: list[str], run: Run) -> None:
    ran = run(*words)

    assert ran.code == 2
    assert "usage:" in ran.err or "gaffer:" in ran.err


def test_the_program_is_asked_what_its_queues_do(
    run: Run, g: Gaffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --app a cancelled job is forwarded, and prune knows the ages."""
    (tmp_path / "shop.py").write_text(
        "import gaffer, os\n"
        "def declare():\n"
        "    g = gaffer.Gaffer(os.environ['GAFFER_DRIVER'], work=False)\n"
        "    g.ensure_queue('cancelled')\n"
        "    g.ensure_queue('orders', forward={'cancelled': 'cancelled'})\n"
        "    return g\n"
    )
    monkeypatch.chdir(tmp_path)
    for name in ("orders", "cancelled"):
        g.ensure_queue(name, prune=KEEP)
    job = g.insert("orders", 1)

    assert run("jobs", "cancel", job.id, "--app", "shop:declare").code == 0

    assert [one.payload["id"] for one in g.list("cancelled")] == [str(job.id)]
