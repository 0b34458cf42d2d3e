"""Celery on Redis: *threads*, and *late* for acknowledging after the job: at least once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import celery
import redis

from versus.peer import Peer, Place, SyncPeer
from versus.record import Payload, run

__all__ = ["make"]


class Celery(SyncPeer):
    """Celery with its pool of threads; results are not kept, which is its default."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._app: Any = celery.Celery("bench", broker=place.url, set_as_current=True)
        self._app.conf.task_acks_late = self.settings.get("late", False)
        self._app.conf.task_default_queue = place.queues()[0]
        self._app.conf.worker_prefetch_multiplier = self.settings.get("prefetch", 4)
        self._job = self._app.task(name="job")(run)
        self._redis: Any = redis.Redis.from_url(place.url)

    def install(self) -> None:
        """Nothing to make on Redis."""

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Send one after the other: it has no call for many."""
        for payload in payloads:
            self.insert(payload)

    def insert(self, payload: Payload) -> None:
        """Send one."""
        self._job.delay(payload)

    def work(self) -> None:
        """Work jobs, for ever."""
        self._app.Worker(
            pool="threads",
            concurrency=self.settings["threads"],
            queues=",".join(self.place.queues()),
            loglevel="ERROR",
            quiet=True,
        ).start()

    def unfinished(self) -> bool:
        """Tell whether a message is queued or not acknowledged."""
        return bool(self._redis.llen(self.place.queues()[0]) or self._redis.hlen("unacked"))


def make(place: Place) -> Peer:
    """Return Celery at *place*."""
    return Celery(place)
