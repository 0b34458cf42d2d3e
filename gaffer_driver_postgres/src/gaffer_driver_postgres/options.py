"""What a driver is told: checked, and nothing opened."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import unquote

from psycopg.conninfo import conninfo_to_dict

from gaffer.driver import DriverError

__all__ = ["Options", "check_conninfo", "from_url", "path_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to work with a database; `PostgresDriver` says what each means."""

    schema: str = "gaffer"
    migrate: bool = True
    notify: bool = True
    pooler: bool | None = None
    max_connections: int = 4
    timeout: float = 10.0

    def __post_init__(self) -> None:
        """Raise `DriverError` for values out of range."""
        _check_schema(self.schema)
        for name in ("migrate", "notify"):
            if type(getattr(self, name)) is not bool:
                raise DriverError(f"{name}={getattr(self, name)!r}: must be True or False")
        if self.pooler is not None and type(self.pooler) is not bool:
            raise DriverError(f"pooler={self.pooler!r}: must be True, False or None (find out)")
        if type(self.max_connections) is not int or not 1 <= self.max_connections <= 1000:
            raise DriverError(f"max_connections={self.max_connections!r}: must be 1 to 1000")
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float):
            raise DriverError(f"timeout={self.timeout!r}: must be seconds")
        if not 0.1 <= self.timeout <= 3600:
            raise DriverError(f"timeout={self.timeout!r}: must be 0.1 to 3600 seconds")

    @property
    def lock_space(self) -> int:
        """The first of the two numbers of this schema's advisory locks."""
        return int.from_bytes(self._hash()[:4], signed=True)

    @property
    def channel(self) -> str:
        """The channel of this schema's notifications."""
        return f"gaffer_{self._hash().hex()[:16]}"

    def _hash(self) -> bytes:
        return hashlib.sha256(b"gaffer:" + self.schema.encode()).digest()


def _check_schema(schema: Any) -> None:
    """Refuse names that would need more than quotes in SQL, or that PostgreSQL would cut."""
    plain = isinstance(schema, str) and f"{schema[:1]}{schema[1:].replace('-', '_')}".isidentifier()
    if not plain or len(schema.encode()) > 63 or schema.startswith("pg_"):
        raise DriverError(
            f"schema={schema!r}: must be letters, digits, '_' and '-', begin with a letter or '_', "
            "not with 'pg_', and take at most 63 bytes"
        )


def from_url(url: str) -> tuple[str, Options]:
    """Split *url* into libpq's conninfo and ours.

    Our options stand in the query beside libpq's: ``postgresql://host/db?schema=jobs``. Raise
    `DriverError` for a value that is not understood; what is not ours is left to libpq.
    """
    # Not by urlsplit: a password may hold what libpq takes and a URL must not.
    rest, _, query = url.partition("?")
    _, _, place = rest.partition("://")
    ours: dict[str, str] = {}
    theirs: list[str] = []
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        if name in ours:
            raise DriverError(f"{name}: given twice in the URL")
        if name in _READERS:
            ours[name] = unquote(value)
        else:
            theirs.append(item)
    conninfo = f"postgresql://{place}" + ("?" + "&".join(theirs) if theirs else "")
    check_conninfo(conninfo)
    return conninfo, Options(**_read(ours))


def check_conninfo(conninfo: Any) -> None:
    """Raise `DriverError` unless libpq understands *conninfo*; it has secrets, and is not shown."""
    if not isinstance(conninfo, str):
        raise DriverError(f"conninfo must be a string, not {type(conninfo).__name__}")
    try:
        conninfo_to_dict(conninfo)
    except Exception as error:
        # Of what libpq says only this names no value.
        unknown = re.search(r'invalid (connection option|URI query parameter:?) "\w+"', str(error))
        reason = unknown[0] if unknown else "libpq cannot read it"
        raise DriverError(
            f"conninfo: {reason}; give a URL such as postgresql://user@host/database, with special "
            "characters as %XX, or keywords such as host=... dbname=..."
        ) from None


def path_of(url: str) -> str:
    """Return the path of ``postgres+embedded:///path``."""
    path = unquote(url.partition("://")[2].partition("?")[0])
    if not path.startswith("/") or path == "/":
        raise DriverError(f"{url!r}: give an absolute path: postgres+embedded:///var/lib/app/pg")
    return path


def _flag(name: str, value: str) -> bool:
    known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
    if value.lower() not in known:
        raise DriverError(f"{name}={value}: must be true or false")
    return known[value.lower()]


def _seconds(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise DriverError(f"{name}={value}: must be seconds") from None


def _whole(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise DriverError(f"{name}={value}: must be a whole number") from None


_READERS: Mapping[str, Any] = {
    "schema": lambda name, value: value,
    "migrate": _flag,
    "notify": _flag,
    "pooler": lambda name, value: None if value == "auto" else _flag(name, value),
    "max_connections": _whole,
    "timeout": _seconds,
}
assert _READERS.keys() == {field.name for field in fields(Options)}


def _read(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: _READERS[name](name, value) for name, value in texts.items()}
