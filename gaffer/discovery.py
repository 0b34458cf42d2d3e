"""From a driver argument to a driver: names and URLs; entry points are read only when asked."""

from __future__ import annotations

import os
import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gaffer.driver import Driver
from gaffer.errors import InvalidDriver, UnknownDriver

__all__ = ["DEFAULT", "GROUP", "default_target", "driver_class", "open_driver"]

GROUP = "gaffer.drivers"
DEFAULT = "memory"
VARIABLE = "GAFFER_DRIVER"
_NAME = re.compile(r"[\w.+-]*")


def default_target() -> str:
    """Return what the environment's ``GAFFER_DRIVER`` names, else ``"memory"``."""
    return os.environ.get(VARIABLE) or DEFAULT


def open_driver(target: str) -> Driver:
    """Return a new driver, not yet started, for a name (``"memory"``) or a URL.

    A URL's scheme, up to a ``+``, is the driver's name. Raise `InvalidDriver` for what is neither.
    """
    scheme, separator, _ = target.partition("://")
    if not _NAME.fullmatch(scheme):
        raise InvalidDriver(
            "driver: neither a name such as 'memory' nor a URL such as 'postgresql://host/database'"
            " (not shown: it may hold a password)"
        )
    made = driver_class(scheme.partition("+")[0])
    return made.from_url(target) if separator else made()


def driver_class(name: str) -> type[Driver]:
    """Return the class that an installed distribution offers under *name*.

    Raise `UnknownDriver` if none does, `InvalidDriver` if two do or it is no driver.
    """
    found = entry_points(group=GROUP, name=name)
    offers = {point.value: point for point in found}
    if not offers:
        raise UnknownDriver(name, {point.name for point in entry_points(group=GROUP)})
    if len(offers) > 1:
        raise InvalidDriver(f"driver {name!r} is offered by {_offers(offers.values())}; keep one")
    return _loaded(*offers.values())


def _loaded(point: EntryPoint) -> type[Driver]:
    made = point.load()
    if not isinstance(made, type) or not issubclass(made, Driver):
        raise InvalidDriver(f"driver {point.name!r}: {point.value} is not a gaffer.driver.Driver")
    return made


def _offers(points: Any) -> str:
    return " and ".join(
        f"{point.value} ({point.dist.name if point.dist else 'unknown'})" for point in points
    )
