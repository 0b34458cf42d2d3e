"""What `why` says of a job that is not running, and that it is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from gaffer import Cancel, Gaffer, Job, Queue, UnknownJob, Why
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, MakeGaffer, fail, quiet
from tests.rig.waiting import until

KEEP: Any = {"interval": None}


def codes(why: Why) -> list[str]:
    """Return the codes of the reasons."""
    return [reason.code.value for reason in why.reasons]


def serve(app: Gaffer, worker: Callable[[Job], Any], **options: Any) -> Queue:
    """Declare the queue "q", worked by *app*, and wait until storage knows of it."""
    queue = app.ensure_queue("q", worker=worker, poll_interval=0.01, prune=KEEP, **options)
    driver = queue.conf.driver
    until(lambda: any('"q"' in (node.about or "") for node in driver.node_list() or ()))
    return queue


@pytest.fixture
def app(make_gaffer: MakeGaffer) -> Gaffer:
    """Give a Gaffer that works, and beats often, so that what it says of itself is fresh."""
    return make_gaffer(beat_interval=0.05, lease=30.0)


def test_a_job_that_has_ended_says_how_and_how_long_ago(
    manual: Gaffer, harness: DriverHarness
) -> None:
    queue = manual.ensure_queue("q", worker=fail, **quiet(max_attempts=1))
    job = queue.insert(1)
    queue.poll()
    harness.advance(90)

    why = queue.why(job.id)

    assert (codes(why), why.job) == (["ended"], queue.get(job.id))
    assert why.main.text == (
        "it is failed for 1 m 30 s, after no; `gaffer jobs retry` has it tried again"
    )


def test_of_a_job_that_was_cancelled_no_error_is_told(manual: Gaffer) -> None:
    queue = manual.ensure_queue("q", worker=lambda job: Cancel("no"), **quiet())
    job = queue.insert(1)
    queue.poll()

    assert queue.why(job.id).main.text.startswith("it is cancelled for 0.")


def test_an_executing_job_names_its_node_and_the_time_that_it_has(
    app: Gaffer, gate: Gate, driver: Driver
) -> None:
    queue = serve(app, gate, timeout=600)
    job = queue.insert(1)
    gate.wait_for(1)

    why = queue.why(job.id)

    [node] = driver.node_list() or []
    assert (codes(why), why.main.facts["node"]) == (["executing"], node.name)
    assert f"by node {node.name} (pid " in why.main.text
    assert re.search(r"its timeout is in (9 m 5\d s|10 m 0 s)$", why.main.text)
    gate.let()


def test_a_job_of_a_silent_process_is_lost_until_another_settles_it(
    manual: Gaffer, driver: Driver, harness: DriverHarness
) -> None:
    queue = manual.ensure_queue("q", worker=fail, **quiet())
    job = queue.insert(1)
    with queue.claim():
        harness.advance(100)

        why = queue.why(job.id)

    assert codes(why) == ["lost"]
    assert "gives no sign of life; start a worker of queue 'q'" in why.main.text


def test_a_paused_queue_without_a_process_has_two_reasons_the_pause_first(manual: Gaffer) -> None:
    queue = manual.ensure_queue("q", **quiet())
    job = queue.insert(1)
    queue.pause()

    assert codes(queue.why(job.id)) == ["paused", "unserved"]


def test_the_command_that_ends_a_pause_quotes_the_name_of_the_queue(manual: Gaffer) -> None:
    queue = manual.ensure_queue("the mails", **quiet())
    job = queue.insert(1)
    queue.pause()

    assert "`gaffer resume 'the mails'`" in str(queue.why(job.id))


def test_a_job_that_is_not_due_says_when_and_after_which_error(app: Gaffer) -> None:
    queue = serve(app, fail, max_attempts=5, backoff=3600)
    retried, later = queue.insert(1), queue.insert(2, delay=7200)
    until(lambda: queue.get(retried.id).attempt == 1)

    why = queue.why(retried.id)

    assert codes(why) == ["not_due"]
    assert ": a retry, after no" in why.main.text
    assert "a retry" not in queue.why(later.id).main.text
    assert re.search("in (1 h 59 m|2 h 0 m)$", queue.why(later.id).main.text)


def test_a_limit_over_all_processes_names_the_jobs_that_hold_it(app: Gaffer, gate: Gate) -> None:
    queue = serve(app, gate, max_workers=5, global_max_workers=1)
    holder = queue.insert(1)
    gate.wait_for(1)
    _, job = queue.insert_many([2, 3])

    why = queue.why(job.id)

    assert codes(why) == ["limit", "waiting"]
    assert why.main.facts == {"limit": 1, "jobs": [str(holder.id)]}
    assert why.reasons[1].facts == {"ahead": 1}
    gate.let()


def test_workers_that_are_all_busy_are_told_by_their_nodes(app: Gaffer, gate: Gate) -> None:
    queue = serve(app, gate, max_workers=1)
    queue.insert(1)
    gate.wait_for(1)
    job = queue.insert(2)

    why = queue.why(job.id)

    assert codes(why) == ["busy"]
    assert [*why.main.facts["nodes"].values()] == [1]
    gate.let()


def test_a_chain_names_the_job_that_executes_or_the_first_that_waits(
    app: Gaffer, gate: Gate
) -> None:
    queue = serve(app, gate, max_workers=5)
    running = queue.insert(1, chain="c")
    gate.wait_for(1)
    second = queue.insert(2, chain="c", delay=3600)

    third = queue.insert(3, chain="c")

    why = queue.why(third.id)
    assert codes(why) == ["chain"]
    assert why.main.facts == {"job": str(running.id), "chain": "c", "state": "executing"}
    gate.let()
    until(lambda: queue.get(running.id).state == "completed")
    why = queue.why(third.id)
    assert why.main.facts["job"] == str(second.id)
    assert re.search(r"waits for its time, in (59 m 5\d s|1 h 0 m)$", why.main.text)
    assert codes(queue.why(second.id)) == ["not_due"]


def test_a_process_that_was_drained_does_not_count_as_one_that_serves(app: Gaffer) -> None:
    queue = serve(app, lambda job: None)
    queue.drain()
    until(lambda: "drained" in queue.why(queue.insert(1).id).main.text)

    why = queue.why(queue.insert(1).id)

    assert (codes(why), len(why.main.facts["idle"])) == (["unserved"], 1)


def test_a_process_that_has_left_serves_nothing(make_gaffer: MakeGaffer, manual: Gaffer) -> None:
    app = make_gaffer(beat_interval=0.05, lease=30.0)
    serve(app, lambda job: None)
    app.stop()
    queue = manual.ensure_queue("q", **quiet())

    assert codes(queue.why(queue.insert(1).id)) == ["unserved"]


@pytest.mark.parametrize(("priority", "ahead"), [(0, 3), (5, 0), (-1, 4)])
def test_where_nothing_is_wrong_those_ahead_are_counted_in_the_order_of_claims(
    priority: int, ahead: int, manual: Gaffer, driver: Driver
) -> None:
    queue = manual.ensure_queue("q", **quiet())
    queue.insert_many([1, 2, 3])
    queue.insert(4, delay=3600)
    job = queue.insert("this", priority=priority)
    queue.insert_many([5])

    assert driver.job_ahead(job).count == ahead


def test_a_job_that_is_not_there_is_unknown(manual: Gaffer) -> None:
    queue, other = manual.ensure_queue("q"), manual.ensure_queue("other")
    job = other.insert(1)

    with pytest.raises(UnknownJob):
        queue.why(job.id)
