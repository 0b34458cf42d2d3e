"""Health: what a probe is told of a process, while all is well and while it is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

import gaffer
from gaffer import DriverHealth, Gaffer, QueueHealth, StorageHealth
from gaffer.conf import configured
from gaffer.crew import Crew
from gaffer.driver import Driver, DriverError
from gaffer.health import judged
from gaffer.roster import Roster
from gaffer.testing.doubles import FaultyDriver, ManualClock
from gaffer.testing.values import new_job
from gaffer.watchdog import Watchdog
from gaffer_driver_memory import MemoryDriver

from .conftest import Calling, Gate, MakeGaffer, Recorder, quiet
from .rig.waiting import until


def queue(**facts: Any) -> QueueHealth:
    """Return a queue that does well but for *facts*."""
    well = {
        "working": True, "turn": 1.0, "claim": 1.0, "settle": 1.0, "outage": None, "unwritten": 0,
        "active": 1, "abandoned": 0, "stuck": False, "overdue": None,
    }  # fmt: skip
    return QueueHealth(**{**well, **facts})


def storage(server: DriverHealth | None = None, **facts: Any) -> StorageHealth:
    """Return a storage that does well but for *facts*."""
    well = {
        "driver": "D", "node": "n", "interval": 5.0, "beat": 1.0, "tried": 1.0, "outage": None,
        "error": None,
    }  # fmt: skip
    return StorageHealth(server=server, **{**well, **facts})


def verdict(*facts: QueueHealth | StorageHealth, stopped: bool = False) -> tuple[bool, bool]:
    """Return whether a process of which this holds is live, and ready."""
    queues = {str(n): fact for n, fact in enumerate(facts) if isinstance(fact, QueueHealth)}
    storages = [fact for fact in facts if isinstance(fact, StorageHealth)]
    health = judged(queues, storages, stopped=stopped)
    assert bool(health.problems) is not health.ready
    return health.live, health.ready


def test_a_process_in_which_all_is_well_is_live_and_ready() -> None:
    assert verdict() == (True, True)
    assert verdict(queue(), storage()) == (True, True)
    assert verdict(queue(working=False, turn=None), storage(tried=None)) == (True, True)


@pytest.mark.parametrize(
    "fact",
    [
        queue(outage=600.0, unwritten=50),
        queue(stuck=True, abandoned=3),
        storage(outage=600.0, error="gone"),
        storage(error="no answer"),
    ],
)
def test_what_no_restart_helps_against_is_not_ready_and_not_dead(
    fact: QueueHealth | StorageHealth,
) -> None:
    assert verdict(fact) == (True, False)


def test_a_process_that_stops_is_not_ready_and_not_dead() -> None:
    assert verdict(queue(), stopped=True) == (True, False)


@pytest.mark.parametrize(
    "fact", [queue(turn=90.0), queue(overdue=30.0), storage(tried=90.0, beat=90.0)]
)
def test_a_thread_of_gaffer_that_hangs_is_dead(fact: QueueHealth | StorageHealth) -> None:
    assert verdict(fact) == (False, False)


def test_a_slow_pulse_is_not_taken_for_a_hanging_one() -> None:
    assert verdict(storage(interval=3600.0, tried=3000.0)) == (True, True)


@pytest.mark.parametrize(
    ("server", "word"),
    [
        (DriverHealth(oldest_transaction=900.0), "transaction"),
        (DriverHealth(rows=10, dead_rows=2_000_000), "dead rows"),
        (DriverHealth(clock_offset=-3600.0), "clock"),
        (DriverHealth(listening=False), "listening"),
    ],
)
def test_what_a_storage_says_that_is_worth_a_look_is_a_warning(
    server: DriverHealth, word: str
) -> None:
    health = judged({}, [storage(server)], stopped=False)

    assert (health.ready, len(health.warnings)) == (True, 1)
    assert word in health.warnings[0]


def test_health_tells_how_long_ago_storage_answered(gaffer_: Gaffer, recorder: Recorder) -> None:
    gaffer_.configure(hooks=[recorder])
    gaffer_.ensure_queue("q", worker=lambda job: None).insert(1)
    recorder.wait_for(gaffer.JobCompleted)

    health = gaffer_.health()

    one = health.queues["q"]
    assert (health.live, health.ready, health.problems) == (True, True, ())
    assert one.working
    assert one.outage is None
    assert [age is not None and 0 <= age < 60 for age in (one.turn, one.claim, one.settle)] == [
        True, True, True,
    ]  # fmt: skip
    [store] = health.storages
    assert store.beat is not None
    assert store.server is not None


def test_an_attempt_that_has_timed_out_and_is_not_written_is_no_sign_of_death(gate: Gate) -> None:
    clock = ManualClock()
    roster = Roster(Crew("q"), lambda report: None, watchdog=Watchdog(clock), clock=clock)
    conf = configured("q", gate, MemoryDriver(), {})
    [execution], _ = roster.run([new_job(timeout=30.0)], conf)
    gate.wait_for()

    overdue = [roster.overdue()]
    clock.advance(40)
    overdue.append(roster.overdue())
    execution.expire("timeout")
    overdue.append(roster.overdue())

    assert overdue == [None, 10.0, None]


def test_a_first_claim_that_finds_no_storage_is_no_outage_for_ever(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    g = make_gaffer(faulty, work=False, beat_interval=0.05, lease=20.0)
    q = g.ensure_queue("q", **quiet())
    faulty.fail("node_beat")
    with pytest.raises(gaffer.DriverUnavailable), q.claim():
        pass

    until(lambda: g.health().ready)


def test_a_queue_that_claims_no_more_has_no_outage(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    g = make_gaffer(faulty)
    faulty.fail("job_claim", times=None)
    q = g.ensure_queue("q", worker=lambda job: None, **quiet(poll_interval=0.05))
    until(lambda: g.health().queues["q"].outage is not None)

    q.drain()

    assert g.health().ready


def test_health_can_be_written_as_json(gaffer_: Gaffer) -> None:
    gaffer_.ensure_queue("q", worker=lambda job: None)

    told = json.loads(json.dumps(asdict(gaffer_.health())))

    assert (told["live"], told["ready"], list(told["queues"])) == (True, True, ["q"])


def test_health_names_what_waits_while_storage_is_away(
    make_gaffer: MakeGaffer, faulty: FaultyDriver, gate: Gate
) -> None:
    g = make_gaffer(faulty, beat_interval=0.05, lease=20.0)
    g.ensure_queue("q", worker=gate).insert(1)
    gate.wait_for()
    for verb in ("node_beat", "job_write", "job_claim", "health"):
        faulty.fail(verb, times=None)
    gate.let()
    until(lambda: g.health().queues["q"].outage is not None)
    until(lambda: g.health().storages[0].outage is not None)

    health = g.health()
    [store] = health.storages
    unasked = g.health(timeout=None)

    assert (health.live, health.ready, health.queues["q"].unwritten) == (True, False, 1)
    assert store.error == "health: told to fail"
    assert store.server is None
    assert (unasked.ready, unasked.storages[0].error) == (False, "node_beat: told to fail")
    faulty.heal()
    until(lambda: g.health().ready)
    assert g.health().queues["q"].unwritten == 0


def test_health_asks_nobody_without_a_timeout(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    g = make_gaffer(faulty, work=False)
    g.ensure_queue("q", **quiet())
    calls = len(faulty.calls)

    health = g.health(timeout=None)

    assert len(faulty.calls) == calls
    assert (health.ready, health.storages[0].server) == (True, None)


def test_a_stuck_queue_is_not_ready(gaffer_: Gaffer, gate: Gate, recorder: Recorder) -> None:
    gaffer_.configure(hooks=[recorder])
    q = gaffer_.ensure_queue("q", worker=gate, timeout=0.05, max_abandoned=0, max_attempts=1)
    q.insert(1)
    recorder.wait_for(gaffer.QueueStuck)

    health = gaffer_.health()

    assert (health.live, health.ready) == (True, False)
    assert (health.queues["q"].stuck, health.queues["q"].abandoned) == (True, 1)


def test_a_stopped_gaffer_is_not_ready(gaffer_: Gaffer) -> None:
    gaffer_.ensure_queue("q", worker=lambda job: None)

    gaffer_.stop()

    assert (gaffer_.health().live, gaffer_.health().ready) == (True, False)


class Broken(FaultyDriver):
    """A driver whose storage says that something is wrong for good."""

    def health(self, timeout: float) -> DriverHealth:
        """Refuse."""
        raise DriverError("no right to look")


def test_what_a_driver_raises_is_told_and_not_raised(
    make_gaffer: MakeGaffer, driver: Driver
) -> None:
    g = make_gaffer(Broken(driver), work=False)
    g.ensure_queue("q", **quiet())

    assert g.health().problems == ("Broken: no answer: no right to look",)


@pytest.mark.parametrize("timeout", [-1, "soon", float("nan")])
def test_a_timeout_out_of_range_is_refused(gaffer_: Gaffer, timeout: Any) -> None:
    with pytest.raises(gaffer.InvalidQueueConf, match="timeout"):
        gaffer_.health(timeout)


def test_asking_for_health_holds_no_lock_that_others_need(
    make_gaffer: MakeGaffer, faulty: FaultyDriver
) -> None:
    g = make_gaffer(faulty, work=False)
    q = g.ensure_queue("q", **quiet())

    with faulty.block("health") as hold:
        asked = Calling(g.health)
        assert hold.entered.wait(20)
        g.ensure_queue("other", **quiet())
        q.insert(1)
        assert not asked.returned

    assert asked.result().ready
