"""The collector for Prometheus: how things stand at a scrape, and what a scrape costs."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gaffer import DriverUnavailable, Gaffer, UnknownQueue
from gaffer.contrib.census import Census
from gaffer.contrib.prometheus import StateCollector
from gaffer.testing.doubles import FaultyDriver, ManualClock
from gaffer.testing.harness import DriverHarness
from tests.conftest import PATIENCE, Gate, MakeGaffer, quiet
from tests.rig.waiting import until

AWAY = DriverUnavailable("away")


def watching(gaffer: Gaffer, **options: Any) -> StateCollector:
    """Return a collector that has the patience of a test."""
    return StateCollector(gaffer, **{"deadline": PATIENCE, **options})


def scrape(collector: StateCollector) -> dict[str, float]:
    """Return all samples, by name and labels."""
    return {
        " ".join([sample.name.removeprefix("gaffer_"), *sample.labels.values()]): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def asked(faulty: FaultyDriver, before: int = 0) -> list[str]:
    """Return what the storage was asked, but for its clock, which it is not asked for."""
    return [verb for verb in faulty.calls[before:] if verb != "now"]


def test_a_scrape_says_how_many_jobs_are_in_each_state(
    manual: Gaffer, harness: DriverHarness
) -> None:
    queue = manual.create_queue("q", worker=lambda job: None, **quiet())
    queue.insert(1)
    queue.poll()
    queue.insert(2)
    harness.advance(30)
    queue.insert_many([3, 4])

    found = scrape(watching(manual))

    assert {key: value for key, value in found.items() if key.startswith("queue_jobs")} == {
        "queue_jobs q available": 3,
        "queue_jobs q executing": 0,
        "queue_jobs q completed": 1,
        "queue_jobs q failed": 0,
        "queue_jobs q cancelled": 0,
    }
    assert 30 <= found["queue_oldest_due_age_seconds q"] < 60
    assert (found["live"], found["ready"]) == (1, 1)


def test_a_queue_without_due_jobs_has_no_backlog_of_any_age(
    manual: Gaffer, harness: DriverHarness
) -> None:
    manual.create_queue("q").insert(1, delay=3600)
    harness.advance(60)

    assert scrape(watching(manual))["queue_oldest_due_age_seconds q"] == 0


def test_a_scrape_says_what_the_threads_of_this_process_do(gaffer_: Gaffer, gate: Gate) -> None:
    options = quiet(poll_interval=0.01, timeout=0.05, max_attempts=1, max_abandoned=0)
    queue = gaffer_.create_queue("q", worker=gate, **options)
    queue.insert(1)
    until(lambda: queue.info().status == "stuck")

    found = scrape(watching(gaffer_))

    assert found["queue_abandoned_threads q"] == 1
    assert found["queue_stuck q"] == 1
    assert found["queue_running_jobs q"] == 0
    assert (found["live"], found["ready"]) == (1, 0)


def test_a_scrape_says_how_many_outcomes_wait_for_the_storage(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, gate: Gate
) -> None:
    working = make_gaffer(faulty)
    queue = working.create_queue("q", worker=gate, **quiet(poll_interval=0.01))
    collector = watching(working, count=False)
    queue.insert(1)
    gate.wait_for(1)

    assert scrape(collector)["queue_running_jobs q"] == 1
    assert scrape(collector)["queue_unwritten_outcomes q"] == 0
    faulty.fail("job_write", times=None, error=AWAY)
    gate.let()
    until(lambda: scrape(collector)["queue_unwritten_outcomes q"] == 1)
    faulty.heal()
    until(lambda: scrape(collector)["queue_unwritten_outcomes q"] == 0)


def test_a_scrape_asks_the_storage_once_per_queue_and_not_again_before_the_interval(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    manual, clock = make_gaffer(faulty, work=False), ManualClock()
    manual.create_queue("p")
    manual.create_queue("q")
    collector, before = watching(manual, interval=5, clock=clock), len(faulty.calls)

    first = scrape(collector)
    clock.advance(4)
    second = scrape(collector)

    assert asked(faulty, before) == ["job_stats", "job_stats"]
    assert (first["queue_counted_age_seconds p"], second["queue_counted_age_seconds p"]) == (0, 4)
    clock.advance(1)
    scrape(collector)
    assert asked(faulty, before) == ["job_stats"] * 4


def test_a_registration_asks_the_storage_nothing(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    manual = make_gaffer(faulty, work=False)
    manual.create_queue("q")
    registry, before = CollectorRegistry(auto_describe=True), len(faulty.calls)

    registry.register(watching(manual))

    assert asked(faulty, before) == []
    assert b'gaffer_queue_jobs{queue="q",state="available"} 0.0' in generate_latest(registry)


def test_without_a_count_nothing_is_asked(make_gaffer: MakeGaffer, faulty: FaultyDriver) -> None:
    manual = make_gaffer(faulty, work=False)
    manual.create_queue("q")
    before = len(faulty.calls)

    found = scrape(watching(manual, count=False))

    assert asked(faulty, before) == []
    assert "queue_running_jobs q" in found
    assert "queue_jobs q available" not in found


def test_a_scrape_does_not_wait_for_a_storage_that_does_not_answer(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    manual = make_gaffer(faulty, work=False)
    manual.create_queue("q")
    collector = watching(manual, interval=0, deadline=0.01)

    with faulty.block("job_stats") as hold:
        found = [scrape(collector), scrape(collector)]
        assert hold.entered.wait(30)
        threads = [t for t in threading.enumerate() if t.name == "gaffer:census"]
        assert len(threads) == 1
        assert asked(faulty).count("job_stats") == 1

    assert all("queue_running_jobs q" in one for one in found)
    assert all("queue_jobs q available" not in one for one in found)
    until(lambda: "queue_jobs q available" in scrape(collector))


def test_numbers_stand_for_a_while_in_an_outage_and_are_then_left_out(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    manual, clock = make_gaffer(faulty, work=False), ManualClock()
    for name in ("p", "q"):
        manual.create_queue(name).insert(1)
    collector = watching(manual, interval=5, max_age=60, clock=clock)
    scrape(collector)
    faulty.fail("job_stats", times=None, error=AWAY)
    before = len(faulty.calls)

    clock.advance(60)
    still = scrape(collector)
    clock.advance(5)
    gone = scrape(collector)

    assert (still["queue_jobs p available"], still["queue_counted_age_seconds p"]) == (1, 60)
    assert "queue_jobs p available" not in gone
    # Once per count: what keeps one queue waiting would keep all of them.
    assert asked(faulty, before) == ["job_stats", "job_stats"]
    faulty.heal()
    clock.advance(5)
    assert scrape(collector)["queue_jobs q available"] == 1


def test_a_fault_in_one_count_costs_that_count_only(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, caplog: pytest.LogCaptureFixture
) -> None:
    manual = make_gaffer(faulty, work=False)
    manual.create_queue("q")
    collector = watching(manual, interval=0)
    faulty.fail("job_stats", error=OSError("what is that?"))

    assert "queue_jobs q available" not in scrape(collector)
    assert "queue_jobs q available" in scrape(collector)
    assert "the jobs were not counted" in caplog.text


def test_a_queue_that_is_deleted_during_a_count_does_not_keep_others_from_being_counted(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    manual = make_gaffer(faulty, work=False)
    manual.create_queue("p")
    manual.create_queue("q")
    faulty.fail("job_stats", error=UnknownQueue("p"))

    found = scrape(watching(manual))

    assert "queue_jobs p available" not in found
    assert "queue_jobs q available" in found


def test_a_deleted_queue_and_a_stopped_gaffer_can_be_scraped(manual: Gaffer) -> None:
    manual.create_queue("q")
    collector = watching(manual)
    scrape(collector)
    manual.delete_queue("q")

    assert scrape(collector) == {"live": 1, "ready": 1}
    manual.stop()
    assert scrape(collector) == {"live": 1, "ready": 0}


@pytest.mark.parametrize("wrong", [{"interval": -1}, {"deadline": 0}, {"max_age": 0}])
def test_times_that_make_no_sense_are_refused(manual: Gaffer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Census(manual, **wrong)
