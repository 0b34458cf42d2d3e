"""What a node says of itself to the others: which queues it serves, and how.

It is written with its beats, and read by people who ask why a job does not run. Storage keeps it as
text, and later releases may say more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gaffer.driver import Node

__all__ = ["Presence", "Served", "presence", "told"]

_LEASE = 20.0
"""Seconds: the default, for nodes that do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How a process serves a queue: its limits, and whether it claims nothing for now.

    *ended*: how many attempts of it have ended there, however, and *failed* how many of these with
    an error, of which *last_error* is the newest, in a line, and *last_error_at* its instant.
    `None`: it does not say, or there was none.
    """

    max_workers: int | None
    global_max_workers: int | None
    draining: bool
    stuck: bool
    ended: int | None = None
    failed: int | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """A node as the others see it.

    *alive*: it has beaten within its lease. *queues* are those that it serves; `None`: it does not
    say.
    """

    node: str
    alive: bool
    silent: float
    """Seconds since its last beat."""
    beat_at: datetime
    host: str | None = None
    pid: int | None = None
    queues: Mapping[str, Served] | None = field(default=None)
    listening: bool | None = None
    """Whether it hears at once of jobs that others insert."""


def told(
    *, pid: int, host: str, lease: float, listening: bool | None, queues: Mapping[str, Served]
) -> str:
    """Return the text that `presence` reads."""
    served = {name: asdict(one) for name, one in queues.items()}
    about = {"pid": pid, "host": host, "lease": lease, "listening": listening, "queues": served}
    return json.dumps(about, default=datetime.isoformat)


def presence(node: Node, now: datetime) -> Presence:
    """Return *node* as it is seen at *now*; what it says and nobody understands is left out."""
    about = _read(node.about)
    lease = about.get("lease")
    silent = now - node.beat_at
    patience = timedelta(seconds=lease if isinstance(lease, int | float) else _LEASE)
    queues = about.get("queues")
    host, pid, listening = about.get("host"), about.get("pid"), about.get("listening")
    return Presence(
        node=node.name,
        alive=abs(silent) < patience,
        silent=silent.total_seconds(),
        beat_at=node.beat_at,
        host=host if isinstance(host, str) else None,
        pid=pid if isinstance(pid, int) else None,
        listening=listening if isinstance(listening, bool) else None,
        queues={name: _served(one) for name, one in queues.items()}
        if isinstance(queues, dict)
        else None,
    )


def _read(about: str | None) -> dict[str, Any]:
    try:
        value = json.loads(about or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _served(value: Any) -> Served:
    given = value if isinstance(value, dict) else {}

    def number(name: str) -> int | None:
        found = given.get(name)
        return found if isinstance(found, int) else None

    def text(name: str) -> str | None:
        found = given.get(name)
        return found if isinstance(found, str) else None

    def instant(name: str) -> datetime | None:
        try:
            found = datetime.fromisoformat(text(name) or "")
        except ValueError:
            return None
        return None if found.utcoffset() is None else found

    return Served(
        max_workers=number("max_workers"),
        global_max_workers=number("global_max_workers"),
        draining=bool(given.get("draining")),
        stuck=bool(given.get("stuck")),
        ended=number("ended"),
        failed=number("failed"),
        last_error=text("last_error"),
        last_error_at=instant("last_error_at"),
    )
