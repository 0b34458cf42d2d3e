"""What a queue looks like from here and now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

__all__ = ["QueueInfo", "Redriven", "WorkersInfo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersInfo:
    """The workers of a queue.

    *active*: jobs that run in this process; *abandoned*: threads here that outlive their job's
    timeout; *late*: results that came too late here and were dropped, since the queue was declared;
    *max_local*, *max_global*: the limits, `None` for none.
    """

    active: int
    abandoned: int
    late: int
    max_local: int | None
    max_global: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueInfo:
    """The state of a queue.

    *status* is ``"paused"`` while it is paused everywhere or drained here, ``"stuck"`` while it
    claims nothing because too many threads were abandoned here, else ``"active"``.
    """

    status: Literal["active", "paused", "stuck"]
    workers: WorkersInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What `redrive` came to.

    *sent*: how many jobs went back; *left*: for each job that stays, why.
    """

    sent: int
    left: Mapping[UUID, str]
