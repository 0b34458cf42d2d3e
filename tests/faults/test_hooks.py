"""Hooks that raise, block or come back into gaffer: the queue goes on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest

import gaffer
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from tests.rig.waiting import KEEP, Recorder, states, took, until


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, ValueError])
def test_a_hook_that_raises_changes_nothing(
    g: gaffer.Gaffer, seen: Recorder, error: type[BaseException]
) -> None:
    """F38."""

    def hook(event: gaffer.Event) -> None:
        raise error(3)

    g.configure(hooks=[hook, seen])
    queue = g.ensure_queue("q", worker=lambda job: None, hooks=[hook], prune={"interval": 0.05})

    queue.insert_many([1, 2])

    seen.wait(gaffer.JobCompleted, 2)
    seen.wait(gaffer.JobDeleted, 2)
    queue.pause()
    queue.resume()
    assert len(seen.of(gaffer.QueueResumed)) == 1


def test_a_hook_may_insert_into_its_own_queue(g: gaffer.Gaffer, seen: Recorder) -> None:
    """F38."""

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted) and event.job.payload < 20:
            g.insert("q", event.job.payload + 1)

    queue = g.ensure_queue("q", worker=lambda job: None, hooks=[hook], prune=KEEP)

    queue.insert(0)

    done = seen.wait(gaffer.JobCompleted, 21)
    assert [event.job.payload for event in done] == list(range(21))


def test_a_hook_may_pause_and_resume_its_own_queue(
    g: gaffer.Gaffer, driver: MemoryDriver, seen: Recorder
) -> None:
    """F38."""

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted):
            g.pause("q")

    queue = g.ensure_queue("q", worker=lambda job: None, hooks=[hook], prune=KEEP)

    queue.insert(0)

    for number in (1, 2, 3):
        seen.wait(gaffer.QueuePaused, number)
        queue.insert(number)  # one that was there might have been claimed before the hook was told
        assert states(driver, "q") == {"completed": number, "available": 1}
        queue.resume()


KINDS: list[type[gaffer.Event]] = [gaffer.JobInserted, gaffer.JobsClaimed, gaffer.JobCompleted]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_workers", [1, 4])
def test_a_hook_that_polls_runs_no_job_twice_and_loses_none(
    g: gaffer.Gaffer,
    driver: MemoryDriver,
    seen: Recorder,
    kind: type[gaffer.Event],
    max_workers: int,
) -> None:
    """F38."""
    runs: Counter[UUID] = Counter()

    def hook(event: gaffer.Event) -> None:
        if type(event) is kind:
            g.poll("q")

    queue = g.ensure_queue(
        "q",
        worker=lambda job: runs.update([job.id]),
        hooks=[hook],
        max_workers=max_workers,
        prune=KEEP,
    )

    jobs = queue.insert_many(range(6))

    until(lambda: states(driver, "q") == {"completed": 6}, 6)
    assert runs == Counter(job.id for job in jobs)
    assert len(seen.of(gaffer.JobCompleted)) == 6


def test_a_hook_that_claims_by_hand_takes_no_job_from_the_claim_it_hears_of(
    g: gaffer.Gaffer, driver: MemoryDriver
) -> None:
    """F38."""
    runs: Counter[UUID] = Counter()

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobsClaimed) and event.actor == "runner":
            with g.claim("q") as job:
                if job is not None:
                    runs[job.id] += 1

    queue = g.ensure_queue(
        "q", worker=lambda job: runs.update([job.id]), hooks=[hook], prune=KEEP, max_workers=2
    )

    jobs = queue.insert_many(range(6))

    until(lambda: states(driver, "q") == {"completed": 6}, 6)
    assert runs == Counter(job.id for job in jobs)


@pytest.mark.parametrize("verb", ["flush", "drain"])
def test_a_hook_that_waits_for_its_queue_gets_an_answer_within_its_timeout(
    g: gaffer.Gaffer, seen: Recorder, verb: str
) -> None:
    """F38."""
    ends: list[object] = []

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted) and not ends:
            began = time.monotonic()
            try:
                getattr(g, verb)("q", timeout=0.3)
                ends.append("done")
            except TimeoutError as error:
                ends.append(type(error).__name__)
            ends.append(time.monotonic() - began < 5)

    queue = g.ensure_queue("q", worker=lambda job: None, hooks=[hook], prune=KEEP)

    queue.insert_many(range(2))

    until(lambda: len(ends) == 2)
    assert ends[1] is True
    if verb == "drain" and ends[0] == "done":
        queue.resume()
    seen.wait(gaffer.JobCompleted, 2)


@pytest.mark.parametrize("kind", [*KINDS, gaffer.QueueCreated])
def test_a_hook_may_stop_everything(
    driver: MemoryDriver, seen: Recorder, kind: type[gaffer.Event]
) -> None:
    """F38."""
    g = gaffer.Gaffer(driver, hooks=[seen])
    asked = threading.Event()

    def hook(event: gaffer.Event) -> None:
        if type(event) is kind and not asked.is_set():
            asked.set()
            g.stop()

    queue = g.ensure_queue("q", worker=lambda job: None, hooks=[hook], prune=KEEP)
    try:
        queue.insert_many(range(3))
    except gaffer.Stopped:
        assert kind is gaffer.QueueCreated

    assert asked.wait(5)
    with took(0, 5):
        g.stop()
    assert states(driver, "q")["executing"] == 0


def test_a_slow_hook_delays_neither_beats_nor_other_queues(
    driver: MemoryDriver, seen: Recorder
) -> None:
    """F38."""
    counting = FaultyDriver(driver)
    entered, leave = threading.Event(), threading.Event()

    def slow(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobCompleted):
            entered.set()
            leave.wait(10)

    with gaffer.Gaffer(counting, hooks=[seen], beat_interval=0.05, lease=1) as g:
        g.ensure_queue("slow", worker=lambda job: None, hooks=[slow], prune=KEEP)
        quick = g.ensure_queue("quick", worker=lambda job: None, prune=KEEP)
        g.insert("slow", 1)
        assert entered.wait(5)
        beats = counting.calls.count("node_beat")

        for number in range(20):
            with took(0, 1):
                quick.insert(number)
                until(lambda n=number: states(driver, "quick")["completed"] > n)  # type: ignore[misc]

        until(lambda: counting.calls.count("node_beat") >= beats + 3, 2)
        leave.set()


def test_hooks_hold_no_lock_that_others_need(g: gaffer.Gaffer, driver: MemoryDriver) -> None:
    """F38."""
    calls: dict[str, Callable[[], object]] = {
        "insert": lambda: g.insert("other", 1),
        "ensure": lambda: g.ensure_queue("new"),
        "info": lambda: g.info("q"),
        "stats": lambda: g.stats("q"),
        "list": lambda: g.list("q"),
        "pause": lambda: g.pause("other"),
        "poll": lambda: g.poll("other"),
    }
    ends: dict[str, bool] = {}

    def hook(event: gaffer.Event) -> None:
        if isinstance(event, gaffer.JobInserted) and not ends:
            for name, call in calls.items():
                thread = threading.Thread(target=call, daemon=True)
                thread.start()
                thread.join(5)
                ends[name] = not thread.is_alive()

    g.ensure_queue("other", worker=lambda job: None, prune=KEEP)
    queue = g.ensure_queue("q", hooks=[hook], prune=KEEP)

    queue.insert(1)

    assert ends == dict.fromkeys(calls, True)
