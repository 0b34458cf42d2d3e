"""Whether a process lives and is ready, as values for probes, and how that is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["DriverHealth", "Finding", "Health", "QueueHealth", "StorageHealth", "judged"]

_TURN = 60.0
"""Seconds within which a runner comes round: it waits ten at most, and each call has a deadline."""
_BEAT = 60.0
_OVERDUE = 5.0
_OLD_TRANSACTION = 300.0
_DEAD_ROWS = 100_000
_CLOCK = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong, or worth knowing.

    *severity*: ``"error"`` if jobs do not run or may be lost, ``"warning"`` if they will not run
    well, ``"info"`` if nothing need be done. *code* names the kind of finding, *text* says what was
    found, *remedy* what to do; *facts* are plain values.
    """

    severity: Literal["error", "warning", "info"]
    code: str
    text: str
    remedy: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverHealth:
    """What a storage says of itself; `None` for what it does not tell.

    *connections*: those that this process has open; *listening*: whether it hears of jobs at once;
    *clock_offset*: seconds by which the storage's clock is ahead of this machine's;
    *oldest_transaction*: seconds since the oldest transaction began that keeps dead rows from being
    removed; *rows*, *dead_rows*: of the jobs, as the storage estimates.
    """

    connections: int | None = None
    listening: bool | None = None
    clock_offset: float | None = None
    oldest_transaction: float | None = None
    rows: int | None = None
    dead_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageHealth:
    """A storage, as seen from this process. Ages are seconds; `None`: not yet, or not so.

    *node*: the id under which this process claims there; *beat*: since the last sign of life that
    arrived; *tried*: since the last that was tried, which happens every *interval*; *outage*: since
    when it does not answer; *error*: what it said last, while it does not; *server*: what it says
    of itself, `None` if it was not asked or did not answer.
    """

    driver: str
    node: str | None
    interval: float
    beat: float | None
    tried: float | None
    outage: float | None
    error: str | None
    server: DriverHealth | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHealth:
    """A queue, as seen from this process. Ages are seconds; `None`: not yet, or not so.

    *working*: whether a thread of this process works it; *turn*: since that thread last came round;
    *claim*, *settle*: since storage last answered a claim, and took an outcome; *outage*: since
    when it answers neither; *unwritten*: outcomes that wait to be written; *active*, *abandoned*,
    *stuck*: as in `QueueInfo`; *overdue*: how long an attempt that should have ended is past its
    time.
    """

    working: bool
    turn: float | None
    claim: float | None
    settle: float | None
    outage: float | None
    unwritten: int
    active: int
    abandoned: int
    stuck: bool
    overdue: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether this process lives, and is ready.

    *live* is false when only a new process helps: a thread of gaffer hangs. *ready* is false also
    while a storage does not answer, a queue is stuck, or the process stops: what runs goes on, and
    a restart would help nobody. *problems* says why, *warnings* what is worth a look and no reason.
    `dataclasses.asdict` makes it JSON.
    """

    live: bool
    ready: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    queues: Mapping[str, QueueHealth]
    storages: tuple[StorageHealth, ...]


def judged(
    queues: Mapping[str, QueueHealth], storages: Sequence[StorageHealth], *, stopped: bool
) -> Health:
    """Return what queues and storages amount to."""
    deadly = [text for name, queue in queues.items() for text in _hung(name, queue)]
    deadly += [text for storage in storages for text in _silent(storage)]
    grave = ["this Gaffer stops, or has stopped"] if stopped else []
    grave += [text for name, queue in queues.items() for text in _hindered(name, queue)]
    grave += [text for storage in storages for text in _away(storage)]
    return Health(
        live=not deadly,
        ready=not deadly and not grave,
        problems=(*deadly, *grave),
        warnings=tuple(text for storage in storages for text in _dubious(storage)),
        queues=dict(queues),
        storages=tuple(storages),
    )


def _hung(name: str, queue: QueueHealth) -> Iterator[str]:
    if queue.working and queue.turn is not None and queue.turn > _TURN:
        yield f"queue {name!r}: its runner hangs for {queue.turn:.0f} s; in a hook?"
    if queue.overdue is not None and queue.overdue > _OVERDUE:
        yield f"queue {name!r}: an attempt is {queue.overdue:.0f} s past its timeout"


def _silent(storage: StorageHealth) -> Iterator[str]:
    if storage.tried is not None and storage.tried > storage.interval + _BEAT:
        yield f"{storage.driver}: no beat was tried for {storage.tried:.0f} s"


def _hindered(name: str, queue: QueueHealth) -> Iterator[str]:
    if queue.stuck:
        yield f"queue {name!r} is stuck: {queue.abandoned} threads outlive their jobs"
    if queue.outage is not None:
        yield f"queue {name!r}: storage takes no claim or outcome for {queue.outage:.1f} s"


def _away(storage: StorageHealth) -> Iterator[str]:
    if storage.outage is not None or storage.error is not None:
        since = "" if storage.outage is None else f" for {storage.outage:.1f} s"
        yield f"{storage.driver}: no answer{since}: {storage.error}"


def _dubious(storage: StorageHealth) -> Iterator[str]:
    name, server = storage.driver, storage.server or DriverHealth()
    if server.oldest_transaction is not None and server.oldest_transaction > _OLD_TRANSACTION:
        yield f"{name}: a transaction is open for {server.oldest_transaction:.0f} s; claims slow"
    if server.dead_rows is not None and server.dead_rows > max(_DEAD_ROWS, server.rows or 0):
        yield f"{name}: {server.dead_rows} dead rows beside {server.rows} jobs; is vacuum held up?"
    if server.clock_offset is not None and abs(server.clock_offset) > _CLOCK:
        yield f"{name}: its clock differs from this machine's by {server.clock_offset:.0f} s"
    if server.listening is False:
        yield f"{name}: not listening; jobs of other processes are found by polling"
