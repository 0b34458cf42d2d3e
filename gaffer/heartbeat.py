"""This process's sign of life in a driver's storage, and the search for nodes that give none.

A node is one process life: an id that is never used again. It beats; the jobs of a node that has
been silent for one lease are orphans, and any node that serves their queues may settle them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gaffer.clock import Clock
from gaffer.driver import Driver
from gaffer.errors import DriverUnavailable
from gaffer.job import Job
from gaffer.service import Service

__all__ = ["Heartbeat"]

_log = logging.getLogger("gaffer.heartbeat")


class Heartbeat:
    """Beats for *node* every *interval* seconds, and hands orphans of *lease* seconds to *rescue*.

    Only a node that has itself beaten without a gap for one lease looks for orphans: after an
    outage of the storage, or a jump of its clock, everybody seems to have been silent, the living
    too.
    """

    def __init__(
        self,
        driver: Driver,
        node: str,
        *,
        interval: float,
        lease: float,
        clock: Clock,
        rescue: Callable[[Driver, Sequence[Job], float], None],
    ) -> None:
        self._driver = driver
        self._node = node
        self._interval = interval
        self._lease = lease
        self._clock = clock
        self._rescue = rescue
        self._lock = threading.Lock()
        # Under the lock:
        self._last: float | None = None  # the last good beat
        self._since = 0.0  # the first good beat without a gap since
        self._lead = 0.0  # of the storage's clock before our monotonic one, at the last good beat
        self._service = Service("gaffer:heartbeat", self._step)

    def ensure(self) -> None:
        """Make sure that this node counts as alive, before it claims; raise `DriverUnavailable`."""
        with self._lock:
            last = self._last
        if last is None or self._clock.monotonic() - last > self._lease - self._interval:
            self.beat()
        self._service.start()

    def beat(self) -> None:
        """Beat once now."""
        began = self._clock.monotonic()
        self._driver.node_beat(self._node)
        lead = self._driver.now().timestamp() - began
        with self._lock:
            gap = self._last is None or began - self._last > self._lease
            # A storage whose clock jumps takes the living for silent, too.
            jumped = abs(lead - self._lead) > self._lease / 2
            if gap or jumped:
                self._since = began
            self._last, self._lead = began, lead

    def sweep(self) -> None:
        """Look for orphans, if this node may."""
        with self._lock:
            if self._last is None or self._last - self._since < self._lease:
                return
        orphans = self._driver.job_orphans(None, self._lease)
        if orphans:
            self._rescue(self._driver, orphans, self._lease)

    def _step(self) -> bool:
        self._service.wait(self._interval)
        if self._service.stopping:
            return False
        try:
            self.beat()
            self.sweep()
        except DriverUnavailable as error:
            _log.warning("no beat: %s", error)
        return True

    def stop(self, *, leave: bool = True) -> None:
        """Beat no more, and with *leave* tell the storage that this node has left."""
        self._service.stop()
        if not self._service.join(1.0) or not leave:
            return  # the storage does not answer; the lease will run out
        try:
            self._driver.node_leave(self._node)
        except DriverUnavailable as error:
            _log.warning("the node could not leave, its lease will run out: %s", error)
