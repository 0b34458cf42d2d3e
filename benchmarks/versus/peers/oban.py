"""Oban for Python: *limit* is that of each queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import oban
import psycopg
from oban.schema import install_sql

from versus.peer import AsyncPeer, Peer, Place
from versus.peers.postgres import Look
from versus.record import Payload, run_async

__all__ = ["make"]


async def bench_job(payload: Payload) -> None:
    """Be the job."""
    await run_async(payload)


JOB: Any = oban.job(queue="bench")(bench_job)


class ObanPeer(AsyncPeer):
    """Oban, on the pool that it makes."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._look: Look | None = None

    def install(self) -> None:
        """Install the schema."""
        with psycopg.connect(self.place.url, autocommit=True) as connection:
            connection.execute(install_sql())

    async def open(self, connections: int) -> Any:
        """Make a client: an instance without queues."""
        pool = await oban.Oban.create_pool(
            self.place.url, min_size=connections, max_size=max(connections, 10)
        )
        return oban.Oban(pool=pool)

    async def insert_many(self, client: Any, payloads: Sequence[Payload]) -> None:
        """Enqueue all by one call."""
        await client.enqueue_many([JOB.new(payload) for payload in payloads])

    async def insert(self, client: Any, payload: Payload) -> None:
        """Enqueue one."""
        await client.enqueue(JOB.new(payload))

    async def serve(self) -> None:
        """Work jobs, for ever."""
        pool = await oban.Oban.create_pool(self.place.url)
        queues = dict.fromkeys(self.place.queues(), self.settings["limit"])
        async with oban.Oban(pool=pool, queues=queues):
            await asyncio.Event().wait()

    def unfinished(self) -> bool:
        """Tell whether a job is in no final state."""
        if self._look is None:
            self._look = Look(
                self.place.url,
                "oban_jobs WHERE state NOT IN ('completed', 'discarded', 'cancelled')",
            )
        return self._look()


def make(place: Place) -> Peer:
    """Return Oban at *place*."""
    return ObanPeer(place)
