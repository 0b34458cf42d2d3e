"""gaffer, from this checkout: *max_workers*, and *quiet* for inserts that return no jobs."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Sequence
from typing import Any

import gaffer
from versus.errors import Missing
from versus.peer import Peer, Place, SyncPeer
from versus.peers.postgres import Look
from versus.record import Payload, run

__all__ = ["make"]


class GafferPeer(SyncPeer):
    """gaffer; a `Gaffer` that only inserts declares its queue when it is first used."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._client: gaffer.Queue | None = None
        self._look: Look | None = None
        self._options: dict[str, Any] = {}
        if self.settings.get("quiet"):
            if "returning" not in inspect.signature(gaffer.Gaffer.insert_many).parameters:
                raise Missing("this gaffer has no insert_many(returning=False)")
            self._options["returning"] = False

    def install(self) -> None:
        """Let the driver apply its migrations."""
        self._queue()

    def _queue(self) -> gaffer.Queue:
        if self._client is None:
            app = gaffer.Gaffer(self.place.url, work=False)
            self._client = app.ensure_queue(self.place.queues()[0])
        return self._client

    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Insert all by one call."""
        self._queue().insert_many(payloads, **self._options)

    def insert(self, payload: Payload) -> None:
        """Insert one."""
        self._queue().insert(payload)

    def work(self) -> None:
        """Work jobs, for ever."""
        app = gaffer.Gaffer(self.place.url)
        for name in self.place.queues():
            app.ensure_queue(
                name,
                worker=lambda job: run(job.payload),
                max_workers=self.settings["max_workers"],
            )
        app.start()
        threading.Event().wait()

    def unfinished(self) -> bool:
        """Tell whether a job is in no final state; finished ones are soon deleted."""
        if self._look is None:
            self._look = Look(
                self.place.url,
                "gaffer.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled')",
            )
        return self._look()


def make(place: Place) -> Peer:
    """Return gaffer at *place*."""
    return GafferPeer(place)
