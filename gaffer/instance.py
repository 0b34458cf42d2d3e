"""`Gaffer`: every verb, by the name of a queue. The module `gaffer` has the methods of one."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar, Unpack, overload
from uuid import UUID

from gaffer import checks, logs, selection
from gaffer.conf import (
    Duration,
    JobOptions,
    NewJob,
    QueueConf,
    QueueOptions,
    changed,
    check_name,
    check_option,
    configured,
)
from gaffer.driver import Driver
from gaffer.errors import InvalidQueueConf, QueueExists, UnknownJob, UnknownQueue
from gaffer.events import Event, QueueCreated, QueueDeleted, QueueUpdated, emit
from gaffer.execution import shielded
from gaffer.hand import Claiming
from gaffer.info import QueueInfo
from gaffer.job import JSON, Job, JobFilter, JobState, StateStats, Worker
from gaffer.process import Process
from gaffer.queue import RAISE, Queue
from gaffer.supervisor import Supervisor
from gaffer.tasks import Declares

__all__ = ["Gaffer"]

T = TypeVar("T")
Jobs: TypeAlias = list[Job]
Ids: TypeAlias = list[UUID]


class Gaffer(Process, Declares):
    """Queues and their drivers, for one process.

    *driver* is the default for queues declared without one: a `Driver`, a name (``"memory"``), a
    URL whose scheme is the name, or `None` for the environment's ``GAFFER_DRIVER``, else memory.
    The other arguments are those of `configure`; *clock* is for tests. Nothing starts before the
    first queue is declared. As a context manager it stops itself at the end.
    """

    # -- queues --------------------------------------------------------------------------------

    @shielded
    def create_queue(
        self,
        name: str,
        *,
        worker: Worker | None = None,
        driver: Driver | str | None = None,
        **options: Unpack[QueueOptions],
    ) -> Queue:
        """Declare a queue that this process does not have, and begin to work it.

        Raise `QueueExists` if it has, `InvalidQueueConf` for unknown options or values out of
        range. That storage knows the queue already, from another process or life, is no error.
        Options left out have the defaults of `QueueConf`.
        """
        with self._admin:
            self._check_open()
            if check_name(name, "queue") in self._queues:
                raise QueueExists(name)
            event = self._declare(name, worker, driver, options)
        self._emit_queue(event)
        return Queue(self, name)

    @shielded
    def ensure_queue(
        self,
        name: str,
        *,
        worker: Worker | None = None,
        driver: Driver | str | None = None,
        **options: Unpack[QueueOptions],
    ) -> Queue:
        """Declare a queue, or replace its configuration as a whole, and begin to work it.

        Options left out have the defaults of `QueueConf`, not their earlier values. Raise
        `InvalidQueueConf` for unknown options or values out of range, or another driver than the
        queue has; then nothing changes.
        """
        with self._admin:
            self._check_open()
            if check_name(name, "queue") in self._queues:
                event: Event = self._replace(name, worker, driver, options)
            else:
                event = self._declare(name, worker, driver, options)
        self._emit_queue(event)
        return Queue(self, name)

    def _declare(
        self,
        name: str,
        worker: Worker | None,
        driver: Driver | str | None,
        options: Mapping[str, Any],
    ) -> QueueCreated:
        conf = configured(name, worker, self._drivers.get(driver), options)
        self._check_targets(conf)
        conf.driver.queue_insert(name)
        logs.install()
        supervisor = Supervisor(conf, self._shared())
        self._queues[name] = supervisor
        if self._work:
            supervisor.start()
        return QueueCreated(actor="user", queue=name, conf=conf)

    def _replace(
        self,
        name: str,
        worker: Worker | None,
        driver: Driver | str | None,
        options: Mapping[str, Any],
    ) -> QueueUpdated:
        before = self._queues[name].conf
        conf = configured(name, worker, before.driver, options)
        if driver is not None and self._drivers.get(driver) is not before.driver:
            raise InvalidQueueConf(
                f"driver: queue {name!r} has another; delete it first", keys=["driver"]
            )
        return self._reconfigure(conf, {}, "ensure")

    @shielded
    def update_queue(self, name: str, /, **changes: Any) -> QueueConf:
        """Change some options of a queue; return the configuration.

        ``prune`` and ``forward`` are merged key by key, everything else is replaced; ``worker``
        can be changed too. Raise `InvalidQueueConf` for no change at all, unknown options, values
        out of range, ``name`` and ``driver``; `UnknownQueue`.
        """
        with self._admin:
            before = self._supervisor(name).conf
            conf = changed(before, changes)
            event = self._reconfigure(conf, changes, "update")
        # The hooks before the update: those that it removes hear of that.
        emit((*self._hooks, *before.hooks), event)
        return conf

    def _reconfigure(
        self, conf: QueueConf, updates: Mapping[str, Any], source: Any
    ) -> QueueUpdated:
        self._check_targets(conf)
        self._queues[conf.name].configure(conf, work=self._work)
        return QueueUpdated(
            actor="user", queue=conf.name, conf=conf, updates=dict(updates), source=source
        )

    def _check_targets(self, conf: QueueConf) -> None:
        unknown = {*conf.forward.values()} - {*self._queues, conf.name}
        if unknown:
            raise InvalidQueueConf(
                f"forward: no queue {checks.listed(unknown)} here; declare it first",
                keys=["forward"],
            )

    def _emit_queue(self, event: Any) -> None:
        emit((*self._hooks, *event.conf.hooks), event)

    def get_queue(self, name: str) -> QueueConf:
        """Return a queue's configuration, defaults filled in; raise `UnknownQueue`."""
        return self._supervisor(name).conf

    def list_queues(self) -> dict[str, QueueConf]:
        """Return the configurations of all queues of this process by name."""
        return {name: supervisor.conf for name, supervisor in self._queues.copy().items()}

    @shielded
    def delete_queue(self, name: str, driver: Driver | str | None = None) -> None:
        """Delete a queue, here and in storage.

        Without *driver*: raise `QueueHasJobs` if it has jobs in whatever state, and change
        nothing; raise `UnknownQueue` if this process does not have it. With *driver*: delete all
        its jobs too, those that execute included, whether this process has the queue or not.

        Queues that forward to it keep what has ended until the queue is declared again, and claim
        less meanwhile: change their `forward` first.
        """
        check_name(name, "queue")
        with self._admin:
            supervisor = self._supervisor(name) if driver is None else self._queues.get(name)
            storage = (
                self._drivers.get(driver)
                if supervisor is None or driver
                else supervisor.conf.driver
            )
            if supervisor is not None and storage.storage != supervisor.conf.driver.storage:
                supervisor = None  # of the same name, elsewhere
            heard = supervisor is not None and driver is not None and supervisor.ledger.heard
            gone = storage.job_list(JobFilter(queue=name)) if heard else []
            try:
                storage.queue_delete(name, jobs=driver is not None)
            except UnknownQueue:
                if driver is None and supervisor is None:
                    raise
            if supervisor is not None:
                del self._queues[name]
        if supervisor is not None:
            supervisor.stop(0.0)
            supervisor.ledger.deleted((job.id for job in gone), "user")
            supervisor.ledger.emit(QueueDeleted(actor="user", queue=name))

    @shielded
    def orphaned_queues(self, driver: Driver | str | None = None) -> builtins.list[str]:
        """Return the queues in *driver*'s storage that this process has not declared, sorted."""
        with self._admin:
            self._check_open()
            storage = self._drivers.get(driver)
            known = {
                name
                for name, supervisor in self._queues.copy().items()
                if supervisor.conf.driver.storage == storage.storage
            }
        return [name for name in storage.queue_list() if name not in known]

    # -- jobs ----------------------------------------------------------------------------------

    @shielded
    def insert(
        self, queue: str, payload: JSON, *, connection: Any = None, **options: Unpack[JobOptions]
    ) -> Job:
        """Insert a job; return it. When this returns, the job is stored.

        *payload* is what JSON can keep: `None`, `bool`, `int`, `float`, `str`, lists and dicts with
        string keys; `InvalidPayload` names the place of anything else. Options that are left out
        or `None` are the queue's:

        - *id*: a `UUID` of your own; `Conflict` if it is taken;
        - *kind*: which worker of a mapping works it; *chain*: jobs of one chain run one at a time;
        - *priority*, *max_attempts*, *timeout*, *backoff*, *shutdown_timeout*: as for queues;
        - *scheduled_at* (an aware datetime) or *delay* (seconds): not to be claimed before.

        With *connection*, one of the driver's kind, the job is part of the transaction that is
        open there, and exists exactly if that commits; hooks hear of it at once. `InvalidJob` for
        unknown or bad options; `UnknownQueue`; `DriverUnavailable` if storage does not answer
        after some tries, and then the same insert with the same *id* may safely be repeated.
        """
        return self._supervisor(queue).insert(payload, options, connection)

    @overload
    def insert_many(
        self, queue: str, payloads: Iterable[JSON | NewJob], *, connection: Any = None,
        returning: Literal[True] = True, **options: Unpack[JobOptions],
    ) -> Jobs: ...  # fmt: skip
    @overload
    def insert_many(
        self, queue: str, payloads: Iterable[JSON | NewJob], *, connection: Any = None,
        returning: Literal[False], **options: Unpack[JobOptions],
    ) -> int: ...  # fmt: skip
    @shielded
    def insert_many(
        self, queue: str, payloads: Iterable[Any], *, connection: Any = None,
        returning: bool = True, **options: Unpack[JobOptions],
    ) -> Any:  # fmt: skip
        """Insert many jobs; return them in order, or with *returning* false only how many.

        A list is one write: all jobs or none. An iterator is taken in batches of 1,000, each of
        which is one write; without *returning* only one of them is in memory at a time. Items are
        payloads, or `NewJob` with options of their own; *options* hold for all others. No payloads,
        no write. Raises as `insert` does.
        """
        supervisor = self._supervisor(queue)
        return supervisor.insert_many(payloads, options, connection, returning=returning)

    @overload
    def get(self, queue: str, id: UUID) -> Job: ...
    @overload
    def get(self, queue: str, id: UUID, default: T) -> Job | T: ...
    @shielded
    def get(self, queue: str, id: UUID, default: Any = RAISE) -> Any:
        """Return a job of the queue as it is now; *default*, or `UnknownJob`, if there is none."""
        try:
            return self._supervisor(queue).ledger.get(id)
        except UnknownJob:
            if default is RAISE:
                raise
            return default

    @shielded
    def list(
        self,
        queue: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        limit: int | None = None,
        after: Job | UUID | None = None,
    ) -> Jobs:
        """Return jobs by (created_at, id): of a queue, or of all in the default driver's storage.

        *state*: one state, several, or ``"incomplete"`` (available and executing). *limit*: at most
        so many; *after*: those behind this job, so that pages follow each other. Meant for people
        and tests: storage may have to look at every job.
        """
        driver = self._supervisor(queue).conf.driver if queue is not None else self._default()
        return driver.job_list(selection.job_filter(driver, queue, state, limit, after))

    def _default(self) -> Driver:
        with self._admin:
            self._check_open()
            return self._drivers.get(None)

    @shielded
    def cancel(self, queue: str, id: UUID) -> Job:
        """Cancel an available job, scheduled or not; return it.

        It is forwarded if the queue forwards cancelled jobs. Raise `InvalidTransition` if it is
        executing or has ended, `UnknownJob`.
        """
        return self._supervisor(queue).ledger.cancel(id)

    @shielded
    def delete(self, queue: str, id: UUID) -> None:
        """Delete a job in whatever state; what it is executing is dropped. Raise `UnknownJob`."""
        self._supervisor(queue).delete(id)

    @shielded
    def prune(self, queue: str) -> Ids:
        """Delete the jobs that are old enough now, paused or not; return their ids."""
        return self._supervisor(queue).ledger.prune("user")

    @shielded
    def claim(self, queue: str) -> Claiming:
        """Return a ``with`` block around one job, claimed by hand; `None` if there is none.

        The job completes at the end of the block, fails with an exception that ends it, or is
        settled inside by its `complete`, `fail`, `cancel` or `schedule`. It has no timeout; local
        limits do not count it, global ones do. A queue that is paused, or drained here, gives none.
        """
        return self._supervisor(queue).claim()

    # -- running -------------------------------------------------------------------------------

    @shielded
    def pause(self, queue: str) -> None:
        """Claim nothing from the queue, in any process, until it is resumed.

        What runs goes on. Kept with the queue, over restarts. Raise `AlreadyPaused`.
        """
        self._supervisor(queue).pause()

    @shielded
    def resume(self, queue: str) -> None:
        """End a pause, in every process, and a drain in this one. Raise `AlreadyActive`."""
        self._supervisor(queue).resume()

    @shielded
    def drain(self, queue: str, timeout: Duration | None = 5.0) -> None:
        """Claim no more in this process, and wait until nothing of the queue runs here.

        `resume` ends it. Raise `DrainTimeout` naming the jobs that still run after *timeout*
        seconds (`None`: wait for ever), or at once when called by one of them or by a hook in the
        thread that would have to end them.
        """
        wait = check_option("timeout", timeout, checks.duration(0.0, checks.CENTURY))
        self._supervisor(queue).drain(wait)

    @shielded
    def flush(self, queue: str, timeout: Duration | None = None) -> None:
        """Wait until the queue has no available or executing job, in any process.

        Scheduled jobs and those that wait for a retry are available, and waited for. Raise
        `FlushTimeout` after *timeout* seconds (`None`: wait for ever), or at once when called by a
        job of the queue.
        """
        wait = check_option("timeout", timeout, checks.duration(0.0, checks.CENTURY))
        self._supervisor(queue).flush(wait)

    @shielded
    def poll(self, queue: str) -> int:
        """Claim what there are free slots for, run it, and return the number when it has ended.

        Works while the queue is paused, and in a process that does not work: for tests and
        scripts. Waits as long as storage does not take what has ended. Raise
        `InvalidQueueConf` if the queue has no worker.
        """
        return self._supervisor(queue).poll()

    @shielded
    def info(self, queue: str) -> QueueInfo:
        """Return the queue's status and the workers of this process; cheap."""
        return self._supervisor(queue).info()

    @shielded
    def stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return how many jobs are in each state, and since when; storage may have to count."""
        return self._supervisor(queue).ledger.stats()
