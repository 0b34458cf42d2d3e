"""The storage that a command works on, with or without the program that declares the queues."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable
from uuid import UUID

import gaffer
from gaffer import Gaffer, Job
from gaffer.cli.exits import NotThere, UsageError
from gaffer.discovery import open_driver
from gaffer.driver import Driver, DriverError

__all__ = ["Migrating", "Opened", "imported", "opened", "target_of", "unstarted"]


@runtime_checkable
class Migrating(Protocol):
    """A driver whose storage has versions, as that of `gaffer_driver_postgres` has."""

    def migrations(self) -> Versions:
        """Return the versions that are known, and those that are applied."""
        ...

    def migrate(self) -> None:
        """Apply what is pending."""
        ...

    def rollback(self, target: int) -> None:
        """Take back all versions after *target*."""
        ...

    def migration_sql(self) -> str:
        """Return SQL that does what `migrate` does on empty storage."""
        ...


class Versions(Protocol):
    """Versions, ascending."""

    @property
    def all(self) -> list[int]:
        """Those that this release knows."""
        ...

    @property
    def applied(self) -> list[int]:
        """Those that storage has."""
        ...


class Opened:
    """A Gaffer that works nothing, and storage that it sees.

    Without a program the queues that storage has are declared when they are named, with defaults.
    """

    def __init__(self, g: Gaffer, driver: Driver) -> None:
        self.g = g
        self.driver = driver

    def queues(self) -> list[str]:
        """Return the names of all queues in storage."""
        return self.driver.queue_list()

    def queue(self, name: str) -> str:
        """Return *name*, declared; raise `NotThere` if neither program nor storage has it."""
        if name not in self.g.list_queues():
            if not self.driver.queue_exists(name):
                raise NotThere(f"there is no queue {name!r} in this storage; see `gaffer queues`")
            self.g.ensure_queue(name, driver=self.driver)
        return name

    def job(self, id: UUID) -> Job:
        """Return a job of any queue, whose queue is declared then; raise `NotThere`."""
        job = self.driver.job_get(id)
        if job is None:
            raise NotThere(f"there is no job {id} in this storage; it may be done and pruned")
        self.queue(job.queue)
        return job


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Opened]:
    """Open what *args* name; at the end it is stopped."""
    if args.app is not None:
        g = imported(args.app, args.driver)
        try:
            yield Opened(g, _driver_of(g, args.app))
        finally:
            g.stop(0)
        return
    driver = unstarted(args)
    _refuse_to_migrate(driver)
    g = Gaffer(driver, work=False)
    driver.start()
    try:
        yield Opened(g, driver)
    finally:
        g.stop(0)
        driver.stop()


def target_of(args: argparse.Namespace) -> str:
    """Return the driver that is asked for; raise `UsageError` without one."""
    if args.driver is None:
        raise UsageError(
            "which storage? give --driver postgresql://host/database or --app MODULE, or set "
            "GAFFER_DRIVER"
        )
    return str(args.driver)


def unstarted(args: argparse.Namespace) -> Driver:
    """Return the driver that is asked for, not yet started."""
    return open_driver(target_of(args))


def imported(app: str, driver: str | None) -> Gaffer:
    """Import ``MODULE[:CALL]`` and return the Gaffer that it uses; it does not work yet.

    The call may return a Gaffer of its own. Raise `UsageError` if it cannot be had.
    """
    module, _, name = app.partition(":")
    gaffer.configure(work=False, driver=driver)
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # of the program's own
        raise UsageError(
            f"there is no module {error.name!r} here, nor among what is installed"
        ) from None
    if not name:
        return gaffer.default
    call = getattr(found, name, None)
    if not callable(call):
        raise UsageError(f"{app!r}: module {module!r} has no function {name!r}")
    made = call()
    return made if isinstance(made, Gaffer) else gaffer.default


def _driver_of(g: Gaffer, app: str) -> Driver:
    storages = {conf.driver.storage: conf.driver for conf in g.list_queues().values()}
    if not storages:
        raise UsageError(f"{app!r} declares no queue; name the function that does: {app}:CALL")
    if len(storages) > 1:
        raise UsageError(f"{app!r} uses {len(storages)} storages; say which by --driver alone")
    [driver] = storages.values()
    return driver


def _refuse_to_migrate(driver: Driver) -> None:
    """Raise unless the schema is up to date: a look at storage must not change its tables."""
    if isinstance(driver, Migrating):
        versions = driver.migrations()
        pending = [version for version in versions.all if version not in versions.applied]
        if pending:
            raise DriverError(
                f"the storage lacks migrations {', '.join(map(str, pending))}; `gaffer migrate` "
                "applies them"
            )
