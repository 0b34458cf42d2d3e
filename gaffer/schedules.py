"""Schedules: when a queue gets a job by itself. Values; nothing here runs or reads a clock.

A schedule is known by its key: its name, and what it says. Storage keeps for each key the last slot
that was dealt with, so that no process deals with it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from uuid import NAMESPACE_OID, UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gaffer import checks
from gaffer.codec import shown
from gaffer.errors import InvalidQueueConf
from gaffer.job import JSON

__all__ = ["MOST", "Cron", "Every", "Missed", "Recurring"]

Missed: TypeAlias = Literal["latest", "all", "skip"]
Payload: TypeAlias = JSON | Callable[[datetime], JSON]

MOST = 1000
"""The most slots that are made up for at once, the latest."""
_LATE = timedelta(seconds=60)
"""A slot that is older was missed: nobody looked for so long."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 366 * 86400
_OPTIONS = frozenset(
    {"kind", "chain", "priority", "max_attempts", "timeout", "backoff", "shutdown_timeout"}
)


class Recurring(ABC):
    """What all schedules have: see `Cron` and `Every`."""

    def __init__(
        self, what: str, payload: Payload, name: str | None, missed: Missed, options: dict[str, Any]
    ) -> None:
        if missed not in ("latest", "all", "skip"):
            raise _wrong(f"missed={shown(missed)}: must be 'latest', 'all' or 'skip'")
        if name is not None and not _kept(name):
            raise _wrong(f"name={shown(name)}: must be text of 1 to 200 characters, without NUL")
        if unknown := options.keys() - _OPTIONS:
            raise _wrong(f"unknown: {', '.join(sorted(unknown))}; known are {sorted(_OPTIONS)}")
        self.what = what
        self.name = name
        self.payload = payload
        self.missed = missed
        self.options: Mapping[str, Any] = MappingProxyType(options)

    @property
    def key(self) -> str:
        """What storage knows it by."""
        return self.what if self.name is None else f"{self.name}: {self.what}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recurring) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.key)

    @abstractmethod
    def next(self, after: datetime) -> datetime | None:
        """Return the first slot behind *after*, or `None` if there is none any more."""

    @abstractmethod
    def back(self, at: datetime) -> Iterator[datetime]:
        """Give the slots that are not behind *at*, the latest first."""

    def due(self, last: datetime, now: datetime) -> tuple[datetime | None, list[datetime]]:
        """Return the latest slot behind *last* and not behind *now*, and those to insert.

        By the policy for those that were missed; the oldest first.
        """
        most = MOST if self.missed == "all" else 1
        slots = []
        for slot in islice(self.back(now), most):
            if slot <= last:
                break
            slots.append(slot)
        if not slots:
            return None, []
        latest = slots[0]
        if self.missed == "skip" and now - latest > _LATE:
            return latest, []
        return latest, slots[::-1]

    def payload_of(self, slot: datetime) -> JSON:
        """Return the payload of the job of *slot*; raise what the payload's function raises."""
        return self.payload(slot) if callable(self.payload) else self.payload

    def id_of(self, queue: str, slot: datetime) -> UUID:
        """Return the id of the job of *slot*: the same in every process."""
        return uuid5(NAMESPACE_OID, f"gaffer:schedule:{queue}:{self.key}:{slot.isoformat()}")


class Cron(Recurring):
    """A job at the times of a cron expression, in a time zone.

    *expression* has five fields, such as ``"0 6 * * *"``: minute, hour, day of the month, month,
    day of the week. *timezone* is a name of the IANA database. When clocks go forward a job of the
    hour that is left out comes right after it; when they go back, one comes once, unless it comes
    each hour: as cron of Debian has it. Needs ``gaffer-queue[schedules]``.

    *payload* is the job's, or a function that is called with the slot, an aware datetime. *name*
    tells two of a queue apart that say the same. *missed* says what becomes of slots in whose time
    no process looked, or storage did not answer: ``"latest"`` inserts one job for the latest of
    them, ``"all"`` a job for each, up to the latest thousand, ``"skip"`` none. *options* are those
    of a job: *kind*, *chain*, *priority*, *max_attempts*, *timeout*, *backoff*, *shutdown_timeout*.
    Raise `InvalidQueueConf`.
    """

    def __init__(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        payload: Payload = None,
        name: str | None = None,
        missed: Missed = "latest",
        **options: Any,
    ) -> None:
        self.expression = _expression(expression)
        self.timezone = _zone(timezone)
        super().__init__(f"{expression} {timezone}", payload, name, missed, options)

    def next(self, after: datetime) -> datetime | None:
        """Return the first slot behind *after*."""
        from cronsim import CronSim

        found = next(CronSim(self.expression, after.astimezone(self.timezone)), None)
        return None if found is None else found.astimezone(UTC)

    def back(self, at: datetime) -> Iterator[datetime]:
        """Give the slots that are not behind *at*, the latest first."""
        from cronsim import CronSim

        behind = at.replace(microsecond=0) + timedelta(seconds=1)
        for slot in CronSim(self.expression, behind.astimezone(self.timezone), reverse=True):
            yield slot.astimezone(UTC)


class Every(Recurring):
    """A job each so many days, hours, minutes and seconds: a second at least, a year at most.

    Counted from the beginning of 1970 in UTC, so that all processes mean the same slots:
    ``Every(minutes=5)`` comes at each full five minutes. The other arguments are those of `Cron`.
    """

    def __init__(
        self,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        payload: Payload = None,
        name: str | None = None,
        missed: Missed = "latest",
        **options: Any,
    ) -> None:
        try:
            self.interval = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except (TypeError, ValueError, OverflowError) as error:
            raise _wrong(f"Every: {error}") from None
        if not timedelta(seconds=1) <= self.interval <= timedelta(seconds=_LONGEST):
            raise _wrong(f"Every: {self.interval} is not between a second and a year")
        # Every digit counts: what says something else has another key.
        length = f"{self.interval.total_seconds():.6f}".rstrip("0").rstrip(".")
        what = f"every {length} s"
        super().__init__(what, payload, name, missed, options)

    def next(self, after: datetime) -> datetime | None:
        """Return the first slot behind *after*."""
        return _EPOCH + self.interval * ((after - _EPOCH) // self.interval + 1)

    def back(self, at: datetime) -> Iterator[datetime]:
        """Give the slots that are not behind *at*, the latest first."""
        number = (at - _EPOCH) // self.interval
        while number >= 0:
            yield _EPOCH + self.interval * number
            number -= 1


def _kept(name: Any) -> bool:
    """Return whether storage can keep *name*."""
    try:
        checks.name(f"{name}")  # as the key has it
    except ValueError:
        return False
    return isinstance(name, str)


def _expression(given: Any) -> str:
    if not isinstance(given, str) or len(given.split()) != 5:
        raise _wrong(
            f"Cron({shown(given)}): must be five fields: minute, hour, day of the month, month, "
            "day of the week, such as '0 6 * * 1'"
        )
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise _wrong("Cron needs cronsim: pip install 'gaffer-queue[schedules]'") from None
    try:
        CronSim(given, _EPOCH)
    except CronSimError as error:
        raise _wrong(f"Cron({given!r}): {error}") from None
    return given


def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise _wrong(
            f"timezone={shown(name)}: no time zone of that name here; write 'Europe/Stockholm', "
            "and where the system has no such database, pip install tzdata"
        ) from None


def _wrong(reason: str) -> InvalidQueueConf:
    return InvalidQueueConf(f"schedules: {reason}", keys=["schedules"])
