"""What each library has to offer, and how it is driven: by threads, or on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from versus.record import Payload

__all__ = ["WARM", "AsyncPeer", "Peer", "Place", "SyncPeer", "shares"]

QUEUE = "bench"
WARM = 20
"""Inserts of each client before the clock starts: connections, prepared statements, caches."""


@dataclass(frozen=True)
class Place:
    """Where a peer keeps its jobs, and the settings of its profile."""

    url: str
    settings: dict[str, Any] = field(default_factory=dict)

    def queues(self) -> list[str]:
        """Return the names of the queues that a worker serves; jobs go to the first."""
        return [QUEUE, *(f"{QUEUE}{n}" for n in range(1, self.settings.get("queues", 1)))]


class Peer(ABC):
    """A library on its storage, in one process; every insert is one call of its API."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.settings = place.settings

    @abstractmethod
    def install(self) -> None:
        """Make what the library needs, on empty storage."""

    @abstractmethod
    def bulk(self, batches: Sequence[Sequence[Payload]]) -> Iterator[float]:
        """Insert each batch by one call; yield the instant of the return of each call."""

    @abstractmethod
    def each(self, payloads: Sequence[Payload], clients: int) -> float:
        """Insert each by a call of its own, *clients* at a time; return the seconds it took."""

    @abstractmethod
    def paced(self, payloads: Sequence[Payload], gap: float) -> list[float]:
        """Insert one after the other, *gap* seconds apart; return the instants of the returns."""

    @abstractmethod
    def work(self) -> None:
        """Work jobs, for ever."""

    @abstractmethod
    def unfinished(self) -> bool:
        """Tell whether the storage has a job that is not recorded as finished."""


class SyncPeer(Peer):
    """A library whose calls block."""

    @abstractmethod
    def insert_many(self, payloads: Sequence[Payload]) -> None:
        """Insert all by one call."""

    @abstractmethod
    def insert(self, payload: Payload) -> None:
        """Insert one; any thread may call."""

    def bulk(self, batches: Sequence[Sequence[Payload]]) -> Iterator[float]:
        """Insert each batch by one call; yield the instant of the return of each call."""
        for batch in batches:
            self.insert_many(batch)
            yield time.monotonic()

    def each(self, payloads: Sequence[Payload], clients: int) -> float:
        """Insert each by a call of its own, from *clients* threads, all connected before."""
        began: list[float] = []
        ended: list[float] = []
        warm = threading.Barrier(clients, lambda: began.append(time.monotonic()), timeout=60)

        def client(share: Sequence[Payload]) -> None:
            for payload in share[:WARM]:
                self.insert(payload)
            warm.wait()
            for payload in share[WARM:]:
                self.insert(payload)
            ended.append(time.monotonic())

        threads = [
            threading.Thread(target=client, args=[share], daemon=True)
            for share in shares(payloads, clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if len(ended) < clients:
            raise RuntimeError("a client failed")
        return max(ended) - began[0]

    def paced(self, payloads: Sequence[Payload], gap: float) -> list[float]:
        """Insert one after the other, *gap* seconds apart; return the instants of the returns."""
        returned = []
        for payload in payloads:
            self.insert(payload)
            returned.append(time.monotonic())
            time.sleep(gap)
        return returned


class AsyncPeer(Peer):
    """A library whose calls are awaited; each use has an event loop of its own."""

    @abstractmethod
    async def open(self, connections: int) -> Any:
        """Connect; return the client that the calls below take."""

    @abstractmethod
    async def insert_many(self, client: Any, payloads: Sequence[Payload]) -> None:
        """Insert all by one call."""

    @abstractmethod
    async def insert(self, client: Any, payload: Payload) -> None:
        """Insert one; several may be under way at once."""

    @abstractmethod
    async def serve(self) -> None:
        """Work jobs, for ever."""

    def bulk(self, batches: Sequence[Sequence[Payload]]) -> Iterator[float]:
        """Insert each batch by one call; yield the instant of the return of each call."""
        with asyncio.Runner() as runner:
            client = runner.run(self.open(1))
            for batch in batches:
                runner.run(self.insert_many(client, batch))
                yield time.monotonic()

    def each(self, payloads: Sequence[Payload], clients: int) -> float:
        """Insert each by a call of its own, from *clients* tasks, all connected before."""

        async def insert_all(client: Any, share: Sequence[Payload]) -> None:
            for payload in share:
                await self.insert(client, payload)

        async def together(client: Any, part: slice) -> float:
            began = time.monotonic()
            await asyncio.gather(
                *(insert_all(client, share[part]) for share in shares(payloads, clients))
            )
            return time.monotonic() - began

        async def measure() -> float:
            client = await self.open(clients)
            await together(client, slice(WARM))
            return await together(client, slice(WARM, None))

        return asyncio.run(measure())

    def paced(self, payloads: Sequence[Payload], gap: float) -> list[float]:
        """Insert one after the other, *gap* seconds apart; return the instants of the returns."""

        async def measure() -> list[float]:
            client, returned = await self.open(1), []
            for payload in payloads:
                await self.insert(client, payload)
                returned.append(time.monotonic())
                await asyncio.sleep(gap)
            return returned

        return asyncio.run(measure())

    def work(self) -> None:
        """Work jobs, for ever."""
        asyncio.run(self.serve())


def shares(payloads: Sequence[Payload], clients: int) -> list[Sequence[Payload]]:
    """Deal *payloads* out to *clients*, evenly."""
    return [payloads[number::clients] for number in range(clients)]
