"""What tests wait with and for: deadlines, a recording hook, a shot into another thread."""

from __future__ import annotations

import ctypes
import logging
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import gaffer
from gaffer.driver import Driver, JobFilter
from gaffer.events import Event

E = TypeVar("E", bound=Event)
T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for something that should happen soon."""
KEEP: Any = {"interval": None}
"""The `prune` option of a queue that keeps what has ended."""


class Recorder:
    """A hook that keeps all events, and lets a test wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._more:
            self.events.append(event)
            self._more.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind, oldest first."""
        with self._more:
            return [event for event in self.events if type(event) is kind]

    def wait(self, kind: type[E], number: int = 1, timeout: float = PATIENCE) -> list[E]:
        """Wait until there are *number* events of *kind*, and return them."""

        def enough() -> bool:
            return sum(type(event) is kind for event in self.events) >= number

        with self._more:
            met = self._more.wait_for(enough, timeout)
            seen = Counter(type(event).__name__ for event in self.events)
        assert met, f"waited in vain for {number} {kind.__name__}; saw {dict(seen)}"
        return self.of(kind)


def until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until *condition* holds; fail the test after *timeout* seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {timeout:g} s"
        pause.wait(0.002)


def busy(seconds: float) -> None:
    """Run bytecode for *seconds*, so that an asynchronous exception can land anywhere."""
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        pass


def shoot(thread: threading.Thread, error: type[BaseException]) -> None:
    """Raise *error* in *thread*, at the next bytecode that it runs."""
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert thread.ident is not None
    raise_in(ctypes.c_ulong(thread.ident), ctypes.py_object(error))


class _NoLock:
    """Stands in for a lock of `logging`."""

    def acquire(self, *_: object) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def unlocked_logs() -> Iterator[None]:
    """Have `logging` take no locks meanwhile.

    A thread that is shot at while it logs would leave one locked for good: whatever logs next, or
    the next test begins, waits for ever.
    """
    handlers = list(logging.getLogger().handlers)
    before = logging._lock, [handler.lock for handler in handlers]  # type: ignore[attr-defined]
    logging._lock = _NoLock()  # type: ignore[attr-defined]
    for handler in handlers:
        handler.lock = _NoLock()  # type: ignore[assignment]
    try:
        yield
    finally:
        logging._lock, locks = before  # type: ignore[attr-defined]
        for handler, lock in zip(handlers, locks, strict=True):
            handler.lock = lock


def threads(prefix: str = "gaffer:") -> list[threading.Thread]:
    """Return the live threads whose name begins with *prefix*."""
    # Not those that are just being started: who starts them would wait for ever.
    return [t for t in threading.enumerate() if t.name.startswith(prefix) and t.is_alive()]


def states(driver: Driver, queue: str) -> Counter[str]:
    """Return how many stored jobs of *queue* are in each state."""
    return Counter(job.state.value for job in driver.job_list(JobFilter(queue=queue)))


def stored_ids(driver: Driver, queue: str | None = None) -> list[UUID]:
    """Return the ids of all stored jobs."""
    return [job.id for job in driver.job_list(JobFilter(queue=queue))]


def together(calls: Iterable[Callable[[], object]], timeout: float = PATIENCE) -> None:
    """Make each of *calls* in a thread of its own; raise what the first of them raised."""
    errors: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    made = [threading.Thread(target=run, args=[call], daemon=True) for call in calls]
    for thread in made:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in made:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in made), f"no end within {timeout:g} s"


@contextmanager
def took(least: float, most: float) -> Iterator[None]:
    """Assert that the block takes between *least* and *most* seconds."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert least <= seconds <= most, f"took {seconds:.3f} s, not {least:g} to {most:g} s"


class Gate:
    """A worker that waits to be let go; `started` has the jobs that have come to it."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.started: list[gaffer.Job] = []

    def __call__(self, job: gaffer.Job) -> None:
        self.started.append(job)
        assert self.open.wait(PATIENCE)

    def wait(self, number: int = 1) -> None:
        """Wait until *number* jobs are inside."""
        until(lambda: len(self.started) >= number)


def free_port() -> int:
    """Return a TCP port that nobody has.

    Nobody comes by it by chance either, while the server that has it is away: it is below those
    that are given to outgoing connections.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
