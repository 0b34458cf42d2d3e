"""A network that falls silent: every call ends in its time, and nothing is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

import pytest

from gaffer import (
    Gaffer,
    InvalidTransition,
    Job,
    JobCompleted,
    JobInserted,
    JobLate,
    JobState,
    Queue,
    RunnerFailed,
)
from gaffer.driver import DriverUnavailable, evolve
from gaffer_driver_postgres import PostgresDriver
from tests.rig.proxy import Proxy
from tests.rig.waiting import KEEP, PATIENCE, Gate, Recorder, together, took, until

from .conftest import MakeDriver
from .verbs import claim, completed

TIMEOUT = 1.0
OWN = 5.0
"""The driver's deadline for beats and looks, which nobody waits for, whatever its timeout."""
SPARE = 1.0


@pytest.fixture
def proxy(server: str, driver: PostgresDriver) -> Iterator[Proxy]:
    """Give a proxy before the server; the schema is there."""
    with Proxy(server) as made:
        yield made


@pytest.fixture
def remote(proxy: Proxy, make_driver: MakeDriver) -> PostgresDriver:
    """Give a driver that reaches the server by the proxy alone."""
    made = make_driver(proxy.conninfo, timeout=TIMEOUT)
    made.start()
    return made


@pytest.fixture
def seen() -> Recorder:
    """Give the hook of `far`."""
    return Recorder()


@pytest.fixture
def far(remote: PostgresDriver, seen: Recorder, proxy: Proxy) -> Iterator[Gaffer]:
    """Give a Gaffer that works behind the proxy, beats fast, and is named."""
    made = Gaffer(remote, hooks=[seen], name="far", beat_interval=0.2, lease=20.0)
    yield made
    proxy.heal()
    made.stop(0)


@pytest.fixture
def near(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer beside the server, which works nothing."""
    with Gaffer(driver, work=False) as made:
        yield made


Sides = dict[str, bool]
SIDES: dict[str, Sides] = {
    "both ways": {},
    "to the server": {"down": False},
    "from the server": {"up": False},
}


def durations(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Make all calls at once; return how many seconds those took that were not answered."""
    seconds: dict[str, float] = {}

    def measure(name: str, call: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            call()
        except DriverUnavailable:
            seconds[name] = time.monotonic() - began

    together([partial(measure, *one) for one in calls.items()])
    assert calls.keys() == seconds.keys()
    return seconds


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
def test_every_call_into_silence_ends_at_its_deadline(
    sides: Sides, proxy: Proxy, remote: PostgresDriver, near: Gaffer
) -> None:
    """F14, F15."""
    near.ensure_queue("q").insert_many([None] * 10)
    [job] = claim(remote)
    another = evolve(job, id=UUID(int=1), revision=0, state=JobState.AVAILABLE, attempted_at=None)

    proxy.silence(**sides)
    seconds = durations(
        {
            "claim": lambda: claim(remote),
            "settle": lambda: remote.job_write([completed(remote, job)]),
            "insert": lambda: remote.job_write([another]),
            "get": lambda: remote.job_get(job.id),
            "list": lambda: remote.queue_list(),
            "pause": lambda: remote.queue_pause("q", True),
            "prune": lambda: remote.job_prune("q", {JobState.FAILED: "all"}, 10),
        }
    )

    assert max(seconds.values()) <= TIMEOUT + SPARE


def test_beats_and_looks_into_silence_end_at_their_deadline(
    proxy: Proxy, remote: PostgresDriver, near: Gaffer, caplog: pytest.LogCaptureFixture
) -> None:
    """F15, F16."""
    queue = near.ensure_queue("q")
    woken = threading.Event()
    end = remote.subscribe("q", 0.1, woken.set)
    assert end is not None
    hears(queue, woken)
    remote.node_beat("here")

    proxy.silence()
    with took(0.0, OWN + SPARE):
        with pytest.raises(DriverUnavailable):
            remote.node_beat("here")
        until(lambda: "waking pauses" in caplog.text)
    proxy.heal()

    hears(queue, woken)
    end()


def test_work_goes_on_as_soon_as_the_silence_ends(
    proxy: Proxy, far: Gaffer, near: Gaffer, seen: Recorder
) -> None:
    """F15, F16."""
    gate = Gate()
    queue = near.ensure_queue("q", prune=KEEP)
    far.ensure_queue("q", worker=gate, prune=KEEP)
    held = queue.insert("held")
    gate.wait()

    proxy.silence()
    gate.open.set()
    seen.wait(RunnerFailed)
    waiting = queue.insert("waiting")
    assert queue.get(held.id).state is JobState.EXECUTING
    proxy.heal()

    with took(0.0, 5.0):
        until(lambda: queue.get(waiting.id).state is JobState.COMPLETED)
    assert [(job.state, job.attempt) for job in queue.list()] == [(JobState.COMPLETED, 1)] * 2
    assert [job.payload for job in gate.started] == ["held", "waiting"]


def test_notifications_are_heard_again_after_a_silence(
    proxy: Proxy, remote: PostgresDriver, near: Gaffer
) -> None:
    """F16."""
    queue = near.ensure_queue("q")
    woken = threading.Event()
    end = remote.subscribe("q", 30.0, woken.set)
    assert end is not None
    hears(queue, woken)

    proxy.silence()
    queue.insert(None)
    proxy.heal()

    hears(queue, woken)
    end()


def hears(queue: Queue, woken: threading.Event) -> None:
    """Wait until inserts by another process wake at once; that has to be within 6 seconds."""

    def quick() -> bool:
        woken.clear()
        queue.insert(None)
        return woken.wait(0.2)

    with took(0.0, 6.0):
        until(lambda: all(quick() for _ in range(4)))  # one may be woken by something else


def test_a_process_stops_in_its_time_in_silence(proxy: Proxy, far: Gaffer, near: Gaffer) -> None:
    """F14."""
    gate = Gate()
    queue = near.ensure_queue("q")
    far.ensure_queue("q", worker=gate)
    queue.insert(None)
    gate.wait()

    proxy.silence()

    with took(0.0, 10.0):
        far.stop(0)
    gate.open.set()


# -- lost answers ----------------------------------------------------------------------------------

Lose = Callable[..., None]


@pytest.fixture(params=["the connection breaks", "nothing is heard"])
def lose(request: pytest.FixtureRequest, proxy: Proxy) -> Lose:
    """Give `Proxy.lose_answer`; some time after the loss the connection ends."""

    def cut() -> None:
        assert proxy.lost.wait(PATIENCE)
        proxy.cut()

    def begin(**patterns: bytes) -> None:
        proxy.lose_answer(**patterns)
        if request.param == "the connection breaks":
            threading.Thread(target=cut).start()

    return begin


def test_an_insert_whose_answer_is_lost_inserts_one_job(
    lose: Lose, proxy: Proxy, far: Gaffer, near: Gaffer
) -> None:
    """F9, C1."""
    queue = near.ensure_queue("q")
    far.ensure_queue("q")
    lose(request=b"lost and found")

    job = far.insert("q", "lost and found")

    assert proxy.lost.is_set()
    assert queue.list() == [job]


def test_jobs_whose_claim_was_not_answered_run_all_the_same_and_once(
    lose: Lose, proxy: Proxy, far: Gaffer, near: Gaffer, seen: Recorder
) -> None:
    """F9."""
    ran: list[Job] = []
    queue = near.ensure_queue("q", prune=KEEP)
    far.ensure_queue("q", worker=ran.append, max_workers=3, prune=KEEP)
    lose(answer=b"lost and found")

    jobs = queue.insert_many(["lost and found"] * 3)
    seen.wait(JobCompleted, 3)

    assert proxy.lost.is_set()
    # Claimed, released, claimed, completed.
    assert [(job.revision, job.attempt) for job in queue.list()] == [(4, 1)] * 3
    assert sorted(job.id for job in ran) == sorted(job.id for job in jobs)


def test_jobs_that_were_claimed_with_a_result_run_once_although_nobody_was_told(
    lose: Lose, proxy: Proxy, far: Gaffer, near: Gaffer, seen: Recorder
) -> None:
    """F9."""
    gate = Gate()
    queue = near.ensure_queue("q", prune=KEEP)
    far.ensure_queue("q", worker=gate, prune=KEEP, max_workers=2)
    first = queue.insert_many(["at first"] * 2)
    gate.wait(2)
    then = queue.insert_many(["lost and found"] * 2)
    lose(answer=b"lost and found")  # which has the claimed jobs, and says that both is done

    gate.open.set()
    seen.wait(JobCompleted, 4)

    assert proxy.lost.is_set()
    assert [(job.state, job.attempt) for job in queue.list()] == [(JobState.COMPLETED, 1)] * 4
    assert Counter(event.job.id for event in seen.of(JobCompleted)) == Counter(
        job.id for job in [*first, *then]
    )
    assert Counter(job.id for job in gate.started) == Counter(job.id for job in [*first, *then])
    assert seen.of(JobLate) == []


def test_a_result_whose_write_was_not_answered_counts_once(
    lose: Lose, proxy: Proxy, far: Gaffer, near: Gaffer, seen: Recorder
) -> None:
    """F9, F58."""
    for g in (near, far):
        g.ensure_queue("next", prune=KEEP)
    queue = near.ensure_queue("q", prune=KEEP)
    far.ensure_queue(
        "q", worker=lambda job: "lost and found", forward={"completed": "next"}, prune=KEEP
    )
    lose(request=b"lost and found")

    job = queue.insert(1)
    seen.wait(JobCompleted)
    assert proxy.lost.is_set()
    last = queue.insert(2)
    seen.wait(JobCompleted, 2)

    assert [event.job.id for event in seen.of(JobCompleted)] == [job.id, last.id]
    assert [(job.state, job.attempt) for job in queue.list()] == [(JobState.COMPLETED, 1)] * 2
    assert len(near.list("next")) == len(seen.of(JobInserted)) == 2
    assert seen.of(JobLate) == []


def test_a_cancel_that_was_not_answered_forwards_once_however_often_it_is_repeated(
    lose: Lose, proxy: Proxy, far: Gaffer, near: Gaffer
) -> None:
    """F9, F58."""
    for g in (near, far):
        g.ensure_queue("next", prune=KEEP)
    queue = near.ensure_queue("q", prune=KEEP)
    far.ensure_queue("q", forward={"cancelled": "next"}, prune=KEEP)
    job = queue.insert(1)
    lose(request=job.id.hex.encode() + b".*cancelled")

    with pytest.raises(DriverUnavailable):
        far.cancel("q", job.id)
    assert proxy.lost.is_set()
    with pytest.raises(InvalidTransition):
        far.cancel("q", job.id)

    assert queue.get(job.id).state is JobState.CANCELLED
    assert len(near.list("next")) == 1
