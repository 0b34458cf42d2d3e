"""procrastinate: *concurrency*, *coroutine* for an async task, *delete* as `delete_jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import procrastinate

from versus.peer import AsyncPeer, Peer, Place
from versus.peers.postgres import Look
from versus.record import Payload, run, run_async

__all__ = ["make"]


class Procrastinate(AsyncPeer):
    """procrastinate, on its connector for psycopg, whose pool has the size that is its default."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._look: Look | None = None

    def _app(self) -> tuple[Any, Any]:
        connector = procrastinate.PsycopgConnector(conninfo=self.place.url)
        app = procrastinate.App(connector=connector)
        job = run_async if self.settings.get("coroutine") else run
        return app, app.task(name="job", queue=self.place.queues()[0])(job)

    def install(self) -> None:
        """Apply the schema."""
        connector = procrastinate.SyncPsycopgConnector(conninfo=self.place.url)
        with procrastinate.App(connector=connector).open() as app:
            app.schema_manager.apply_schema()

    async def open(self, connections: int) -> Any:
        """Open the pool; return the task, which is what inserts."""
        app, task = self._app()
        await app.open_async()
        return task

    async def insert_many(self, client: Any, payloads: Sequence[Payload]) -> None:
        """Defer all by one call."""
        await client.batch_defer_async(*({"payload": payload} for payload in payloads))

    async def insert(self, client: Any, payload: Payload) -> None:
        """Defer one."""
        await client.defer_async(payload=payload)

    async def serve(self) -> None:
        """Work jobs, for ever."""
        app, _ = self._app()
        async with app.open_async():
            await app.run_worker_async(
                queues=self.place.queues(),
                concurrency=self.settings["concurrency"],
                delete_jobs=self.settings["delete"],
                install_signal_handlers=False,
            )

    def unfinished(self) -> bool:
        """Tell whether a job is to do, or being done."""
        if self._look is None:
            self._look = Look(
                self.place.url, "procrastinate_jobs WHERE status IN ('todo', 'doing')"
            )
        return self._look()


def make(place: Place) -> Peer:
    """Return procrastinate at *place*."""
    return Procrastinate(place)
