"""`Queue`: a handle on one queue, so that its name need not be repeated."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload
from uuid import UUID

from gaffer.conf import Duration, JobOptions, NewJob, OnConflict, QueueConf
from gaffer.diagnosis import Why
from gaffer.futures import ResultFuture
from gaffer.hand import Claiming
from gaffer.info import QueueInfo, Redriven
from gaffer.job import JSON, Job, JobState, StateStats

if TYPE_CHECKING:
    from gaffer.instance import Gaffer

__all__ = ["RAISE", "Queue"]

T = TypeVar("T")

RAISE: Any = object()
"""No default: `get` raises."""


class Queue:
    """One queue of a `Gaffer`. Each method is that of the `Gaffer`, with the name filled in."""

    __slots__ = ("_gaffer", "name")

    def __init__(self, gaffer: Gaffer, name: str) -> None:
        self._gaffer = gaffer
        self.name = name

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    @property
    def conf(self) -> QueueConf:
        """The configuration; see `Gaffer.get_queue`."""
        return self._gaffer.get_queue(self.name)

    def update(self, **changes: Any) -> QueueConf:
        """Change some options; see `Gaffer.update_queue`."""
        return self._gaffer.update_queue(self.name, **changes)

    def insert(
        self,
        payload: JSON,
        *,
        connection: Any = None,
        on_conflict: OnConflict = "return",
        **options: Unpack[JobOptions],
    ) -> Job:
        """Insert a job; see `Gaffer.insert`."""
        return self._gaffer.insert(
            self.name, payload, connection=connection, on_conflict=on_conflict, **options
        )

    def submit(self, payload: JSON, **options: Unpack[JobOptions]) -> ResultFuture[JSON]:
        """Insert a job; return the future of its result; see `Gaffer.submit`."""
        return self._gaffer.submit(self.name, payload, **options)

    def future(self, job: Job | UUID) -> ResultFuture[JSON]:
        """Return the future of a job's result; see `Gaffer.future`."""
        return self._gaffer.future(self.name, job)

    def result(self, job: Job | UUID, timeout: Duration | None = None) -> JSON:
        """Wait for a job's result; see `Gaffer.result`."""
        return self._gaffer.result(self.name, job, timeout)

    @overload
    def insert_many(
        self,
        payloads: Iterable[JSON | NewJob],
        *,
        connection: Any = None,
        on_conflict: OnConflict = "return",
        returning: Literal[True] = True,
        **options: Unpack[JobOptions],
    ) -> builtins.list[Job]: ...
    @overload
    def insert_many(
        self,
        payloads: Iterable[JSON | NewJob],
        *,
        connection: Any = None,
        on_conflict: OnConflict = "return",
        returning: Literal[False],
        **options: Unpack[JobOptions],
    ) -> int: ...
    def insert_many(self, payloads: Iterable[JSON | NewJob], **options: Any) -> Any:
        """Insert many jobs; see `Gaffer.insert_many`."""
        return self._gaffer.insert_many(self.name, payloads, **options)

    @overload
    def get(self, id: UUID) -> Job: ...
    @overload
    def get(self, id: UUID, default: T) -> Job | T: ...
    def get(self, id: UUID, default: Any = RAISE) -> Any:
        """Return a job; see `Gaffer.get`."""
        return self._gaffer.get(self.name, id, default)

    def list(
        self,
        *,
        state: str | Iterable[str] | None = None,
        limit: int | None = None,
        after: Job | UUID | None = None,
    ) -> builtins.list[Job]:
        """Return jobs; see `Gaffer.list`."""
        return self._gaffer.list(self.name, state=state, limit=limit, after=after)

    def cancel(self, id: UUID) -> Job:
        """Cancel an available job; see `Gaffer.cancel`."""
        return self._gaffer.cancel(self.name, id)

    def retry(self, id: UUID) -> Job:
        """Make a failed or cancelled job available again; see `Gaffer.retry`."""
        return self._gaffer.retry(self.name, id)

    def redrive(self, *, rate: float | None = None, limit: int | None = None) -> Redriven:
        """Send forwarded jobs back where they came from; see `Gaffer.redrive`."""
        return self._gaffer.redrive(self.name, rate=rate, limit=limit)

    def why(self, id: UUID) -> Why:
        """Return why a job is not running; see `Gaffer.why`."""
        return self._gaffer.why(self.name, id)

    def delete(self, id: UUID) -> None:
        """Delete a job; see `Gaffer.delete`."""
        self._gaffer.delete(self.name, id)

    def prune(self) -> builtins.list[UUID]:
        """Delete old jobs now; see `Gaffer.prune`."""
        return self._gaffer.prune(self.name)

    def claim(self) -> Claiming:
        """Return a block for one job claimed by hand; see `Gaffer.claim`."""
        return self._gaffer.claim(self.name)

    def pause(self) -> None:
        """Pause the queue everywhere; see `Gaffer.pause`."""
        self._gaffer.pause(self.name)

    def resume(self) -> None:
        """Resume the queue everywhere; see `Gaffer.resume`."""
        self._gaffer.resume(self.name)

    def drain(self, timeout: Duration | None = 5.0) -> None:
        """Stop claiming here and wait for what runs; see `Gaffer.drain`."""
        self._gaffer.drain(self.name, timeout)

    def flush(self, timeout: Duration | None = None) -> None:
        """Wait until there is nothing left to do; see `Gaffer.flush`."""
        self._gaffer.flush(self.name, timeout)

    def poll(self) -> int:
        """Claim and run what is free; see `Gaffer.poll`."""
        return self._gaffer.poll(self.name)

    def info(self) -> QueueInfo:
        """Return status and workers; see `Gaffer.info`."""
        return self._gaffer.info(self.name)

    def stats(self) -> Mapping[JobState, StateStats]:
        """Return numbers and ages by state; see `Gaffer.stats`."""
        return self._gaffer.stats(self.name)
