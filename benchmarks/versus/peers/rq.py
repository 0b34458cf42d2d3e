"""RQ on Redis, by its `SimpleWorker`: one job at a time, in the worker's process."""

from __future__ import annotations

from collections.abc import Sequence

import redis
import rq
from rq.registry import StartedJobRegistry

from versus.peer import Peer, Place, SyncPeer
from versus.record import Payload, run

__all__ = ["make"]


class Rq(SyncPeer):
    """RQ with its defaults."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._redis = redis.Redis.from_url(place.url)
        self._queues = [rq.Queue(name, connection=self._redis) for name in place.queues()]

    def install(self) -> None:
        """Nothing to make on Redis."""

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Enqueue all by one call, which is one pipeline."""
        jobs = [rq.Queue.prepare_data(run, (payload,)) for payload in payloads]
        self._queues[0].enqueue_many(jobs)

    def insert(self, payload: Payload) -> None:
        """Enqueue one."""
        self._queues[0].enqueue(run, payload)

    def work(self) -> None:
        """Work jobs, for ever."""
        rq.SimpleWorker(self._queues, connection=self._redis).work(logging_level="ERROR")

    def unfinished(self) -> bool:
        """Tell whether a job is queued or started."""
        queue = self._queues[0]
        return bool(queue.count or StartedJobRegistry(queue=queue).count)


def make(place: Place) -> Peer:
    """Return RQ at *place*."""
    return Rq(place)
