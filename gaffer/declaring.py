"""Queues declared, changed and deleted: the part of `Gaffer` that keeps its queues."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from gaffer import checks, logs
from gaffer.conf import (
    Duration,
    QueueConf,
    QueueOptions,
    changed,
    check_name,
    check_option,
    configured,
)
from gaffer.doctor import examined
from gaffer.driver import Driver, Finding
from gaffer.errors import (
    DriverError,
    DriverUnavailable,
    InvalidQueueConf,
    QueueExists,
    UnknownQueue,
)
from gaffer.events import Event, QueueCreated, QueueDeleted, QueueUpdated, emit
from gaffer.execution import shielded
from gaffer.job import JobFilter, Worker
from gaffer.process import Process
from gaffer.queue import Queue
from gaffer.supervisor import Supervisor

if TYPE_CHECKING:
    from gaffer.instance import Gaffer

__all__ = ["Queues"]


class Queues(Process):
    """A process and its queues."""

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
        return Queue(cast("Gaffer", self), name)

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
        return Queue(cast("Gaffer", self), name)

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
        _check_schedules(conf)
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
        _check_schedules(conf)
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

    @shielded
    def doctor(
        self,
        driver: Driver | str | None = None,
        *,
        waiting: Duration = 300.0,
        timeout: Duration = 5.0,
    ) -> builtins.list[Finding]:
        """Return what is wrong with *driver*'s storage and its queues, the gravest first.

        Queues that nobody works although jobs wait, that are paused, stuck, or whose oldest job is
        due for more than *waiting* seconds; executing jobs that nobody settles; clocks that differ;
        and what the driver finds: who holds up vacuum, settings that lose jobs. Each finding has a
        remedy. No queue need be declared here. Raise `DriverUnavailable` if the storage does not
        answer, within *timeout* seconds where it looks at itself.
        """
        patience = check_option("waiting", waiting, checks.duration(0.0, checks.CENTURY))
        limit = check_option("timeout", timeout, checks.duration(0.01, checks.DAY))
        with self._admin:
            self._check_open()
            storage = self._drivers.get(driver)
        return examined(storage, waiting=patience, timeout=limit)


def _check_schedules(conf: QueueConf) -> None:
    """Raise `InvalidQueueConf` if the queue has schedules, and its storage cannot keep them."""
    try:
        for schedule in conf.schedules:
            conf.driver.schedule_last(conf.name, schedule.key)
    except DriverUnavailable:
        raise
    except DriverError as error:
        raise InvalidQueueConf(f"schedules: {error}", keys=["schedules"]) from None
