"""Every exception of gaffer.

GafferError
├─ InvalidQueueConf(ValueError)     an option of a queue is unknown or out of range
├─ InvalidJob(ValueError)           an option of a job is unknown or out of range
├─ InvalidPayload(ValueError)       a value that JSON cannot keep, and where in it
├─ InvalidTask(TypeError)           a function that cannot be a task
├─ InvalidArguments(TypeError)      arguments that a task's function does not take
├─ UnknownQueue(LookupError)        this process has no queue of that name
├─ UnknownJob(LookupError)          the queue has no job of that id
├─ JobExists                        another job holds the key
├─ QueueExists · QueueHasJobs       the queue is there, or is not empty
├─ AlreadyPaused · AlreadyActive    pause or resume that would change nothing
├─ InvalidTransition                the job's state does not allow it
├─ AlreadyForwarded                 the job lives on in another queue
├─ DrainTimeout(TimeoutError)       jobs still run here
├─ FlushTimeout(TimeoutError)       jobs are still available or executing
├─ ResultError                      a job that is waited for gives no result
│  ├─ ResultFailed                  it failed for good
│  ├─ ResultCancelled               it was cancelled
│  └─ ResultGone(LookupError)       it was deleted or pruned before its result was read
├─ ResultTimeout(TimeoutError)      a job that is waited for has not ended
├─ Stopped                          the Gaffer was stopped
└─ DriverError
   ├─ UnknownDriver(LookupError)    no installed driver has that name
   ├─ InvalidDriver(TypeError)      something that is no driver, or one name for two
   ├─ Conflict · KeyHeld            what a write was computed from, or a key, is not there any more
   ├─ DriverUnavailable             the storage does not answer; try again later
   └─ MigrationMismatch             the stored schema is not the one that is expected

BaseException
└─ JobTimeout                       raised inside a job's thread, with ``interrupt=True`` only
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from gaffer.job import Job, JobError

__all__ = [
    "AlreadyActive",
    "AlreadyForwarded",
    "AlreadyPaused",
    "Conflict",
    "DrainTimeout",
    "DriverError",
    "DriverUnavailable",
    "FlushTimeout",
    "GafferError",
    "InvalidArguments",
    "InvalidDriver",
    "InvalidJob",
    "InvalidPayload",
    "InvalidQueueConf",
    "InvalidTask",
    "InvalidTransition",
    "JobExists",
    "JobTimeout",
    "KeyHeld",
    "MigrationMismatch",
    "QueueExists",
    "QueueHasJobs",
    "ResultCancelled",
    "ResultError",
    "ResultFailed",
    "ResultGone",
    "ResultTimeout",
    "Stopped",
    "UnknownDriver",
    "UnknownJob",
    "UnknownQueue",
]


class GafferError(Exception):
    """The root of all that gaffer raises."""


class InvalidQueueConf(GafferError, ValueError):
    """An option of a queue is unknown, missing or out of range.

    ``keys`` are exactly the options at fault.
    """

    def __init__(self, reason: str, *, keys: Iterable[str] = ()) -> None:
        self.keys = frozenset(keys)
        super().__init__(reason)


class InvalidJob(GafferError, ValueError):
    """An option of a job is unknown or out of range. ``keys`` are exactly the options at fault."""

    def __init__(self, reason: str, *, keys: Iterable[str] = ()) -> None:
        self.keys = frozenset(keys)
        super().__init__(reason)


class InvalidPayload(GafferError, ValueError):
    """A value that cannot be kept as JSON and read back equal.

    ``path`` says where in the value it is (``"payload.items[3].name"``), ``reason`` what it is.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"{path}: {reason}")


class InvalidTask(GafferError, TypeError):
    """A function that cannot be a task, or a name that another task of the queue has.

    ``task`` is its name, ``reason`` names the parameter at fault, if it is one.
    """

    def __init__(self, task: str, reason: str) -> None:
        self.task, self.reason = task, reason
        super().__init__(f"task {task!r}: {reason}")


class InvalidArguments(GafferError, TypeError):
    """Arguments that a task's function does not take, or a payload that holds none.

    ``task`` is the task's name, ``reason`` names the argument and says what is wrong with it.
    """

    def __init__(self, task: str, reason: str) -> None:
        self.task, self.reason = task, reason
        super().__init__(f"task {task!r}: {reason}")


class UnknownQueue(GafferError, LookupError):
    """This process has declared no queue of that name."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(f"no queue {queue!r} here; declare it first with ensure_queue({queue!r})")


class UnknownJob(GafferError, LookupError):
    """The queue has no job of that id: never inserted, deleted, pruned, or of another queue."""

    def __init__(self, queue: str, id: UUID) -> None:
        self.queue, self.id = queue, id
        super().__init__(f"queue {queue!r} has no job {id}")


class JobExists(GafferError):
    """Another job holds the key that a job was to be inserted with; nothing was inserted.

    ``unique`` is the key, ``id`` the job that holds it, and ``job`` that job as it is; `None` if
    it has been pruned, while its period lasts.
    """

    def __init__(self, queue: str, unique: str, holder: Job | UUID) -> None:
        self.queue, self.unique = queue, unique
        self.job = None if isinstance(holder, UUID) else holder
        self.id = holder if isinstance(holder, UUID) else holder.id
        state = "pruned" if self.job is None else self.job.state.value
        super().__init__(f"queue {queue!r}: job {self.id} ({state}) holds the key {unique!r}")


class QueueExists(GafferError):
    """This process has a queue of that name; its configuration stays as it is."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(
            f"queue {queue!r} exists here; use ensure_queue or update_queue to change it"
        )


class QueueHasJobs(GafferError):
    """The queue holds jobs, in whatever state, and was not deleted."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(
            f"queue {queue!r} still holds jobs; "
            f"delete_queue({queue!r}, driver=...) deletes them too"
        )


class AlreadyPaused(GafferError):
    """The queue is paused."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(f"queue {queue!r} is paused already")


class AlreadyActive(GafferError):
    """The queue is not paused."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        super().__init__(f"queue {queue!r} is not paused")


class InvalidTransition(GafferError):
    """A job cannot go from the state ``from_`` to the state ``to``."""

    def __init__(self, id: UUID, from_: str, to: str) -> None:
        self.id, self.from_, self.to = id, from_, to
        super().__init__(f"job {id} is {from_!s} and cannot become {to!s}")


class AlreadyForwarded(GafferError):
    """A job that is to be tried again lives on in the queue that it was forwarded to.

    ``copy`` is the id of the job that it became in the queue ``target``.
    """

    def __init__(self, id: UUID, target: str, copy: UUID) -> None:
        self.id, self.target, self.copy = id, target, copy
        super().__init__(
            f"job {id} was forwarded and became job {copy} of queue {target!r}: if that waits, "
            f"redrive({target!r}) sends it back; if that was sent back, this one has run again"
        )


class DrainTimeout(GafferError, TimeoutError):
    """Jobs of the queue still run in this process. ``ids`` are theirs."""

    def __init__(self, queue: str, ids: Collection[UUID], timeout: float | None) -> None:
        self.queue = queue
        self.ids = tuple(ids)
        self.timeout = timeout
        super().__init__(
            f"queue {queue!r}: {len(self.ids)} still running after {timeout} s: "
            + ", ".join(map(str, self.ids))
        )


class FlushTimeout(GafferError, TimeoutError):
    """The queue still has jobs to do.

    ``available`` and ``executing`` are their numbers, ``paused`` says whether the queue is paused.
    """

    def __init__(
        self, queue: str, timeout: float | None, *, available: int, executing: int, paused: bool
    ) -> None:
        self.queue, self.timeout, self.available, self.executing = (
            queue,
            timeout,
            available,
            executing,
        )
        self.paused = paused
        super().__init__(
            f"queue {queue!r} after {timeout} s: {available} available (waiting for a worker, a "
            f"retry or their time), {executing} executing" + (", and it is paused" * paused)
        )


class ResultError(GafferError):
    """A job that is waited for gives no result.

    ``queue`` and ``id`` are the job's. ``job`` is the job as it ended, `None` if that is not known,
    and ``errors`` are its failed attempts, newest first. Raised as it is if the result is not what
    the task's function says that it returns.
    """

    def __init__(self, reason: str, *, queue: str, id: UUID, job: Job | None = None) -> None:
        self.queue, self.id, self.job = queue, id, job
        super().__init__(reason)

    @property
    def errors(self) -> tuple[JobError, ...]:
        """The failed attempts of the job, newest first."""
        return () if self.job is None else self.job.errors


class ResultFailed(ResultError):
    """The job that is waited for has failed for good: no attempt is left."""

    def __init__(self, job: Job, error: str) -> None:
        tries = f"failed in attempt {job.attempt} of {job.max_attempts}"
        reason = f"job {job.id} of queue {job.queue!r} {tries}: {error}"
        super().__init__(reason, queue=job.queue, id=job.id, job=job)


class ResultCancelled(ResultError):
    """The job that is waited for was cancelled, by a user or by its worker."""

    def __init__(self, job: Job, reason: str) -> None:
        what = f"job {job.id} of queue {job.queue!r} was cancelled; reason: {reason}"
        super().__init__(what, queue=job.queue, id=job.id, job=job)


class ResultGone(ResultError, LookupError):
    """There is no such job: it was deleted, or pruned before anybody here could read its result.

    Or it was never stored, because a transaction was rolled back or is not committed yet.
    """

    def __init__(self, queue: str, id: UUID) -> None:
        super().__init__(
            f"queue {queue!r} has no job {id}: deleted, pruned before its result was read, or not "
            "committed. Have all processes keep what has ended for longer than anybody needs to "
            "read it: prune={'max_age': {'completed': 60, 'failed': 60, 'cancelled': 60}}",
            queue=queue,
            id=id,
        )


class ResultTimeout(GafferError, TimeoutError):
    """The job that is waited for has not ended; it goes on.

    With ``itself`` true nobody has waited: the job can end only after whoever asks, which is
    the job itself, one of its chain or its queue, or a hook or callback in the thread that would
    have to tell the result.
    """

    def __init__(
        self, queue: str, id: UUID, timeout: float | None, *, itself: bool = False
    ) -> None:
        self.queue, self.id, self.timeout, self.itself = queue, id, timeout, itself
        super().__init__(
            f"job {id} of queue {queue!r} can end only after whoever waits for it here"
            if itself
            else f"job {id} of queue {queue!r} has not ended after {timeout} s"
        )


class Stopped(GafferError):
    """The Gaffer was stopped, or is stopping; ``start()`` begins anew, with no queues."""


class DriverError(GafferError):
    """The root of what goes wrong in or around a driver."""


class UnknownDriver(DriverError, LookupError):
    """No installed distribution offers a driver of that name."""

    def __init__(self, name: str, installed: Collection[str]) -> None:
        self.name = name
        self.installed = tuple(sorted(installed))
        super().__init__(
            f"no driver {name!r}; installed: {', '.join(self.installed) or 'none'}; "
            f"try: pip install gaffer-driver-{name}"
        )


class InvalidDriver(DriverError, TypeError):
    """A driver argument that is none, or a name that two distributions claim."""


class Conflict(DriverError):
    """A write was refused as a whole: storage does not hold what it was computed from.

    ``ids`` are the jobs at fault: inserted although the id is taken, or replaced although the
    stored revision is not the one before theirs, or the job is gone.
    """

    def __init__(self, ids: Iterable[UUID]) -> None:
        self.ids = frozenset(ids)
        super().__init__(
            "the id is taken, or storage holds another revision, or none, of "
            + ", ".join(sorted(map(str, self.ids)))
            + "; nothing was written"
        )


class KeyHeld(DriverError):
    """A write was refused as a whole: other jobs hold the keys that some of its jobs need.

    ``holders`` has for the id of each the job that holds its key; or its id, if it was pruned.
    """

    def __init__(self, holders: Mapping[UUID, Job | UUID]) -> None:
        self.holders = dict(holders)
        ids = ", ".join(sorted(map(str, self.holders)))
        super().__init__(f"other jobs hold the keys of {ids}; nothing was written")


class DriverUnavailable(DriverError):
    """The storage does not answer. What was asked may or may not have happened; try again later."""


class MigrationMismatch(DriverError):
    """A stored migration is not the one that this release carries."""

    def __init__(self, version: int, stored: str, expected: str) -> None:
        self.version, self.stored, self.expected = version, stored, expected
        super().__init__(
            f"migration {version}: storage has checksum {stored}, this release expects {expected}"
        )


class JobTimeout(BaseException):
    """Raised inside a job's thread when its time is up and its queue has ``interrupt=True``.

    A `BaseException`, so that a job's ``except Exception`` does not swallow it.
    """
