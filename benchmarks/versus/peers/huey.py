"""huey on Redis: *threads*. A job is gone from Redis when it is fetched: at most once."""

from __future__ import annotations

from collections.abc import Sequence

import huey

from versus.errors import Missing
from versus.peer import Peer, Place, SyncPeer
from versus.record import Payload, run

__all__ = ["make"]


class Huey(SyncPeer):
    """huey with the defaults of its `RedisHuey`; an instance is one queue."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        if len(place.queues()) > 1:
            raise Missing("an instance of huey has one queue")
        self._huey = huey.RedisHuey(place.queues()[0], url=place.url)
        self._job = self._huey.task(name="job")(run)

    def install(self) -> None:
        """Nothing to make on Redis."""

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Enqueue one after the other: it has no call for many."""
        for payload in payloads:
            self._job(payload)

    def insert(self, payload: Payload) -> None:
        """Enqueue one."""
        self._job(payload)

    def work(self) -> None:
        """Work jobs, for ever."""
        self._huey.create_consumer(workers=self.settings["threads"], worker_type="thread").run()

    def unfinished(self) -> bool:
        """Tell whether a job is queued; there is no record of those that run, nor of the done."""
        return bool(self._huey.pending_count())


def make(place: Place) -> Peer:
    """Return huey at *place*."""
    return Huey(place)
