"""Processes that work queues of one installation: what they have said together, and their ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from gaffer import DriverUnavailable, Gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.audit import Audit
from tests.rig.processes import Line, Worker
from tests.rig.waiting import KEEP

__all__ = ["Fleet", "fleet"]

SCHEMA = "gaffer"


class Fleet:
    """The processes on the database of *conninfo*, with *settings* of their Gaffers.

    `g` is a Gaffer of this process, which works nothing. What jobs do is not written into any
    database, but said: it is known whatever happens to servers.
    """

    def __init__(self, conninfo: str, settings: dict[str, Any]) -> None:
        self.conninfo = conninfo
        self._settings = settings
        self.workers: list[Worker] = []
        self.driver = PostgresDriver(conninfo, schema=SCHEMA)
        self.driver.start()
        self.g = Gaffer(self.driver, work=False)
        self.admin = psycopg.connect(conninfo, autocommit=True)
        self.audit = Audit(self.admin, SCHEMA)

    @property
    def lease(self) -> float:
        """Seconds of silence after which its nodes count as dead."""
        return float(self._settings.get("lease", 20.0))

    def work(self, conninfo: str | None = None, **queues: Any) -> Worker:
        """Start a process that works queues of these options, by *conninfo* if it is given."""
        settings = {
            "conninfo": conninfo or self.conninfo,
            "effects": None,
            "quiet": True,  # of what is done to them here they would say much
            "driver": {"schema": SCHEMA},
            "gaffer": self._settings,
            "queues": {
                name: {"prune": KEEP, "poll_interval": 0.05, **options}
                for name, options in queues.items()
            },
        }
        self.workers.append(Worker(settings))
        return self.workers[-1]

    def reconnect(self) -> None:
        """Look behind the driver again, after the server was away."""
        self.admin.close()
        self.admin = psycopg.connect(self.conninfo, autocommit=True)
        self.audit.go_on(self.admin)

    def said(self, key: str, value: Any = None) -> list[Line]:
        """Return what all processes have said with *key*, and *value* there if one is given."""
        lines = [line for worker in self.workers for line in worker.said(key, value)]
        return sorted(lines, key=lambda line: line["at"])

    def told(self, event: str) -> Counter[str]:
        """Return how often the hooks of all processes were told of each job by one event."""
        return Counter(job for line in self.said("event", event) for job in line["jobs"])

    def starts(self) -> Counter[str]:
        """Return how often each job has begun."""
        return Counter(line["began"] for line in self.said("began"))

    def dead(self) -> int:
        """Return how many processes have ended."""
        return sum(not worker.lives for worker in self.workers)

    def ended(self, queue: str, number: int) -> bool:
        """Return whether so many jobs have ended; not while the storage does not answer."""
        with suppress(DriverUnavailable):
            stats = self.g.stats(queue)
            return sum(one.count for state, one in stats.items() if state.terminal) >= number
        return False

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            worker.kill()
        self.g.stop(0)
        self.driver.stop()
        self.admin.close()


@contextmanager
def fleet(conninfo: str, **settings: Any) -> Iterator[Fleet]:
    """Give a fleet without processes yet, which are gone with the block."""
    made = Fleet(conninfo, settings)
    try:
        yield made
    finally:
        made.close()
