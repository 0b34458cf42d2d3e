"""What the conformance suite asks of a driver beside the driver itself: fresh storage, and time.

A driver's distribution names its harness in the entry-point group ``gaffer.harnesses``, under the
name that its driver has in ``gaffer.drivers``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar

from gaffer.driver import Driver
from gaffer.errors import InvalidDriver, UnknownDriver

__all__ = ["GROUP", "DriverHarness", "installed", "load"]

GROUP = "gaffer.harnesses"


class DriverHarness(ABC):
    """Fresh storage for the suite, handles onto it, and a clock that can be moved.

    Made without arguments; the constructor does no input or output.
    """

    durable: ClassVar[bool] = False
    """Whether jobs outlive the last handle."""

    def setup(self) -> None:  # noqa: B027 - what lives in memory needs nothing here
        """Make a place for the storage: a schema, a file. Called once, first."""

    @abstractmethod
    def open(self) -> Driver:
        """Return a new handle, started. All that are open see the same jobs."""

    @abstractmethod
    def reset(self) -> None:
        """Forget all jobs, queues and nodes, fast: this runs before every test and example.

        Handles that are open stay usable.
        """

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Make `Driver.now` of every handle go on by *seconds*, those opened later included.

        What waits for a time that has come by this must notice as if the time had passed.
        """

    def teardown(self) -> None:  # noqa: B027 - what lives in memory needs nothing here
        """Take away what `setup` made. Called once, last, when all handles are stopped."""


def installed() -> list[str]:
    """Return the names of all harnesses that installed distributions offer, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load(name: str) -> DriverHarness:
    """Return a new harness, not set up, for the driver *name*.

    Raise `UnknownDriver` if no installed distribution offers one, and `InvalidDriver` if two do or
    if what is offered is no harness.
    """
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise UnknownDriver(name, installed())
    if len(found) > 1:
        origins = ", ".join(sorted(map(_origin, found)))
        raise InvalidDriver(f"several harnesses are called {name!r}: {origins}; keep one of them")
    factory = found[0].load()
    if not (isinstance(factory, type) and issubclass(factory, DriverHarness)):
        raise InvalidDriver(
            f"{_origin(found[0])} is {factory!r}; it must be a subclass of DriverHarness"
        )
    return factory()


def _origin(entry: EntryPoint) -> str:
    return f"{entry.value} of {entry.dist.name if entry.dist else 'an unknown distribution'}"
