"""Who is woken, and by what: by notifications alone, as looks come every hour here."""

from __future__ import annotations

import threading
from functools import partial

import psycopg

from gaffer import Queue
from gaffer_driver_postgres import PostgresDriver
from tests.rig.waiting import PATIENCE


class Wakes:
    """Counts how often a driver wakes those who wait for "q", and for "other"."""

    def __init__(self, driver: PostgresDriver, interval: float = 3600.0) -> None:
        self.counts = {"q": 0, "other": 0}
        self._changed = threading.Condition()
        for queue in self.counts:
            driver.subscribe(queue, interval, partial(self._woken, queue))

    def _woken(self, queue: str) -> None:
        with self._changed:
            self.counts[queue] += 1
            self._changed.notify_all()

    def wait(self, queue: str, more_than: int) -> None:
        """Wait until *queue* was woken more often than that."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.counts[queue] > more_than, PATIENCE)
        assert came, self.counts

    def catch_up(self, other: Queue, server: str) -> int:
        """Wait for what was announced until now; return how often "q" was woken by then.

        Notifications come in the order of the commits: one for *other* comes after them.
        """
        for _ in range(3):  # the first may come while what follows a subscription is still done
            before = self.counts["other"]
            with psycopg.connect(server) as connection:
                other.insert(None, connection=connection)
            self.wait("other", before)
        return self.counts["q"]
