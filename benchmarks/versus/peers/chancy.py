"""Chancy: *executor* is ``Threaded`` or ``Async``, *concurrency* that of each queue.

Its queues poll eagerly: else a queue is looked at after an insert, and every 5 s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from chancy import Chancy, Job, Queue, Worker

from versus.peer import AsyncPeer, Peer, Place
from versus.peers.postgres import Look
from versus.record import Payload, run, run_async

__all__ = ["make"]


def thread_job(payload: Payload) -> None:
    """Be the job in a thread."""
    run(payload)


async def loop_job(payload: Payload) -> None:
    """Be the job on the event loop."""
    await run_async(payload)


class ChancyPeer(AsyncPeer):
    """Chancy with its default plugins."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._look: Look | None = None
        logging.getLogger("chancy").setLevel(logging.ERROR)

    def _app(self, connections: int = 10) -> Any:
        return Chancy(
            self.place.url,
            max_connection_pool_size=max(connections, 2),
            log=logging.getLogger("chancy"),
        )

    def _job(self, payload: Payload) -> Any:
        function = loop_job if self.settings.get("executor") == "Async" else thread_job
        return (
            Job.from_func(function).with_kwargs(payload=payload).with_queue(self.place.queues()[0])
        )

    def install(self) -> None:
        """Migrate."""

        async def prepare() -> None:
            async with self._app() as app:
                await app.migrate()

        asyncio.run(prepare())

    async def open(self, connections: int) -> Any:
        """Open the pool."""
        app = self._app(connections)
        await app.pool.open()
        return app

    async def insert_many(self, client: Any, payloads: Sequence[Payload]) -> None:
        """Push all by one call."""
        async for _ in client.push_many([self._job(payload) for payload in payloads]):
            pass

    async def insert(self, client: Any, payload: Payload) -> None:
        """Push one."""
        await client.push(self._job(payload))

    async def serve(self) -> None:
        """Work jobs, for ever."""
        executor = getattr(Chancy.Executor, self.settings["executor"])
        async with self._app() as app:
            for name in self.place.queues():
                queue = Queue(
                    name,
                    executor=executor,
                    concurrency=self.settings["concurrency"],
                    eager_polling=True,
                )
                await app.declare(queue, upsert=True)
            async with Worker(app, register_signal_handlers=False) as worker:
                await worker.wait_for_shutdown()

    def unfinished(self) -> bool:
        """Tell whether a job is in no final state."""
        if self._look is None:
            self._look = Look(
                self.place.url, "chancy_jobs WHERE state IN ('pending', 'running', 'retrying')"
            )
        return self._look()


def make(place: Place) -> Peer:
    """Return Chancy at *place*."""
    return ChancyPeer(place)
