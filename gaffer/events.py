"""What happened: frozen events, and the calling of hooks.

An event tells of a write that has been made. Hooks observe; nothing that they do, return or raise
changes what happened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias
from uuid import UUID

from gaffer.codec import shown
from gaffer.conf import QueueConf
from gaffer.job import Job

__all__ = [
    "Actor",
    "Event",
    "Hook",
    "JobCancelled",
    "JobCompleted",
    "JobDeleted",
    "JobFailed",
    "JobInserted",
    "JobLate",
    "JobReplaced",
    "JobRescued",
    "JobScheduled",
    "JobsClaimed",
    "QueueCreated",
    "QueueDeleted",
    "QueuePaused",
    "QueueResumed",
    "QueueStuck",
    "QueueUpdated",
    "RunnerFailed",
    "emit",
]

_log = logging.getLogger("gaffer.events")

Actor: TypeAlias = Literal["user", "worker", "runner", "pruner"]
"""Who caused it: a call of the API, a job's code, the queue's runner, or its pruner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events. ``path`` names the kind of event, ``actor`` who caused it."""

    path: ClassVar[tuple[str, ...]] = ("gaffer",)
    actor: Actor


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCreated(Event):
    """A queue was declared that this process did not have."""

    path = ("gaffer", "queue", "create")
    queue: str
    conf: QueueConf


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueUpdated(Event):
    """A queue's configuration was replaced.

    *updates* are the options given to `update_queue`, empty for ``source="ensure"``.
    """

    path = ("gaffer", "queue", "update")
    queue: str
    conf: QueueConf
    updates: Mapping[str, Any]
    source: Literal["update", "ensure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePaused(Event):
    """A queue was paused, in every process."""

    path = ("gaffer", "queue", "pause")
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueResumed(Event):
    """A queue was resumed, in every process."""

    path = ("gaffer", "queue", "resume")
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDeleted(Event):
    """A queue was deleted."""

    path = ("gaffer", "queue", "delete")
    queue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStuck(Event):
    """A queue stopped claiming: *abandoned* threads outlive their jobs' timeouts."""

    path = ("gaffer", "queue", "stuck")
    queue: str
    abandoned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerFailed(Event):
    """A queue's runner met an error, and goes on."""

    path = ("gaffer", "runner", "fail")
    queue: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsClaimed(Event):
    """Jobs began to execute, in this order. Never empty."""

    path = ("gaffer", "job", "claim")
    queue: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeleted(Event):
    """A job was deleted or pruned."""

    path = ("gaffer", "job", "delete")
    queue: str
    job_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobEvent(Event):
    job: Job

    @property
    def queue(self) -> str:
        """The name of the job's queue."""
        return self.job.queue


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInserted(_JobEvent):
    """A job was inserted by a user, or by forwarding (actor ``worker`` or ``runner``)."""

    path = ("gaffer", "job", "insert")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCompleted(_JobEvent):
    """A job completed."""

    path = ("gaffer", "job", "complete")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed(_JobEvent):
    """An attempt failed; the job's state says whether it is retried or failed for good."""

    path = ("gaffer", "job", "fail")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled(_JobEvent):
    """A job was cancelled, by a user or by its worker."""

    path = ("gaffer", "job", "cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScheduled(_JobEvent):
    """A job became available without a failure: by its worker, a shutdown (runner), a user."""

    path = ("gaffer", "job", "schedule")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReplaced(_JobEvent):
    """An available job has got another payload and other options: an insert had the same key."""

    path = ("gaffer", "job", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRescued(_JobEvent):
    """A job was taken from a silent node; a `JobFailed` with the same job follows."""

    path = ("gaffer", "job", "rescue")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLate(_JobEvent):
    """A result came too late and was dropped; *job* is as that attempt had claimed it."""

    path = ("gaffer", "job", "late")


class HookObject(Protocol):
    """An object (or a module) that observes events."""

    def gaffer_hook(self, event: Event, /) -> object:
        """Observe *event*."""
        ...


Hook: TypeAlias = Callable[[Event], object] | HookObject


def emit(hooks: Iterable[Hook], event: Event) -> None:
    """Call each of *hooks* with *event*, in order; log what they raise, `SystemExit` included."""
    for hook in hooks:
        try:
            observe: Any = getattr(hook, "gaffer_hook", hook)
            observe(event)
        except BaseException:
            _log.warning("hook %s failed on %s", shown(hook), event.path, exc_info=True)
