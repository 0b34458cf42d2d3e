"""What the end-to-end tests share: a Gaffer on fresh storage of each driver, and test doubles.

Instants are the storage's: `DriverHarness.advance` moves them. What a test waits for is an event, a
worker that has begun, or a call of the driver, each with a deadline.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Protocol, TypeVar, Unpack

import pytest

from gaffer import Event, Fail, Gaffer, Job
from gaffer.conf import QueueOptions
from gaffer.driver import Driver
from gaffer.testing.doubles import FaultyDriver
from gaffer_driver_memory import MemoryDriver
from gaffer_driver_postgres import EmbeddedServer
from gaffer_driver_postgres.harness import VARIABLE
from tests.rig.patience import Patience
from tests.rig.waiting import unlocked_logs


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names a PostgreSQL server; without it an embedded one is started."""
    parser.addoption("--postgres-dsn", metavar="DSN", help="test on this PostgreSQL database")


def pytest_configure(config: pytest.Config) -> None:
    """Tell the harness, and the processes that tests start; let no test hang."""
    config.pluginmanager.register(Patience(config), "patience")
    if dsn := config.getoption("--postgres-dsn"):
        os.environ[VARIABLE] = dsn
    # A shell ignores Ctrl-C in what it runs in the background, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Give the conninfo of a server: the one that is named, or an embedded one."""
    if named := os.environ.get(VARIABLE):
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="gaffer-pg-", ignore_cleanup_errors=True) as place:
        embedded = EmbeddedServer(Path(place) / "data")
        try:
            yield embedded.start()
        finally:
            embedded.stop()


@pytest.fixture
def unlocked() -> Iterator[None]:
    """Let no exception that is shot at a thread leave a lock of the log behind."""
    with unlocked_logs():
        yield


PATIENCE = 30.0
"""Seconds after which a test that waits for another thread gives up."""

E = TypeVar("E", bound=Event)
T = TypeVar("T")


def quiet(**options: Unpack[QueueOptions]) -> QueueOptions:
    """Return *options* of a queue that neither polls nor prunes by itself, unless they say so."""
    still: QueueOptions = {"poll_interval": None, "prune": {"interval": None}}
    return {**still, **options}


class Recorder:
    """A hook that keeps every event, and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind so far."""
        with self._changed:
            return [event for event in self.events if isinstance(event, kind)]

    def wait_for(self, kind: type[E], count: int = 1, timeout: float = PATIENCE) -> list[E]:
        """Return the events of one kind as soon as there are *count*."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout)
        assert came, f"no {count} {kind.__name__} within {timeout} s; events: {self.paths()}"
        return self.of(kind)

    def paths(self) -> list[str]:
        """Return what happened so far, as ``"job.insert"``."""
        with self._changed:
            return [".".join(event.path[1:]) for event in self.events]


class Gate:
    """A worker that blocks until it is let through, and returns *answer*."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.entered: list[Job] = []
        self._passes = 0.0
        self._changed = Condition()

    def __call__(self, job: Job) -> Any:
        with self._changed:
            self.entered.append(job)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._passes > 0, PATIENCE):
                raise TimeoutError("nobody opened the gate")
            self._passes -= 1
        return self.answer

    def wait_for(self, count: int = 1, timeout: float = PATIENCE) -> list[Job]:
        """Return the jobs that have begun, as soon as there are *count*."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.entered) >= count, timeout)
        assert came, f"{len(self.entered)} of {count} jobs began"
        return list(self.entered)

    def let(self, count: float = inf) -> None:
        """Let *count* more jobs through; all, unless told otherwise."""
        with self._changed:
            self._passes += count
            self._changed.notify_all()


class Polled(FaultyDriver):
    """A driver that wakes nobody, so that runners have to poll."""

    def subscribe(self, queue: str, interval: float, wake: Callable[[], None]) -> None:
        """Decline."""

    def rounds(self, verb: str, count: int = 1) -> None:
        """Wait until one thread that calls *verb* again and again has made *count* whole calls."""
        for _ in range(count + 1):
            with self.block(verb) as hold:
                assert hold.entered.wait(PATIENCE), f"nobody calls {verb}"


def fail(job: Job) -> Fail:
    """Work no job."""
    return Fail("no")


def failing(*reasons: Any) -> Callable[[Job], Any]:
    """Return a worker that fails with each of *reasons*, then completes with ``"done"``."""

    def work(job: Job) -> Any:
        return Fail(reasons[job.attempt]) if job.attempt < len(reasons) else "done"

    return work


class Calling:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._call = call
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._call()
        except BaseException as error:
            self._error = error

    @property
    def returned(self) -> bool:
        """Whether the call has come back."""
        return not self._thread.is_alive()

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised, as soon as it has."""
        self._thread.join(PATIENCE)
        assert self.returned, f"{self._call} does not return"
        if self._error is not None:
            raise self._error
        return self._answer


class MakeGaffer(Protocol):
    """Makes Gaffers on the storage of the test, unless told of another, that stop with it."""

    def __call__(self, target: Driver | str | None = None, **settings: Any) -> Gaffer: ...


@pytest.fixture
def make_gaffer(driver: Driver) -> Iterator[MakeGaffer]:
    """Give a factory of Gaffers."""
    made: list[Gaffer] = []

    def make(target: Driver | str | None = None, **settings: Any) -> Gaffer:
        made.append(Gaffer(target or driver, **settings))
        return made[-1]

    yield make
    for gaffer_ in made:
        gaffer_.stop(0)


@pytest.fixture
def gaffer_(make_gaffer: MakeGaffer) -> Gaffer:
    """Give a Gaffer that works its queues."""
    return make_gaffer()


@pytest.fixture
def manual(make_gaffer: MakeGaffer) -> Gaffer:
    """Give a Gaffer that works only when it is polled, and then once."""
    return make_gaffer(work=False)


@pytest.fixture
def make_gate(make_gaffer: MakeGaffer) -> Iterator[Callable[..., Gate]]:
    """Give a factory of gates; they open at the end, before the Gaffers stop."""
    made: list[Gate] = []

    def make(answer: Any = None) -> Gate:
        made.append(Gate(answer))
        return made[-1]

    yield make
    for gate in made:
        gate.let()


@pytest.fixture
def gate(make_gate: Callable[..., Gate]) -> Gate:
    """Give a worker that blocks until it is let through."""
    return make_gate()


@pytest.fixture
def recorder() -> Recorder:
    """Give a hook that keeps events."""
    return Recorder()


@pytest.fixture
def polled(driver: Driver) -> Polled:
    """Give a handle on the storage that can fail, and that wakes nobody."""
    return Polled(driver)


@pytest.fixture
def faulty(driver: Driver) -> FaultyDriver:
    """Give a handle on the storage that can fail."""
    return FaultyDriver(driver)


@pytest.fixture
def elsewhere() -> Iterator[MemoryDriver]:
    """Give a driver of another storage."""
    driver = MemoryDriver()
    driver.start()
    yield driver
    driver.stop()
