"""How many jobs each queue holds, for those who ask often and cannot wait: a monitoring system.

Guarantees:

- `read` returns within the deadline, whatever the storage does;
- there is one count at a time, one question per queue, and a pause between two counts;
- no number is older than *max_age*.

Assumption: whoever reads reads again, so that a count that took too long is not in vain.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from gaffer import Gaffer, GafferError, JobState, QueueConf, StateStats
from gaffer.driver import Clock, DriverUnavailable, SystemClock

__all__ = ["Census", "Count"]

_log = logging.getLogger("gaffer.contrib.census")


@dataclass(frozen=True, slots=True)
class Count:
    """What a queue held: *stats* by state, and *waiting*, for how long a job has been due.

    *waiting* is in seconds, `None` if none is; *at* is a moment of the clock's `monotonic`.
    """

    stats: Mapping[JobState, StateStats]
    waiting: float | None
    at: float


class Census:
    """Counts the jobs of all queues of *gaffer*, on a thread of its own, when somebody reads.

    All in seconds: *interval* is the least time from the end of one count to the next; *deadline*
    how long `read` waits for one; *max_age* how old a number may get while storage does not answer.
    """

    def __init__(
        self,
        gaffer: Gaffer,
        *,
        interval: float = 5.0,
        deadline: float = 2.0,
        max_age: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        if interval < 0 or deadline <= 0 or max_age <= 0:
            raise ValueError(
                f"{interval=}, {deadline=}, {max_age=}: seconds; only interval may be 0"
            )
        self._gaffer = gaffer
        self._interval = interval
        self._deadline = deadline
        self._max_age = max_age
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()  # guards the start of a count
        self._thread: threading.Thread | None = None
        # Written by the counting thread only.
        self._counts: dict[str, Count] = {}
        self._ended: float | None = None

    def read(self) -> dict[str, Count]:
        """Return the numbers by queue, counted now if the last count is old enough.

        A queue is left out while nothing young enough is known of it.
        """
        counting = self._counting()
        if counting is not None:
            counting.join(self._deadline)
        counts = self._counts.copy()
        return {name: count for name, count in counts.items() if self.age(count) <= self._max_age}

    def age(self, count: Count) -> float:
        """Return how many seconds ago *count* was made."""
        return self._clock.monotonic() - count.at

    def _counting(self) -> threading.Thread | None:
        """Return the thread that counts, started if it is time; `None` if nobody does."""
        with self._lock:
            # After a fork the thread of the parent is not alive here, and another may start.
            if self._thread is not None and self._thread.is_alive():
                return self._thread
            now = self._clock.monotonic()
            if self._ended is not None and now - self._ended < self._interval:
                return None
            thread = threading.Thread(target=self._count, name="gaffer:census", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads
                _log.warning("the jobs are not counted: %s", error)
                return None
            self._thread = thread
            return thread

    def _count(self) -> None:
        away: set[Hashable] = set()
        try:
            for name, conf in self._gaffer.list_queues().items():
                if conf.driver.storage not in away and not self._count_queue(name, conf):
                    away.add(conf.driver.storage)  # one wait for its deadline is enough
        except Exception:
            _log.warning("the jobs were not counted", exc_info=True)
        finally:
            self._ended = self._clock.monotonic()

    def _count_queue(self, name: str, conf: QueueConf) -> bool:
        """Count one queue; return whether its storage answers."""
        try:
            stats = self._gaffer.stats(name)
            now = conf.driver.now()
        except DriverUnavailable as error:
            _log.debug("queue %r is not counted: %s", name, error)
            return False
        except GafferError as error:  # deleted or stopped in between
            _log.debug("queue %r is not counted: %s", name, error)
            return True
        since = stats[JobState.AVAILABLE].waiting_since
        waiting = None if since is None else max(0.0, (now - since).total_seconds())
        self._counts[name] = Count(stats, waiting, self._clock.monotonic())
        return True
