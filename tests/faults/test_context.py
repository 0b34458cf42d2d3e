"""What a job leaves in its context dies with it; what it logs says whose it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Recorder, until

VALUE: ContextVar[str] = ContextVar("value", default="unset")
SECRET = "s3cret-payload"


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def records() -> Iterator[Records]:
    handler, root = Records(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_context_variables_do_not_leak_from_job_to_job(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F45."""
    VALUE.set("of the caller")
    found: list[tuple[str, int]] = []

    def work(job: gaffer.Job) -> None:
        found.append((VALUE.get(), threading.get_ident()))
        VALUE.set(str(job.id))

    queue = g.ensure_queue("q", worker=work, max_workers=1, prune=KEEP)

    queue.insert_many(range(10))

    seen.wait(gaffer.JobCompleted, 10)
    assert {value for value, _ in found} == {"unset"}
    assert len({thread for _, thread in found}) < 10
    assert VALUE.get() == "of the caller"


def test_what_hooks_and_jobs_set_is_not_seen_by_others(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F45."""
    found: list[str] = []

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted):
            found.append(VALUE.get())

    queue = g.ensure_queue(
        "q", worker=lambda job: VALUE.set("job") and None, hooks=[hook], prune=KEEP
    )

    queue.insert_many(range(3))

    seen.wait(gaffer.JobCompleted, 3)
    assert found == ["unset"] * 3


def test_no_job_is_current_outside_of_jobs(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F45."""
    inside: list[object] = []

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted):
            with pytest.raises(gaffer.GafferError):
                gaffer.current()
            inside.append("hook")

    queue = g.ensure_queue(
        "q", worker=lambda job: inside.append(gaffer.current().job.id), hooks=[hook], prune=KEEP
    )

    job = queue.insert(1)

    seen.wait(gaffer.JobCompleted)
    until(lambda: inside == [job.id, "hook"])
    with pytest.raises(gaffer.GafferError):
        gaffer.current()


@pytest.mark.parametrize("work", [True, False])
def test_records_made_in_a_job_say_which_one_it_is(
    driver: MemoryDriver, records: Records, *, work: bool
) -> None:
    """F45."""

    def log(job: gaffer.Job) -> None:
        logging.getLogger("some.library").warning("inside")
        if job.attempt == 0:
            raise ValueError

    with gaffer.Gaffer(driver, work=work) as g:
        queue = g.ensure_queue("q", worker=log, backoff=0, prune=KEEP)
        job = queue.insert(1)
        queue.poll()
        until(lambda: queue.poll() >= 0 and queue.get(job.id).state.terminal)
    logging.getLogger("some.library").warning("outside")

    inside = [record for record in records.records if record.getMessage() == "inside"]
    [outside] = [record for record in records.records if record.getMessage() == "outside"]
    facts = [(r.gaffer_job, r.gaffer_queue, r.gaffer_attempt) for r in inside]  # type: ignore[attr-defined]
    assert facts == [(str(job.id), "q", 1), (str(job.id), "q", 2)]
    assert outside.gaffer_job is None  # type: ignore[attr-defined]
    assert outside.gaffer_queue is None  # type: ignore[attr-defined]
    assert outside.gaffer_attempt is None  # type: ignore[attr-defined]


def test_payloads_and_results_never_appear_in_the_log_of_gaffer(
    driver: MemoryDriver, seen: Recorder, records: Records
) -> None:
    """F45."""
    home = threading.Event()

    def work(job: gaffer.Job) -> object:
        match job.payload["do"]:
            case "fail":
                raise ValueError("plain")
            case "late":
                home.wait(10)
        return {"result": SECRET}

    def hook(event: gaffer.Event) -> None:
        raise ValueError("from the hook")

    with gaffer.Gaffer(driver, hooks=[seen, hook]) as g:
        g.ensure_queue("dead", prune=KEEP)
        queue = g.ensure_queue(
            "q",
            worker=work,
            timeout=0.2,
            max_attempts=1,
            max_workers=4,
            forward={"failed": "dead", "completed": "dead"},
        )
        for do in ("return", "fail", "late"):
            queue.insert({"do": do, "card": SECRET})
        seen.wait(gaffer.JobFailed, 2)
        home.set()
        seen.wait(gaffer.JobLate)
        with pytest.raises(gaffer.InvalidPayload):
            queue.insert({"card": SECRET, "bad": object()})

    own = [record for record in records.records if record.name.startswith("gaffer")]
    formatter = logging.Formatter()
    assert own
    assert not [text for text in map(formatter.format, own) if SECRET in text]
