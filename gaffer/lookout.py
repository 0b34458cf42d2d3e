"""When a runner looks for jobs: because somebody said so, or because it is time."""

from __future__ import annotations

from gaffer.clock import Clock
from gaffer.conf import QueueConf
from gaffer.pace import Pace

__all__ = ["Lookout"]


class Lookout:
    """Keeps `wanted`: whether a claim may find something. Changed in the runner's turn only.

    A runner that its driver wakes looks by itself, too, but at *pace*.
    """

    def __init__(self, clock: Clock, pace: Pace) -> None:
        self._clock = clock
        self._pace = pace
        self._next = clock.monotonic()
        self._poked = False  # a message is on its way; written by any thread
        self.subscribed = False
        self.wanted = False

    def poke(self, conf: QueueConf) -> bool:
        """Return whether the runner has to be sent a message, from whatever thread."""
        if self._poked or conf.poll_interval is None:
            return False
        self._poked = True  # two threads at once send two messages: no harm
        return True

    def poked(self) -> None:
        """Note that the message has come."""
        self._poked = False
        self.wanted = True

    def look(self) -> None:
        """Want to claim, whatever the poll interval."""
        self.wanted = True

    def rearm(self, conf: QueueConf) -> None:
        """Look at once, and then every interval of *conf*, if it has one."""
        self._poked = False  # a message may have been lost
        self._next = self._clock.monotonic()
        self.wanted = self.wanted or conf.poll_interval is not None

    def tick(self, conf: QueueConf) -> None:
        """Want to claim if it is time to."""
        interval, now = conf.poll_interval, self._clock.monotonic()
        if interval is not None and now >= self._next:
            self._next = self._pace.reserve() if self.subscribed else now + interval
            self.wanted = True

    def next(self, conf: QueueConf) -> float | None:
        """Return when it is time, in monotonic seconds, or `None` for never."""
        return None if conf.poll_interval is None else self._next
