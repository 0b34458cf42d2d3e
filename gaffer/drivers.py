"""The drivers of one Gaffer: each opened once, with one heartbeat, stopped by who opened it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gaffer.clock import monotonic
from gaffer.discovery import default_target, open_driver
from gaffer.driver import Driver
from gaffer.errors import InvalidDriver
from gaffer.heartbeat import Heartbeat

__all__ = ["Drivers"]

_log = logging.getLogger("gaffer.drivers")

_LAST_BEAT = 1.0
"""Seconds for beats that have begun when all stop, over all storages."""


class Drivers:
    """Drivers by what they were asked for with. The caller holds the lock of its Gaffer."""

    def __init__(self, default: Driver | str | None, pulse: Callable[[Driver], Heartbeat]) -> None:
        self.default = default
        self._pulse = pulse
        self._opened: dict[str, Driver] = {}
        self._used: dict[int, Driver] = {}
        self._heartbeats: dict[int, Heartbeat] = {}

    def get(self, target: Driver | str | None) -> Driver:
        """Return the started driver for an instance, a name, a URL, or `None` for the default.

        Raise `UnknownDriver`, `InvalidDriver`, or what the driver raises when it starts.
        """
        if target is None:
            target = self.default if self.default is not None else default_target()
        driver = self._open(target) if isinstance(target, str) else target
        if not isinstance(driver, Driver):
            raise InvalidDriver(f"{driver!r} is no driver: give a Driver, a name or a URL")
        if id(driver) not in self._used:
            driver.start()
            self._used[id(driver)] = driver
            if isinstance(target, str):
                self._opened[target] = driver
        return driver

    def _open(self, target: str) -> Driver:
        return self._opened.get(target) or open_driver(target)

    def heartbeat(self, driver: Driver) -> Heartbeat:
        """Return this process's heartbeat in *driver*'s storage; it starts with the first claim."""
        if id(driver) not in self._heartbeats:
            self._heartbeats[id(driver)] = self._pulse(driver)
        return self._heartbeats[id(driver)]

    def hearts(self) -> list[Heartbeat]:
        """Return the heartbeats of all drivers that have a queue here; any thread may ask."""
        return list(self._heartbeats.copy().values())

    def stop(self, *, leave: bool) -> None:
        """Stop the heartbeats, and the drivers that were opened here.

        With *leave* the storages are told; not when one has kept a queue from ending in time, and
        would not answer.
        """
        for heartbeat in self._heartbeats.values():
            heartbeat.begin_stop()
        deadline = monotonic() + _LAST_BEAT
        for heartbeat in self._heartbeats.values():
            try:
                heartbeat.stop(leave=leave, timeout=max(0.0, deadline - monotonic()))
            except Exception:
                _log.exception("a node could not leave")
        for driver in self._opened.values():
            try:
                driver.stop()
            except Exception:
                # Not as it was asked for: a URL may hold a password.
                _log.exception("a %s could not be stopped", type(driver).__name__)
        self._heartbeats.clear()
        self._opened.clear()
        self._used.clear()

    def after_fork(self) -> None:
        """Make the drivers usable in a forked child; its heartbeats are made anew."""
        self._heartbeats.clear()
        for driver in self._used.values():
            driver.after_fork()
