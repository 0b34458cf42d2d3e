"""A stop is bounded, costs no attempt, and may be asked for by anybody, any number of times."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

import gaffer
from gaffer.driver import JobFilter
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import (
    KEEP,
    PATIENCE,
    Gate,
    Recorder,
    states,
    stored_ids,
    threads,
    together,
    took,
    until,
)


@pytest.fixture
def g(driver: MemoryDriver, seen: Recorder) -> Iterator[gaffer.Gaffer]:
    """Give a Gaffer without `stop` at the end being a part of the test."""
    made = gaffer.Gaffer(driver, hooks=[seen])
    yield made
    made.stop(timeout=0)


def test_a_stop_waits_for_jobs_that_end_in_their_shutdown_timeout(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F40."""
    inside = threading.Event()

    def work(job: gaffer.Job) -> None:
        inside.set()
        until(lambda: gaffer.current().stopping, 10)

    queue = g.ensure_queue("q", worker=work, shutdown_timeout=10, prune=KEEP)
    queue.insert(1)
    assert inside.wait(5)

    with took(0, 3):
        g.stop()

    assert states(driver, "q") == {"completed": 1}


def test_a_stop_releases_what_does_not_end_in_time_at_no_cost(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F40."""
    gate = Gate()
    queue = g.ensure_queue(
        "q", worker=gate, shutdown_timeout=0.3, max_workers=5, max_attempts=1, prune=KEEP
    )
    jobs = queue.insert_many(range(8))
    gate.wait(5)

    with took(0.25, 1.5):
        g.stop()

    stored = [driver.job_get(job.id) for job in jobs]
    assert [(job.state.value, job.attempt, job.errors) for job in stored if job] == (
        [("available", 0, ())] * 8
    )
    assert len(seen.of(gaffer.JobScheduled)) == 5
    gate.open.set()


def test_the_timeout_of_a_stop_cuts_the_shutdown_timeouts_short(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F40."""
    gate = Gate()
    g.ensure_queue("q", worker=gate, shutdown_timeout=60, prune=KEEP).insert(1)
    gate.wait()

    with took(0.15, 1.5):
        g.stop(timeout=0.2)

    assert states(driver, "q") == {"available": 1}
    gate.open.set()


def test_a_stopped_job_goes_on_in_the_next_process(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F40."""
    gate = Gate()
    g.ensure_queue("q", worker=gate, shutdown_timeout=0, max_attempts=1, prune=KEEP)
    job = g.insert("q", 1)
    gate.wait()
    g.stop()

    with gaffer.Gaffer(driver, hooks=[seen]) as other:
        other.ensure_queue("q", worker=lambda job: "done", prune=KEEP)
        seen.wait(gaffer.JobCompleted)

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.result, stored.attempt) == ("done", 1)
    gate.open.set()


def test_a_stop_is_bounded_while_storage_does_not_answer(
    driver: MemoryDriver, seen: Recorder
) -> None:
    """F15, F40."""
    faulty = FaultyDriver(driver)
    g = gaffer.Gaffer(faulty, hooks=[seen])
    gate = Gate()
    g.ensure_queue("down", worker=gate, shutdown_timeout=0.1, prune=KEEP).insert(1)
    gate.wait()
    for verb in ("job_write", "job_claim", "job_list", "node_beat", "node_leave", "job_prune"):
        faulty.fail(verb, times=None)

    with took(0, 11):
        g.stop()

    assert "node_leave" not in faulty.calls  # there is no time left to wait for that, too
    gate.open.set()
    until(lambda: not threads("gaffer:down:"))


class Askers(FaultyDriver):
    """A driver that notes who asks what a node holds."""

    def __init__(self, inner: MemoryDriver) -> None:
        super().__init__(inner)
        self.names: list[str] = []

    def job_list(self, filter: JobFilter) -> list[gaffer.Job]:
        self.names.append(threading.current_thread().name)
        return super().job_list(filter)


def test_a_stop_asks_storage_nothing_for_queues_that_have_ended_by_themselves(
    driver: MemoryDriver,
) -> None:
    """F15, F40: or fifty queues would wait for it one after the other."""
    askers = Askers(driver)
    g = gaffer.Gaffer(askers)
    gate = Gate()
    g.ensure_queue("slow", worker=gate, shutdown_timeout=0.5, prune=KEEP).insert(1)
    gate.wait()
    askers.fail("job_claim", times=None)
    askers.fail("job_list", times=None)
    for name in ("a", "b"):
        g.ensure_queue(name, worker=lambda job: None, prune=KEEP)
    asking = {"gaffer:a:runner", "gaffer:b:runner"}
    # What they hold is in doubt once a claim has failed, and is asked for.
    until(lambda: asking <= {*askers.names})
    askers.names.clear()

    g.stop()

    assert set(askers.names) == asking
    gate.open.set()


def test_a_stop_is_bounded_while_a_claim_hangs(driver: MemoryDriver, seen: Recorder) -> None:
    """F15, F40."""
    faulty = FaultyDriver(driver)
    g = gaffer.Gaffer(faulty, hooks=[seen])
    with faulty.block("job_claim") as held:
        g.ensure_queue("hanging", worker=lambda job: None, prune=KEEP).insert(1)
        assert held.entered.wait(5)

        with took(0, 11):
            g.stop()

    until(lambda: not threads("gaffer:hanging:"))


def test_a_stop_waits_for_the_beats_of_all_silent_storages_at_once() -> None:
    """F15, F40."""
    drivers = [FaultyDriver(MemoryDriver()) for _ in range(8)]
    g = gaffer.Gaffer(beat_interval=0.02, lease=20.0)
    for number, driver in enumerate(drivers):
        g.ensure_queue(f"q{number}", worker=lambda job: None, driver=driver).insert(None)
        g.flush(f"q{number}", 20)
    with contextlib.ExitStack() as stack:
        for driver in drivers:
            assert stack.enter_context(driver.block("node_beat")).entered.wait(PATIENCE)

        with took(0, 6):  # eight seconds, one after the other
            g.stop()


@pytest.mark.parametrize("kind", ["twice", "threads"])
def test_a_second_stop_only_waits(g: gaffer.Gaffer, driver: MemoryDriver, kind: str) -> None:
    """F42."""
    gate = Gate()
    g.ensure_queue("q", worker=gate, shutdown_timeout=0.3, prune=KEEP).insert(1)
    gate.wait()

    with took(0.25, 2):
        if kind == "twice":
            g.stop()
            g.stop()
        else:
            together([g.stop] * 4)

    assert states(driver, "q") == {"available": 1}
    gate.open.set()


def test_a_job_may_stop_everything(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F38, F42."""
    g.ensure_queue("stopper", worker=lambda job: g.stop(), prune=KEEP)

    g.insert("stopper", 1)

    until(lambda: not threads("gaffer:stopper:"))
    with took(0, 2):
        g.stop()
    assert states(driver, "stopper") == {"completed": 1}


def test_an_insert_during_a_stop_is_kept_or_refused(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F42."""
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, shutdown_timeout=0.3, prune=KEEP)
    first = queue.insert(1)
    gate.wait()
    inserted = [first.id]
    stopping = threading.Thread(target=g.stop)
    stopping.start()

    while True:
        try:
            inserted.append(queue.insert(2).id)
        except (gaffer.Stopped, gaffer.UnknownQueue):
            break

    stopping.join(5)
    assert sorted(stored_ids(driver, "q")) == sorted(inserted)
    assert states(driver, "q") == {"available": len(inserted)}
    gate.open.set()


CALLS: dict[str, Callable[[gaffer.Gaffer], object]] = {
    "poll": lambda g: g.poll("q"),
    "claim": lambda g: g.claim("q").__enter__(),
    "drain": lambda g: g.drain("q", None),
    "flush": lambda g: g.flush("q", None),
}


@pytest.mark.parametrize("work", [True, False])
@pytest.mark.parametrize("name", ["poll", "drain", "flush"])
def test_a_stop_ends_the_calls_that_wait(
    driver: MemoryDriver, seen: Recorder, name: str, *, work: bool
) -> None:
    """F57."""
    g = gaffer.Gaffer(driver, hooks=[seen], work=work)
    gate = Gate()
    g.ensure_queue("q", worker=gate, shutdown_timeout=0.2, prune=KEEP)
    g.insert("q", 1)
    poller = threading.Thread(target=lambda: _tolerant(lambda: g.poll("q")), daemon=True)
    poller.start()
    gate.wait()
    waiter = threading.Thread(target=lambda: _tolerant(lambda: CALLS[name](g)), daemon=True)
    waiter.start()

    with took(0, 5):
        g.stop()

    poller.join(2)
    waiter.join(2)
    assert not poller.is_alive()
    assert not waiter.is_alive()
    assert states(driver, "q") == {"available": 1}
    gate.open.set()


def _tolerant(call: Callable[[], object]) -> None:
    with contextlib.suppress(gaffer.GafferError, TimeoutError):
        call()


@pytest.mark.parametrize("name", list(CALLS))
def test_after_a_stop_every_call_is_refused(g: gaffer.Gaffer, name: str) -> None:
    """F42."""
    g.ensure_queue("q", worker=lambda job: None)
    g.stop()

    with pytest.raises(gaffer.Stopped):
        CALLS[name](g)


def test_a_started_gaffer_begins_anew_after_a_stop(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F42."""
    g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    g.stop()

    g.start()
    g.ensure_queue("q", worker=lambda job: None, prune=KEEP)
    g.insert("q", 1)

    seen.wait(gaffer.JobCompleted)
    assert states(driver, "q") == {"completed": 1}


def test_a_job_claimed_by_hand_goes_back_at_a_stop(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F40."""
    queue = g.ensure_queue("q", prune=KEEP)
    job = queue.insert(1)

    def stop_inside() -> None:
        with queue.claim():
            g.stop()

    with pytest.raises(gaffer.Conflict):
        stop_inside()

    stored = driver.job_get(job.id)
    assert stored is not None
    assert (stored.state.value, stored.attempt) == ("available", 0)


def test_no_thread_is_left_after_a_stop(driver: MemoryDriver) -> None:
    """F43."""
    before = {thread.ident for thread in threads()}
    g = gaffer.Gaffer(driver)
    for number in range(5):
        queue = g.ensure_queue(f"q{number}", worker=lambda job: None, max_workers=3)
        queue.insert_many(range(10))

    g.stop()

    until(lambda: {thread.ident for thread in threads()} <= before, 5)
