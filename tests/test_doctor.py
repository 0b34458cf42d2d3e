"""What `doctor` finds, on each driver."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from gaffer import Finding, Gaffer, InvalidQueueConf, Queue
from gaffer.driver import Driver
from gaffer.testing.harness import DriverHarness
from tests.conftest import Gate, MakeGaffer, fail, quiet
from tests.rig.waiting import until

KEEP: Any = {"interval": None}


def found(app: Gaffer, driver: Driver, **options: Any) -> dict[str, Finding]:
    """Return what is found of queues, by its code; what the server itself is like is left out."""
    findings = app.doctor(driver, **options)
    return {finding.code: finding for finding in findings if "queue" in finding.facts}


def serve(app: Gaffer, worker: Any, **options: Any) -> Queue:
    """Declare the queue "q", worked by *app*, and wait until storage knows of it."""
    queue = app.ensure_queue("q", worker=worker, poll_interval=0.01, prune=KEEP, **options)
    driver = queue.conf.driver
    until(lambda: any('"q"' in (node.about or "") for node in driver.node_list() or ()))
    return queue


@pytest.fixture
def app(make_gaffer: MakeGaffer) -> Gaffer:
    """Give a Gaffer that works and beats often."""
    return make_gaffer(beat_interval=0.05, lease=300.0)


def test_where_all_is_well_nothing_is_found(app: Gaffer, driver: Driver) -> None:
    queue = serve(app, lambda job: None)
    queue.insert(1)
    queue.flush(10)

    assert found(app, driver) == {}


def test_a_queue_with_jobs_that_nobody_works_is_an_error(manual: Gaffer, driver: Driver) -> None:
    queue = manual.ensure_queue("q", **quiet())
    queue.insert_many([1, 2])
    queue.insert(3, delay=3600)

    finding = found(manual, driver)["unserved"]

    assert (finding.severity, finding.remedy) == ("error", "start one: gaffer work MODULE")
    assert finding.text.startswith("queue 'q': 3 jobs are available, the oldest that is due for 0")


def test_jobs_that_wait_for_their_time_wait_for_nobody(manual: Gaffer, driver: Driver) -> None:
    manual.ensure_queue("q", **quiet()).insert(3, delay=3600)

    assert found(manual, driver) == {}


def test_a_paused_queue_with_jobs_is_a_warning_with_its_command(
    app: Gaffer, driver: Driver
) -> None:
    queue = serve(app, lambda job: None)
    queue.pause()
    queue.insert(1)

    finding = found(app, driver)["paused"]

    assert (finding.severity, finding.remedy) == ("warning", "gaffer resume q")


def test_a_queue_that_does_not_keep_up_is_a_warning_after_a_while(
    app: Gaffer, driver: Driver, gate: Gate, harness: DriverHarness
) -> None:
    queue = serve(app, gate, timeout=3600)
    queue.insert_many([1, 2])
    gate.wait_for(1)
    assert found(app, driver, waiting=60) == {}

    harness.advance(100)

    assert found(app, driver, waiting=60)["behind"].facts["waits"] > 60
    assert found(app, driver, waiting=600) == {}
    gate.let()


def test_a_queue_that_is_stuck_names_the_process(
    make_gaffer: MakeGaffer, gate: Gate, driver: Driver
) -> None:
    app = make_gaffer(beat_interval=0.05, lease=300.0)
    queue = serve(app, gate, timeout=0.05, max_abandoned=0, max_attempts=1)
    queue.insert(1)
    until(lambda: "stuck" in found(app, driver))

    finding = found(app, driver)["stuck"]

    assert finding.severity == "error"
    assert finding.remedy.startswith("restart process ")
    gate.let()


def test_a_process_that_does_not_hear_of_jobs_at_once_is_told_of(
    make_gaffer: MakeGaffer, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_gaffer(beat_interval=0.05, lease=300.0)
    monkeypatch.setattr(type(driver), "listening", property(lambda self: False))
    serve(app, lambda job: None)
    until(lambda: any(one.code == "deaf" for one in app.doctor(driver)))

    [deaf] = [one for one in app.doctor(driver) if one.code == "deaf"]

    assert deaf.severity == "info"
    assert [deaf.facts["node"]] == [node.name for node in driver.node_list() or ()]


def test_jobs_that_nobody_settles_are_an_error(
    manual: Gaffer, driver: Driver, harness: DriverHarness
) -> None:
    queue = manual.ensure_queue("q", **quiet())
    job = queue.insert(1)
    with queue.claim():
        harness.advance(1000)

        finding = found(manual, driver)["lost"]

    assert (finding.severity, finding.facts["jobs"]) == ("error", [str(job.id)])


def test_a_queue_without_jobs_or_processes_is_only_told(manual: Gaffer, driver: Driver) -> None:
    manual.ensure_queue("q", **quiet())

    assert found(manual, driver)["unused"].severity == "info"


def test_jobs_that_have_failed_for_good_are_only_told(manual: Gaffer, driver: Driver) -> None:
    queue = manual.ensure_queue("q", worker=fail, **quiet(max_attempts=1))
    queue.insert_many([1, 2])
    while queue.poll():
        pass

    finding = found(manual, driver)["failed"]

    assert (finding.severity, finding.facts["failed"]) == ("info", 2)


def test_a_command_that_is_told_can_be_pasted_whatever_the_queue_is_called(
    manual: Gaffer, driver: Driver
) -> None:
    name = "the mails; it's odd"
    queue = manual.ensure_queue(name, worker=fail, **quiet(max_attempts=1))
    queue.insert(1)
    queue.poll()

    told = found(manual, driver)["failed"].remedy

    assert shlex.split(told)[3:] == ["--queue", name, "--state", "failed"]


def test_the_gravest_come_first(manual: Gaffer, driver: Driver) -> None:
    manual.ensure_queue("a", **quiet())
    manual.ensure_queue("b", **quiet()).insert(1)

    severities = [one.severity for one in manual.doctor(driver) if "queue" in one.facts]

    assert severities == ["error", "info"]


def test_bad_numbers_are_refused(manual: Gaffer, driver: Driver) -> None:
    with pytest.raises(InvalidQueueConf, match="waiting=-1"):
        manual.doctor(driver, waiting=-1)
