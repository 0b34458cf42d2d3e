"""dramatiq on Redis: *threads*, and *prefetch* (`None`: twice the threads)."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from versus.peer import Peer, Place, SyncPeer
from versus.record import Payload, run

__all__ = ["make"]

PREFETCH = "dramatiq_queue_prefetch"


class Dramatiq(SyncPeer):
    """dramatiq, with the broker's default middleware."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        if self.settings.get("prefetch"):  # read when dramatiq is imported
            os.environ[PREFETCH] = str(self.settings["prefetch"])
        import dramatiq
        from dramatiq.brokers.redis import RedisBroker

        self._dramatiq: Any = dramatiq
        self._broker = RedisBroker(url=place.url)
        dramatiq.set_broker(self._broker)
        self._actors = [
            dramatiq.actor(actor_name=name, queue_name=name)(lambda payload: run(payload))
            for name in place.queues()
        ]

    def install(self) -> None:
        """Nothing to make on Redis."""

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Send one after the other: it has no call for many."""
        for payload in payloads:
            self.insert(payload)

    def insert(self, payload: Payload) -> None:
        """Send one."""
        self._actors[0].send(payload)

    def work(self) -> None:
        """Work jobs, for ever."""
        self._dramatiq.Worker(self._broker, worker_threads=self.settings["threads"]).start()
        threading.Event().wait()

    def unfinished(self) -> bool:
        """Tell whether a message is not acknowledged."""
        client = self._broker.client
        return bool(client.hlen(f"dramatiq:{self.place.queues()[0]}.msgs"))


def make(place: Place) -> Peer:
    """Return dramatiq at *place*."""
    return Dramatiq(place)
