"""This process's sign of life in a driver's storage, and the search for nodes that give none.

A node is one process life: an id that is never used again. It beats; the jobs of a node that has
been silent for one lease are orphans, and any node that serves their queues may settle them.

A process that finds that it has been silent for that long (suspended, or cut off) begins a new life
under a new id. Others may have taken its jobs, and may not: it asks which, and for as long as it
has any left from its former life it beats for that, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from gaffer.clock import Clock
from gaffer.driver import Driver
from gaffer.errors import DriverError, DriverUnavailable
from gaffer.health import StorageHealth
from gaffer.job import Job, JobFilter, JobState
from gaffer.service import Service

__all__ = ["Heartbeat"]

_log = logging.getLogger("gaffer.heartbeat")


_EXECUTING = frozenset({JobState.EXECUTING})


class Heartbeat:
    """Beats every *interval* seconds, and hands orphans of *lease* seconds to *rescue*.

    *new_node* makes an id that none has had; *lapsed* is called after a silence of one lease, when
    the node has another id. Only a node that has itself beaten without a gap for one lease looks
    for orphans: after an outage of the storage, or a jump of its clock, everybody seems to have
    been silent, the living too.
    """

    def __init__(
        self,
        driver: Driver,
        new_node: Callable[[], str],
        *,
        interval: float,
        lease: float,
        clock: Clock,
        rescue: Callable[[Driver, Sequence[Job], float], None],
        lapsed: Callable[[Driver], None],
        about: Callable[[Driver], str] | None = None,
    ) -> None:
        self._driver = driver
        self._new_node = new_node
        self._interval = interval
        self._lease = lease
        self._clock = clock
        self._rescue = rescue
        self._lapsed = lapsed
        self._about = about
        self._told: tuple[str, str] | None = None
        self._lock = threading.Lock()
        # Under the lock:
        self._node = new_node()
        self._former: dict[str, float] = {}  # and since when; replaced as a whole
        self._last: float | None = None  # the last good beat
        self._since = 0.0  # the first good beat without a gap since
        self._lead = 0.0  # of the storage's clock before our monotonic one, at the last good beat
        self._tried: float | None = None  # the last beat, good or not
        self._failing: tuple[float, str] | None = None  # since the first that was not, and why
        self._service = Service("gaffer:heartbeat", self._run)

    @property
    def node(self) -> str:
        """The id to claim under."""
        return self._node

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ids whose jobs are this process's: of this life, and of former ones."""
        return (*self._former, self._node)

    def ensure(self) -> None:
        """Make sure that this node counts as alive, before it claims; raise `DriverUnavailable`."""
        with self._lock:
            last = self._last
        try:
            if last is None or self._clock.monotonic() - last > self._lease - self._interval:
                self.beat()
        finally:
            self._service.start()  # to go on trying, too

    def beat(self) -> None:
        """Beat once now, and begin a new life if the last beat is a lease ago."""
        began = self._tried = self._clock.monotonic()
        try:
            for node in self.nodes:  # the former first: what nobody has taken yet is kept so
                self._driver.node_beat(node)
        except Exception as error:
            self._failing = (self._failing or (began, ""))[0], str(error)
            raise
        self._failing = None
        if self._beaten(began):
            self._renew()
        self._tell()

    def _tell(self) -> None:
        """Have storage know what this node serves; nothing hangs on it."""
        about = None if self._about is None else (self._node, self._about(self._driver))
        if about is None or about == self._told:
            return
        try:
            self._driver.node_tell(*about)
        except DriverError as error:
            _log.debug("the node could not tell of itself: %s", error)
        else:
            self._told = about

    def _beaten(self, began: float) -> bool:
        """Note a good beat; return whether this node was silent for a lease before."""
        lead = self._driver.now().timestamp() - began
        with self._lock:
            first = self._last is None
            gap = self._last is not None and began - self._last > self._lease
            # A storage whose clock jumps takes the living for silent, too; or it was ours that
            # stood still, while the machine was asleep.
            ahead = lead - self._lead
            if first or gap or abs(ahead) > self._lease / 2:
                self._since = began
            self._last, self._lead = began, lead
            return not first and (gap or ahead > self._lease)

    def _renew(self) -> None:
        _log.warning("silent for more than %g s: a new life, and who has our jobs?", self._lease)
        node = self._new_node()
        try:
            self._driver.node_beat(node)  # first: what is claimed under it is not to be rescued
            with self._lock:
                self._former = {**self._former, self._node: self._clock.monotonic()}
                self._node = node
        finally:
            self._lapsed(self._driver)

    def _let_go(self) -> None:
        """Forget the former lives that nothing is left of."""
        # Not at once: a claim that had begun before may still arrive.
        old = self._clock.monotonic() - self._lease
        for node, since in self._former.items():
            left = JobFilter(states=_EXECUTING, node=node, limit=1)
            if since <= old and not self._driver.job_list(left):
                self._driver.node_leave(node)
                with self._lock:
                    self._former = {n: at for n, at in self._former.items() if n != node}

    def sweep(self) -> None:
        """Look for orphans, if this node may."""
        with self._lock:
            if self._last is None or self._last - self._since < self._lease:
                return
        orphans = self._driver.job_orphans(None, self._lease)
        if orphans:
            self._rescue(self._driver, orphans, self._lease)

    def step(self) -> None:
        """Beat, let go of what is over, and look for orphans."""
        self.beat()
        self._let_go()
        self.sweep()

    def _run(self) -> bool:
        self._service.wait(self._interval)
        if self._service.stopping:
            return False
        try:
            self.step()
        except DriverUnavailable as error:
            _log.warning("no beat: %s", error)
        return True

    def health(self, timeout: float | None) -> StorageHealth:
        """Return how the storage does, asked now, or from what is known if *timeout* is `None`."""
        failing, server, error = self._failing, None, None
        try:
            server = None if timeout is None else self._driver.health(timeout)
        except DriverError as raised:
            error = str(raised)
        now = self._clock.monotonic()
        return StorageHealth(
            driver=type(self._driver).__name__,
            node=self._node if self._tried is not None else None,
            interval=self._interval,
            beat=None if self._last is None else now - self._last,
            tried=None if self._tried is None else now - self._tried,
            outage=None if failing is None else now - failing[0],
            error=error if error is not None or failing is None else failing[1],
            server=server,
        )

    def begin_stop(self) -> None:
        """Begin no further beat."""
        self._service.stop()

    def stop(self, *, leave: bool = True, timeout: float = 1.0) -> None:
        """Beat no more, and with *leave* tell the storage that this node has left.

        Not if a beat that has begun takes more than *timeout* seconds.
        """
        self._service.stop()
        if not self._service.join(timeout) or not leave:
            return  # the storage does not answer; the lease will run out
        try:
            for node in self.nodes:
                self._driver.node_leave(node)
        except DriverUnavailable as error:
            _log.warning("the node could not leave, its lease will run out: %s", error)
