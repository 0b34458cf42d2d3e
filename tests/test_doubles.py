"""The doubles do what tests rely on: stand still, fail when told to, hold, hammer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gaffer.driver import Claim, Driver, DriverUnavailable, Job, JobFilter, JobState, StateStats
from gaffer.testing import FaultyDriver, ManualClock, start_stop_stress
from gaffer.testing.doubles import PATIENCE
from gaffer.testing.model import ModelDriver, ModelStore
from gaffer.testing.values import NOW, new_job


@pytest.fixture
def inner() -> ModelDriver:
    driver = ModelDriver(ModelStore(ManualClock()))
    driver.queue_insert("q")
    return driver


@pytest.fixture
def faulty(inner: ModelDriver) -> FaultyDriver:
    return FaultyDriver(inner)


def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(NOW)

    assert (clock.now(), clock.monotonic()) == (NOW, 0.0)
    clock.advance(1.5)
    clock.advance(timedelta(minutes=1))

    assert clock.now() == NOW + timedelta(seconds=61.5)
    assert clock.monotonic() == 61.5


def test_a_manual_clock_is_in_utc_wherever_it_starts() -> None:
    clock = ManualClock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC


def test_a_manual_clock_refuses_a_naive_start_and_the_way_back() -> None:
    with pytest.raises(ValueError, match="aware"):
        ManualClock(NOW.replace(tzinfo=None))
    with pytest.raises(ValueError, match="never goes back"):
        ManualClock().advance(-1)


def test_a_manual_clock_loses_no_step_of_many_threads() -> None:
    clock = ManualClock()

    def step() -> None:
        for _ in range(1000):
            clock.advance(1)

    threads = [threading.Thread(target=step) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert clock.monotonic() == 4000


JOB = new_job()
NEW = new_job("r")
CLAIM = Claim(queue="q", limit=0, global_max_workers=None, node="n", now=NOW)


@pytest.mark.parametrize(
    ("verb", "arguments", "expected"),
    [
        ("start", (), None),
        ("now", (), ManualClock().now()),
        ("queue_insert", ("s",), None),
        ("queue_exists", ("q",), True),
        ("queue_list", (), ["q", "r"]),
        ("queue_pause", ("q", True), True),
        ("queue_paused", ("q",), False),
        ("queue_delete", ("r",), None),
        ("job_write", ([NEW],), [NEW]),
        ("job_get", (JOB.id,), JOB),
        ("job_list", (JobFilter(),), [JOB]),
        ("job_claim", (CLAIM,), []),
        ("job_stats", ("r",), dict.fromkeys(JobState, StateStats())),
        ("node_beat", ("n",), None),
        ("job_orphans", ("q", 1.0), []),
        ("node_leave", ("n",), None),
        ("job_prune", ("q", {JobState.AVAILABLE: "all"}, 5), [JOB.id]),
        ("job_delete", (JOB.id,), True),
        ("after_fork", (), None),
        ("stop", (), None),
    ],
)
def test_a_faulty_driver_hands_every_verb_on(
    faulty: FaultyDriver, verb: str, arguments: tuple[Any, ...], expected: object
) -> None:
    faulty.inner.queue_insert("r")
    faulty.inner.job_write([JOB])

    assert getattr(faulty, verb)(*arguments) == expected
    assert faulty.calls == [verb]


def test_a_faulty_driver_hands_on_how_jobs_go_when_a_queue_is_deleted(faulty: FaultyDriver) -> None:
    faulty.inner.job_write([JOB])

    faulty.queue_delete("q", jobs=True)

    assert faulty.inner.job_get(JOB.id) is None


def test_a_faulty_driver_is_of_the_storage_that_it_wraps(
    faulty: FaultyDriver, inner: ModelDriver
) -> None:
    assert faulty.storage == inner.storage


def test_a_faulty_driver_hands_subscriptions_on(faulty: FaultyDriver) -> None:
    wakes: list[str] = []

    end = faulty.subscribe("q", 1.0, lambda: wakes.append("woken"))
    faulty.inner.job_write([new_job()])

    assert end is not None
    assert wakes == ["woken"]
    end()


def test_no_verb_of_a_driver_is_left_to_its_default(faulty: FaultyDriver) -> None:
    verbs = {name for name, value in vars(Driver).items() if callable(value) and name[0] != "_"}

    assert verbs - vars(FaultyDriver).keys() == set()


def test_a_verb_fails_as_often_as_it_was_told(faulty: FaultyDriver) -> None:
    faulty.fail("queue_list", times=2, error=DriverUnavailable("gone"))

    for _ in range(2):
        with pytest.raises(DriverUnavailable, match="gone"):
            faulty.queue_list()
    assert faulty.queue_list() == ["q"]
    assert faulty.calls == ["queue_list"] * 3


def test_a_verb_that_fails_at_once_does_nothing(faulty: FaultyDriver, inner: ModelDriver) -> None:
    faulty.fail("queue_insert")

    with pytest.raises(DriverUnavailable, match="queue_insert: told to fail"):
        faulty.queue_insert("r")

    assert inner.queue_list() == ["q"]


def test_a_verb_whose_answer_is_lost_does_its_work(
    faulty: FaultyDriver, inner: ModelDriver
) -> None:
    faulty.fail("queue_insert", after=True)

    with pytest.raises(DriverUnavailable):
        faulty.queue_insert("r")

    assert inner.queue_list() == ["q", "r"]


def settle_and_claim(driver: Driver) -> list[Job]:
    """Insert one job and claim it, in one go."""
    now = driver.now()
    claim = Claim(queue="q", limit=1, global_max_workers=None, node="n", now=now)
    return driver.job_write_and_claim([new_job(now=now)], claim)


def test_to_write_and_claim_is_two_verbs_each_of_which_may_fail(
    faulty: FaultyDriver, inner: ModelDriver
) -> None:
    for verb, written in {"job_write": 0, "job_claim": 1}.items():
        faulty.fail(verb)

        with pytest.raises(DriverUnavailable, match=verb):
            settle_and_claim(faulty)

        assert len(inner.job_list(JobFilter())) == written
    assert faulty.calls == ["now", "job_write", "now", "job_write", "job_claim"]


@pytest.mark.parametrize("after", [False, True])
def test_to_write_and_claim_is_one_verb_while_it_has_to_fail_as_one(
    faulty: FaultyDriver, inner: ModelDriver, after: bool
) -> None:
    faulty.fail("job_write_and_claim", after=after)

    with pytest.raises(DriverUnavailable, match="job_write_and_claim"):
        settle_and_claim(faulty)
    assert [job.state for job in inner.job_list(JobFilter())] == [JobState.EXECUTING] * after
    assert len(settle_and_claim(faulty)) == 1

    verbs = [verb for verb in faulty.calls if verb != "now"]
    assert verbs == ["job_write_and_claim", "job_write", "job_claim"]


def test_a_verb_fails_in_the_order_in_which_it_was_told(faulty: FaultyDriver) -> None:
    faulty.fail("queue_list", error=ValueError("first"))
    faulty.fail("queue_list", error=KeyError())

    with pytest.raises(ValueError, match="first"):
        faulty.queue_list()
    with pytest.raises(KeyError):
        faulty.queue_list()


def test_a_verb_fails_until_it_is_healed(faulty: FaultyDriver) -> None:
    faulty.fail("queue_list", times=None)
    faulty.fail("queue_exists", times=None)
    for _ in range(5):
        with pytest.raises(DriverUnavailable):
            faulty.queue_list()

    faulty.heal("queue_list")
    assert faulty.queue_list() == ["q"]
    with pytest.raises(DriverUnavailable):
        faulty.queue_exists("q")
    faulty.heal()
    assert faulty.queue_exists("q") is True


@pytest.mark.parametrize("verb", ["job_wirte", "storage", "_call"])
def test_a_verb_that_no_driver_has_cannot_fail(faulty: FaultyDriver, verb: str) -> None:
    with pytest.raises(ValueError, match=f"'{verb}'"):
        faulty.fail(verb)
    with pytest.raises(ValueError, match=f"'{verb}'"), faulty.block(verb):
        faulty.start()


def test_a_call_is_held_before_its_work(faulty: FaultyDriver, inner: ModelDriver) -> None:
    with faulty.block("queue_insert") as hold:
        thread = threading.Thread(target=faulty.queue_insert, args=["r"])
        thread.start()
        assert hold.entered.wait(PATIENCE)
        assert inner.queue_list() == ["q"]

        hold.release.set()
        thread.join(PATIENCE)

    assert inner.queue_list() == ["q", "r"]


def test_leaving_the_block_lets_go_of_what_is_held(
    faulty: FaultyDriver, inner: ModelDriver
) -> None:
    with faulty.block("queue_insert") as hold:
        thread = threading.Thread(target=faulty.queue_insert, args=["r"])
        thread.start()
        assert hold.entered.wait(PATIENCE)
    thread.join(PATIENCE)

    faulty.queue_insert("s")

    assert inner.queue_list() == ["q", "r", "s"]


class Service:
    """Counts; raises in its *n*-th start."""

    def __init__(self, bad_start: int = 0) -> None:
        self.starts = self.stops = 0
        self._bad_start = bad_start
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            self.starts += 1
            if self.starts == self._bad_start:
                raise RuntimeError("a bad start")

    def stop(self) -> None:
        with self._lock:
            self.stops += 1


def test_the_hammer_starts_and_stops_one_service_from_all_threads() -> None:
    service = start_stop_stress(Service)

    assert (service.starts, service.stops) == (500, 501)


def test_the_hammer_raises_what_any_call_raised() -> None:
    make: Callable[[], Service] = lambda: Service(bad_start=77)  # noqa: E731

    with pytest.raises(RuntimeError, match="a bad start"):
        start_stop_stress(make)
