"""Tasks: functions whose calls become jobs. A thin layer over a queue, a kind and a payload.

A job's kind is the name of its task, its payload the arguments by their names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import update_wrapper
from types import FunctionType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
)
from uuid import UUID

from gaffer import checks
from gaffer.checks import listed
from gaffer.conf import (
    Duration,
    JobOptions,
    NewJob,
    OnConflict,
    check_job,
    check_name,
    check_on_conflict,
    check_worker,
)
from gaffer.errors import InvalidJob, InvalidTask
from gaffer.execution import work
from gaffer.futures import ResultFuture
from gaffer.job import Exponential, Job, Worker
from gaffer.parameters import Parameters

if TYPE_CHECKING:
    from gaffer.instance import Gaffer

__all__ = ["CallOptions", "Declares", "Known", "Task", "TaskOptions", "Tasks"]

P = ParamSpec("P")
R = TypeVar("R")


class TaskOptions(TypedDict, total=False):
    """The options of a task: those of its jobs, unless the call has others."""

    chain: str | None
    priority: int | None
    max_attempts: int | None
    timeout: Duration | None
    backoff: Duration | Sequence[Duration] | Exponential | None
    shutdown_timeout: Duration | None
    delay: Duration | None


class CallOptions(TaskOptions, total=False):
    """The options of one job of a task."""

    id: UUID | None
    scheduled_at: datetime | None
    unique: str | None
    unique_for: Duration | None


class Task(Generic[P, R]):
    """A function and the queue that works its calls; made by `Gaffer.task`.

    Called, it is the function. As a worker it works the jobs that its `insert` makes.
    """

    def __init__(
        self,
        function: Callable[P, R],
        gaffer: Gaffer,
        queue: str,
        name: str,
        options: TaskOptions,
    ) -> None:
        update_wrapper(self, function)  # first: attributes of the function come along
        self.function = function
        self.queue = queue
        self.name = name
        self._gaffer = gaffer
        self._parameters = Parameters(name, function)
        self._options = cast(JobOptions, {**_checked(options, TaskOptions), "kind": name})
        self._connection: Any = None
        self._on_conflict: OnConflict | None = None

    def __repr__(self) -> str:
        return f"<task {self.name!r} of {self.queue!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, here and now."""
        return self.function(*args, **kwargs)

    def insert(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Insert a job that calls the function with these arguments; return it.

        Raise `InvalidArguments` if the function does not take them; else as `Gaffer.insert`.
        """
        payload = self._parameters.write(args, kwargs)
        return self._gaffer.insert(
            self.queue,
            payload,
            connection=self._connection,
            on_conflict=self._on_conflict or "return",
            **self._options,
        )

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> ResultFuture[R]:
        """Insert a job that calls the function with these arguments; return its result's future.

        The result is what the function returns, as its annotation says; an outcome such as
        `Complete` has what JSON has. Raise `InvalidArguments`, and `InvalidJob` behind
        ``using(connection=...)`` or an *on_conflict* other than ``"return"``; else as
        `Gaffer.submit`.
        """
        if self._on_conflict not in (None, "return"):
            raise InvalidJob(
                f"on_conflict={self._on_conflict!r}: submit waits for the job that holds the key; "
                "use insert, and future",
                keys=["on_conflict"],
            )
        options: dict[str, Any] = {**self._options}
        if self._connection is not None:
            options["connection"] = self._connection
        payload = self._parameters.write(args, kwargs)
        return self._gaffer._submit(self.queue, payload, options, self._parameters.answered)

    def future(self, job: Job | UUID) -> ResultFuture[R]:
        """Return the future of a job that was inserted earlier; see `Gaffer.future`."""
        return self._gaffer._future(self.queue, job, self._parameters.answered)

    def result(self, job: Job | UUID, timeout: Duration | None = None) -> R:
        """Wait for the end of a job, and return its result; see `Gaffer.result`."""
        return cast(R, self._gaffer._result(self.queue, job, timeout, self._parameters.answered))

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """Return the job that `insert` would insert: for `insert_many` of the task's queue.

        Raise `InvalidArguments`, and `InvalidJob` behind ``using(connection=...)`` or
        ``using(on_conflict=...)``: these are `insert_many`'s to have.
        """
        if self._connection is not None:
            raise InvalidJob("connection: give it to insert_many", keys=["connection"])
        if self._on_conflict is not None:
            raise InvalidJob("on_conflict: give it to insert_many", keys=["on_conflict"])
        return NewJob(self._parameters.write(args, kwargs), **self._options)

    def using(
        self,
        *,
        connection: Any = None,
        on_conflict: OnConflict | None = None,
        **options: Unpack[CallOptions],
    ) -> Task[P, R]:
        """Return the same task, whose jobs have these options; `None` is the queue's.

        The options are those of `Gaffer.insert`, but the kind, and *connection* and
        *on_conflict* as there. They stand apart from the arguments, so that a function may have
        parameters of any name. Raise `InvalidJob`.
        """
        given = _checked(options, CallOptions)
        if given.keys() & _MOMENTS:  # the task's own is the other one
            given = {**dict.fromkeys(_MOMENTS), **given}
        other = copy.copy(self)
        other._options = cast(JobOptions, {**self._options, **given})
        other._connection = self._connection if connection is None else connection
        if on_conflict is not None:
            other._on_conflict = check_on_conflict(on_conflict)
        return other

    def perform(self, job: Job) -> Any:
        """Call the function with the arguments that *job* holds; raise `InvalidArguments`.

        What it returns is kept as the annotation says, if that is of a value and not an outcome.
        """
        bound = self._parameters.read(job.payload)
        return self._parameters.answer(self.function(*bound.args, **bound.kwargs))


_MOMENTS = frozenset({"delay", "scheduled_at"})


def _checked(options: Mapping[str, Any], known: Any) -> dict[str, Any]:
    if unknown := options.keys() - known.__annotations__.keys():
        names = listed(known.__annotations__)
        raise InvalidJob(f"unknown: {listed(unknown)}; known are {names}", keys=unknown)
    check_job(options)
    return dict(options)


Known: TypeAlias = dict[str, dict[str, Task[..., Any]]]
"""The tasks of a Gaffer: by queue, then by name."""


class Tasks:
    """A worker: gives each job to the task that its kind names; see `Gaffer.tasks`."""

    def __init__(
        self, queue: str, known: Mapping[str, Task[..., Any]], otherwise: Worker | None
    ) -> None:
        self._queue = queue
        self._known = known  # of the Gaffer, and growing
        self._otherwise = otherwise

    def __repr__(self) -> str:
        return f"<tasks of {self._queue!r}: {listed(self._known) or 'none'}>"

    def perform(self, job: Job) -> Any:
        """Work *job*; raise `LookupError` if its kind is no task's and nobody else works it."""
        task = None if job.kind is None else self._known.get(job.kind)
        worker = task or self._otherwise
        if worker is not None:
            return work(worker, job)
        raise LookupError(
            f"no task {job.kind!r} of queue {self._queue!r} here; "
            f"known: {listed(self._known) or 'none'}"
        )


class Declares:
    """What a `Gaffer` does about tasks."""

    _tasks: Known

    def task(
        self, *, queue: str, name: str | None = None, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]:
        """Return a decorator that makes a function a `Task` of *queue*.

        *name* is the kind of its jobs, so it must stay while there are any; `None` is the name of
        the function. *options* are those of its jobs. The queue need not be declared yet, but
        before a job is inserted. Raise `InvalidTask` if the queue has a task of that name, if
        the function has parameters whose values JSON cannot keep, or is none that can be called
        from a thread; `InvalidJob` for unknown options or values out of range.
        """
        check_name(queue, "queue")

        def declare(function: Callable[P, R]) -> Task[P, R]:
            own = _name(function, name)
            task = Task(function, cast("Gaffer", self), queue, own, options)
            if self._tasks.setdefault(queue, {}).setdefault(own, task) is not task:
                raise InvalidTask(own, f"queue {queue!r} has another task of that name")
            return task

        return declare

    def tasks(self, queue: str, *, otherwise: Worker | None = None) -> Tasks:
        """Return a worker for *queue* that gives each job to the task that its kind names.

        It knows the tasks that are declared when a job comes, before the queue or after it.
        *otherwise* works all other jobs: those of other kinds, or of none. Without it they are
        failed attempts.
        """
        known = self._tasks.setdefault(check_name(queue, "queue"), {})
        return Tasks(queue, known, check_worker(otherwise))


def _name(function: Any, name: str | None) -> str:
    """Return the name of the task that *function* becomes; raise `InvalidTask`."""
    own = getattr(function, "__name__", "?") if name is None else name
    if not isinstance(function, FunctionType):
        raise InvalidTask(own, "only a function can be a task")
    try:
        checks.name(own)
        checks.worker(function)
    except ValueError as reason:
        raise InvalidTask(own, str(reason)) from None
    return own
