"""The queues of one process, from their declaration to the process's fork or exit.

States: open (at first, and after `start`), stopping, stopped. The lock `_admin` guards the table of
queues; it is held while a driver opens or a queue is registered, never while a hook runs.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4
from weakref import WeakSet

from gaffer import checks, codec
from gaffer.clock import Clock, SystemClock
from gaffer.conf import Duration, check_name, check_option
from gaffer.crew import Crew
from gaffer.driver import Driver
from gaffer.drivers import Drivers
from gaffer.errors import InvalidDriver, Stopped, UnknownQueue
from gaffer.events import Hook
from gaffer.execution import running, shielded
from gaffer.health import Health, judged
from gaffer.heartbeat import Heartbeat
from gaffer.job import Job
from gaffer.ledger import Ledger
from gaffer.pace import Pace
from gaffer.presence import told
from gaffer.results import Results
from gaffer.service import in_service
from gaffer.supervisor import SETTLE_FOR, Shared, Supervisor
from gaffer.suspects import Suspects
from gaffer.tasks import Known
from gaffer.watchdog import Watchdog

__all__ = ["Process"]

_log = logging.getLogger("gaffer.process")

_LOOK = 5.0
"""Seconds between looks for jobs in queues whose driver says when there are any."""
_SWEEP = 60.0
"""Seconds between looks for old jobs in queues in which nothing ends."""
_LAST_WORD = 1.0
"""Seconds for those who wait for results, and their callbacks, to be told of a stop."""
_SPARE = 2.5
"""Seconds of a bounded stop beyond `SETTLE_FOR`: for the storage to answer, threads to end."""


class Process:
    """What a `Gaffer` is underneath; its docstring says what the arguments mean."""

    def __init__(
        self,
        driver: Driver | str | None = None,
        *,
        hooks: Sequence[Hook] = (),
        work: bool = True,
        name: str | None = None,
        beat_interval: Duration = 5.0,
        lease: Duration = 20.0,
        max_payload: int = codec.MAX_BYTES,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._crew: type[Crew] = Crew
        self._drivers = Drivers(driver, self._pulse)
        self._hooks: tuple[Hook, ...] = ()
        self._name: str | None = None
        self._work = True
        self._beat_interval = 5.0
        self._lease = 20.0
        self._max_payload = codec.MAX_BYTES
        self._admin = threading.RLock()
        self._queues: dict[str, Supervisor] = {}
        self._tasks: Known = {}  # of the program's code: no stop forgets them
        self.configure(
            hooks=hooks,
            work=work,
            name=name,
            beat_interval=beat_interval,
            lease=lease,
            max_payload=max_payload,
        )
        self._open()
        _processes.add(self)

    def _open(self) -> None:
        """Make what belongs to one life; start nothing."""
        self._queues = {}
        self._watchdog = Watchdog(self._clock)
        self._looks = Pace(self._clock, _LOOK)
        self._sweeps = Pace(self._clock, _SWEEP)
        self._suspects = Suspects(self._clock)
        self._results = Results()
        self._stopping = False
        self._broken_off = False
        self._stopped = threading.Event()

    @shielded
    def configure(
        self,
        *,
        driver: Driver | str | None = None,
        hooks: Sequence[Hook] | None = None,
        work: bool | None = None,
        name: str | None = None,
        beat_interval: Duration | None = None,
        lease: Duration | None = None,
        max_payload: int | None = None,
    ) -> None:
        """Change settings; what is `None` stays as it is.

        - *driver*: the default for queues that are declared from now on;
        - *hooks*: the global hooks, for all queues and at once;
        - *work*: false, and queues declared from now on only insert; `start` sets it to true;
        - *name*: what this node is called, instead of the host's name; before the first queue;
        - *beat_interval*, *lease*: seconds between signs of life, and after how many without one a
          node's jobs are rescued (at least two beats); for drivers that were not used yet;
        - *max_payload*: the most bytes of a payload as JSON; for queues declared from now on.

        Raise `InvalidQueueConf` for values out of range.
        """
        beat = check_option("beat_interval", beat_interval, checks.duration(0.01, checks.DAY))
        wait = check_option("lease", lease, checks.duration(0.02, checks.DAY))
        beat = self._beat_interval if beat is None else beat
        wait = self._lease if wait is None else wait
        check_option("lease", wait, checks.duration(2 * beat, checks.DAY))
        given = check_option("hooks", hooks, checks.hooks)
        given_work = check_option("work", work, checks.flag)
        if driver is not None and not isinstance(driver, str | Driver):
            raise InvalidDriver(f"driver={driver!r}: give a Driver, a name or a URL")
        size = check_option("max_payload", max_payload, checks.integer(1))
        self._beat_interval, self._lease = beat, wait
        self._hooks = self._hooks if given is None else given
        self._max_payload = self._max_payload if size is None else size
        self._name = check_option("name", name, checks.name) or self._name
        self._work = self._work if given_work is None else given_work
        if driver is not None:
            self._drivers.default = driver

    def _new_node(self) -> str:
        """Return a name for a node that none has had."""
        return f"{self._name or socket.gethostname()}-{os.getpid()}-{uuid4().hex[:12]}"

    # -- queues --------------------------------------------------------------------------------

    def _supervisor(self, name: str) -> Supervisor:
        try:
            return self._queues[name]
        except (KeyError, TypeError):
            pass
        self._check_open()
        raise UnknownQueue(check_name(name, "queue"))

    def _check_open(self) -> None:
        if self._stopping:
            raise Stopped("this Gaffer was stopped; start() begins anew, without queues")

    def _ledger_of(self, name: str) -> Ledger:
        try:
            return self._queues[name].ledger
        except KeyError:
            raise UnknownQueue(name) from None

    def _shared(self) -> Shared:
        return Shared(
            clock=self._clock,
            watchdog=self._watchdog,
            hooks=lambda: self._hooks,
            ledger_of=self._ledger_of,
            heartbeat_of=self._drivers.heartbeat,
            max_bytes=self._max_payload,
            looks=self._looks,
            sweeps=self._sweeps,
            suspects=self._suspects,
            results=self._results,
            crew=self._crew,
        )

    def _pulse(self, driver: Driver) -> Heartbeat:
        return Heartbeat(
            driver,
            self._new_node,
            interval=self._beat_interval,
            lease=self._lease,
            clock=self._clock,
            rescue=self._rescue,
            lapsed=self._lapsed,
            about=self._about,
        )

    def _about(self, driver: Driver) -> str:
        """Return what a node of this process says of itself in *driver*'s storage."""
        served = {
            name: supervisor.served()
            for name, supervisor in sorted(self._queues.copy().items())
            if supervisor.conf.driver is driver and supervisor.runner.service.running
        }
        return told(
            pid=os.getpid(),
            host=socket.gethostname(),
            lease=self._lease,
            listening=driver.listening,
            queues=served,
        )

    def _lapsed(self, driver: Driver) -> None:
        """Have the queues of *driver* look whether others have taken their jobs."""
        for supervisor in list(self._queues.values()):
            if supervisor.conf.driver is driver:
                supervisor.runner.lapsed()

    def _rescue(self, driver: Driver, orphans: Sequence[Job], lease: float) -> None:
        """Give the orphans to the queues that are worked here, by a worker or by hand."""
        for supervisor in list(self._queues.values()):
            conf = supervisor.conf
            found = [job for job in orphans if job.queue == conf.name]
            if found and supervisor.runner.serving and conf.driver.storage == driver.storage:
                supervisor.runner.rescue(found, lease)

    @shielded
    def health(self, timeout: Duration | None = 2.0) -> Health:
        """Return whether this process lives and is ready: for the probes of whoever keeps it.

        Each storage that has a queue here is asked, and has *timeout* seconds to answer; with
        `None` nobody is asked, and this returns at once from what the process knows. A storage that
        is away makes it not ready, and not dead. Raises nothing for what it finds.
        """
        wait = check_option("timeout", timeout, checks.duration(0.01, checks.DAY))
        return judged(
            {name: supervisor.health() for name, supervisor in self._queues.copy().items()},
            [heart.health(wait) for heart in self._drivers.hearts()],
            stopped=self._stopping,
        )

    # -- life ----------------------------------------------------------------------------------

    @shielded
    def start(self) -> None:
        """Work, here and now: all queues that have a worker, and those declared later.

        For a forked child, which does not work by itself; for a process configured with
        ``work=False``; and after a `stop`, which has forgotten the queues. Again does nothing.
        """
        while True:
            with self._admin:
                if self._stopping and self._stopped.is_set() and not self._broken_off:
                    self._open()
                if not self._stopping:
                    self._work = True
                    for supervisor in self._queues.values():
                        supervisor.start()
                    return
            self._stop(None)  # waits for the one that is under way

    @shielded
    def stop(self, timeout: Duration | None = None) -> None:
        """Stop claiming, let what runs end, and leave.

        Each running job is told (`Attempt.stopping`) and has its `shutdown_timeout`, at most
        *timeout* seconds; one that has not ended by then goes back to available, and the attempt
        does not count. Returns within the longest of these and ten seconds. The drivers that were
        opened by name are stopped, and the queues forgotten. Called in a job or a hook it returns
        at once, and the rest happens in the background. A second call meanwhile waits for the
        first, and with a *timeout* hastens it.
        """
        grace = check_option("timeout", timeout, checks.duration(0.0, checks.DAY))
        if running() is not None or in_service():
            stopping = threading.Thread(
                target=self._stop, args=[grace], name="gaffer:stop", daemon=True
            )
            stopping.start()
        else:
            self._stop(grace)

    def _stop(self, grace: float | None) -> None:
        with self._admin:
            first, self._stopping = not self._stopping or self._broken_off, True
            self._broken_off = False
            stopped = self._stopped
            supervisors = list(self._queues.values())
        if not first:
            for supervisor in supervisors if grace is not None else []:
                supervisor.runner.stop(grace, SETTLE_FOR)  # whoever has less patience
            stopped.wait()
            return
        try:
            self._stop_all(supervisors, grace)
        except BaseException:  # a Ctrl-C: the next stop, at exit at the latest, goes on
            self._broken_off = True
            raise
        finally:
            if not self._broken_off:
                self._queues = {}
            stopped.set()

    def _stop_all(self, supervisors: Sequence[Supervisor], grace: float | None) -> None:
        longest = max((s.longest_shutdown(grace) for s in supervisors), default=0.0)
        deadline = self._clock.monotonic() + longest + SETTLE_FOR + _SPARE
        for supervisor in supervisors:
            supervisor.stop(grace)
        ended = True
        for supervisor in supervisors:
            ended &= supervisor.join(max(0.0, deadline - self._clock.monotonic()))
        self._results.stop(_LAST_WORD)  # what has ended is told
        self._watchdog.stop()
        # So late only if storage does not answer, and there is no time left to wait for it.
        spent = self._clock.monotonic() > deadline - _SPARE
        self._drivers.stop(leave=ended and not spent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _after_fork(self) -> None:
        """In the child: keep the queues, but no thread, lock or node of the parent."""
        confs = [supervisor.conf for supervisor in self._queues.values()]
        stopping = self._stopping
        self._admin = threading.RLock()
        results = self._results
        self._open()
        results.after_fork()
        self._stopping = stopping
        if stopping:
            self._stopped.set()  # nobody is left to do it
        self._work = False
        self._drivers.after_fork()
        shared = self._shared()
        self._queues = {conf.name: Supervisor(conf, shared) for conf in confs}


_processes: WeakSet[Process] = WeakSet()


def _after_fork_in_child() -> None:
    for process in list(_processes):
        process._after_fork()


def _at_exit() -> None:
    for process in list(_processes):
        try:
            process.stop()
        except Exception:
            _log.exception("a Gaffer could not be stopped")


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
