"""For tests: a Gaffer that is set aside, queues and all, and meanwhile lives on another driver.

Handles, and names imported from `gaffer`, lead to the same object and so into the rehearsal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from typing import Any, TypeAlias

from gaffer import execution
from gaffer.clock import Clock
from gaffer.crew import Here
from gaffer.driver import Driver
from gaffer.drivers import Drivers
from gaffer.errors import InvalidDriver
from gaffer.heartbeat import Heartbeat
from gaffer.instance import Gaffer
from gaffer.job import Job
from gaffer.supervisor import Supervisor

__all__ = ["alone", "rehearsed", "rescue", "watched"]

Accepts: TypeAlias = Callable[[Driver | str], bool]

_REST = 5.0
"""Seconds for the jobs that run when a rehearsal begins."""


class _Stand(Drivers):
    """Gives one driver for all that are asked for, and refuses those it cannot stand in for."""

    def __init__(
        self, driver: Driver, pulse: Callable[[Driver], Heartbeat], accepts: Accepts
    ) -> None:
        super().__init__(driver, pulse)
        self._driver = driver
        self._accepts = accepts

    def get(self, target: Driver | str | None) -> Driver:
        asked = self.default if target is None else target
        if asked is not None and not self._accepts(asked):
            raise InvalidDriver(f"a test asked for {_called(asked)}, which it must not touch")
        return super().get(self._driver)


def _called(driver: Driver | str) -> str:
    # A URL may hold a password.
    return repr(driver.partition(":")[0]) if isinstance(driver, str) else type(driver).__name__


@contextmanager
def rehearsed(gaffer: Gaffer, driver: Driver, *, clock: Clock, accepts: Accepts) -> Iterator[None]:
    """Have *gaffer* live on *driver* and *clock* meanwhile, and then as if nothing had been.

    It has the queues that it had, and works none by itself. Every driver that is asked for must be
    one that *driver* *accepts* to stand in for; raise `InvalidDriver` otherwise, and if a queue
    that is there already has another. Raise `DrainTimeout` if a job runs, and goes on.
    """
    for name, conf in gaffer.list_queues().items():
        if not accepts(conf.driver):
            raise InvalidDriver(
                f"queue {name!r} was declared on a {_called(conf.driver)}, which a test must not "
                "touch: let GAFFER_DRIVER, or what the program reads instead, be 'memory'"
            )
    with _resting(gaffer):
        life = _begin(gaffer, driver, clock, accepts)
        try:
            yield
        finally:
            try:
                gaffer.stop(0)
            finally:
                vars(gaffer).update(life)


def alone(driver: Driver, clock: Clock) -> Gaffer:
    """Return a Gaffer that works only by `poll`, and in the caller's thread."""
    made = Gaffer(driver=driver, work=False, clock=clock)
    made._crew = Here
    return made


@contextmanager
def _resting(gaffer: Gaffer) -> Iterator[None]:
    """Have the queues of *gaffer* claim nothing: a job that ran on would insert into the test."""
    working = [
        supervisor
        for supervisor in gaffer._queues.values()
        if supervisor.runner.service.running and not supervisor.runner.draining
    ]
    try:
        for supervisor in working:
            supervisor.drain(_REST)
        yield
    finally:
        for supervisor in working:
            supervisor.runner.draining = False
            supervisor.runner.look()


def _begin(gaffer: Gaffer, driver: Driver, clock: Clock, accepts: Accepts) -> dict[str, Any]:
    """Begin another life with the queues of the one that is returned."""
    with gaffer._admin:
        life = vars(gaffer).copy()
        gaffer._clock, gaffer._work, gaffer._crew = clock, False, Here
        gaffer._drivers = _Stand(driver, gaffer._pulse, accepts)
        gaffer._open()
        gaffer._drivers.get(driver)
        for former in life["_queues"].values():
            driver.queue_insert(former.conf.name)
            conf = replace(former.conf, driver=driver)
            gaffer._queues[conf.name] = Supervisor(conf, gaffer._shared())
    return life


@contextmanager
def watched(gaffer: Gaffer, queue: str) -> Iterator[list[BaseException]]:
    """Give the exceptions, in order, that the worker of *queue* raises meanwhile."""
    ledger = gaffer._supervisor(queue).ledger
    conf, raised = ledger.conf, list[BaseException]()

    def work(job: Job) -> Any:
        assert conf.worker is not None
        try:
            return execution.work(conf.worker, job)
        except BaseException as error:
            raised.append(error)
            raise

    seen = replace(conf, worker=work)
    ledger.configure(seen)
    try:
        yield raised
    finally:
        if ledger.conf is seen:  # the worker may have declared its queue anew
            ledger.configure(conf)


def rescue(gaffers: Sequence[Gaffer], advance: Callable[[float], object]) -> None:
    """Let a lease go by with *advance*, beat by beat, and settle the jobs of silent nodes."""
    hearts = [heart for gaffer in gaffers for heart in gaffer._drivers.hearts()]
    beat = min((gaffer._beat_interval for gaffer in gaffers), default=1.0)
    lease = max((gaffer._lease for gaffer in gaffers), default=0.0)
    for heart in hearts:
        heart.beat()
    for _ in range(ceil(lease / beat) + 1):
        advance(beat)
        for heart in hearts:
            heart.step()
    for gaffer in gaffers:
        for supervisor in list(gaffer._queues.values()):
            supervisor.runner.turn.ask(lambda: None)  # the rescue is in its inbox, before this
