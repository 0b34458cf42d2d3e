"""PgQueuer: *batch* is what it claims at once, *cap* how many jobs it holds at most."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager

from versus.peer import AsyncPeer, Peer, Place
from versus.peers.postgres import Look
from versus.record import Payload, run_async

__all__ = ["make"]


class PgQueuer(AsyncPeer):
    """PgQueuer on asyncpg, which is its first choice: one connection, or a pool for clients."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._look: Look | None = None

    def install(self) -> None:
        """Install the schema."""

        async def prepare() -> None:
            await (await self.open(1)).install()

        asyncio.run(prepare())

    async def open(self, connections: int) -> Any:
        """Connect; return its queries."""
        if connections == 1:
            return Queries(AsyncpgDriver(await asyncpg.connect(self.place.url)))
        pool = await asyncpg.create_pool(self.place.url, min_size=connections, max_size=connections)
        return Queries(AsyncpgPoolDriver(pool))

    async def insert_many(self, client: Any, payloads: Sequence[Payload]) -> None:
        """Enqueue all by one call."""
        texts = [json.dumps(payload).encode() for payload in payloads]
        await client.enqueue([self.place.queues()[0]] * len(texts), texts, [0] * len(texts))

    async def insert(self, client: Any, payload: Payload) -> None:
        """Enqueue one."""
        await client.enqueue(self.place.queues()[0], json.dumps(payload).encode())

    async def serve(self) -> None:
        """Work jobs, for ever."""

        async def job(job: Any) -> None:
            await run_async(json.loads(job.payload))

        manager = QueueManager(await self.open(1))
        for name in self.place.queues():
            manager.entrypoint(name)(job)
        await manager.run(
            batch_size=self.settings["batch"], max_concurrent_tasks=self.settings["cap"]
        )

    def unfinished(self) -> bool:
        """Tell whether a job is in the queue's table; finished ones are moved to the log."""
        if self._look is None:
            self._look = Look(self.place.url, "pgqueuer")
        return self._look()


def make(place: Place) -> Peer:
    """Return PgQueuer at *place*."""
    return PgQueuer(place)
