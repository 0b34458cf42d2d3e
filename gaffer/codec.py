"""The one normal form of values: JSON text, made here and kept by every driver as it is.

`encode` is strict: what it takes reads back equal, types included. `storable` is lenient: it turns
whatever a worker failed with into something that `encode` takes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gaffer.errors import InvalidPayload
from gaffer.job import JSON, Backoff, Exponential, JobError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "decode",
    "dump_backoff",
    "dump_errors",
    "encode",
    "encode_result",
    "load_backoff",
    "load_errors",
    "storable",
    "text",
]

MAX_BYTES = 2**20
"""The most bytes of UTF-8 that a value may take, unless a Gaffer is told otherwise."""
MAX_DEPTH = 100
"""How deep lists and dicts may be nested."""

_MAX_REASON = 2**16
_MAX_REPR = 2**10

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
decode = json.loads


class _Refused(Exception):
    """What is wrong with a value, and the way to it, innermost step first."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []

    def at(self, root: str) -> InvalidPayload:
        return InvalidPayload(root + "".join(reversed(self.steps)), self.reason)


def encode(value: JSON, *, root: str = "payload", limit: int = MAX_BYTES) -> str:
    """Return *value* as JSON text of at most *limit* bytes in UTF-8, or raise `InvalidPayload`.

    *root* is what the value is called in the error's path.
    """
    try:
        _check(value, MAX_DEPTH, [limit])
        encoded = _encoder.encode(value)
    except _Refused as refused:
        raise refused.at(root) from None
    size = len(encoded) if encoded.isascii() else len(encoded.encode())
    if size > limit:
        raise InvalidPayload(root, f"{size} bytes as JSON; at most {limit} are kept")
    return encoded


def _check(value: Any, depth: int, budget: list[int]) -> None:
    """Raise `_Refused` unless *value* is JSON; *budget* bounds the work on shared parts."""
    kind = type(value)
    if kind is str:
        _check_text(value)
    elif kind is dict:
        _check_container(value, depth, budget)
        for key, item in value.items():
            if type(key) is not str:
                raise _Refused(f"the key {_brief(key)} is {_kind(key)}; keys must be strings")
            try:
                _check_text(key)
                _check(item, depth - 1, budget)
            except _Refused as refused:
                refused.steps.append(f".{key}" if key.isidentifier() else f"[{_brief(key)}]")
                raise
    elif kind is list:
        _check_container(value, depth, budget)
        for index, item in enumerate(value):
            try:
                _check(item, depth - 1, budget)
            except _Refused as refused:
                refused.steps.append(f"[{index}]")
                raise
    elif kind is float:
        if not math.isfinite(value):
            raise _Refused(f"{value} has no place in JSON")
    elif kind is int:
        _check_integer(value)
    elif value is not None and kind is not bool:
        raise _Refused(f"{_kind(value)}; {_ADVICE.get(kind, 'convert it to plain JSON values')}")


_ADVICE: dict[type, str] = {
    tuple: "use a list, which is what it would read back as",
    bytes: "use text, for example base64",
    bytearray: "use text, for example base64",
    set: "use a list",
    frozenset: "use a list",
    datetime: "use text, as isoformat() gives",
}


def _check_container(
    value: Sequence[Any] | Mapping[Any, Any], depth: int, budget: list[int]
) -> None:
    if depth == 0:
        raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
    budget[0] -= len(value)
    if budget[0] < 0:
        raise _Refused("too many values")


def _check_text(value: str) -> None:
    if "\0" in value:
        raise _Refused("contains NUL (U+0000), which PostgreSQL cannot keep")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Refused(f"contains a lone surrogate at {error.start}") from None


def _check_integer(value: int) -> None:
    if -(2**63) <= value < 2**63:
        return
    try:
        str(value)
    except ValueError:
        raise _Refused("an integer of too many digits") from None


def _kind(value: Any) -> str:
    name = type(value).__name__
    return ("an " if name[:1] in "aeiouAEIOU" else "a ") + name


def _brief(value: Any) -> str:
    return ascii(text(value, 50))


def text(value: Any, most: int) -> str:
    """Return ``str(value)`` if it can be had, storable, of about *most* characters at most."""
    try:
        string = value if type(value) is str else str(value)
    except BaseException as error:  # a hostile __str__ must not end a worker
        string = f"<{type(value).__name__} whose text raises {type(error).__name__}>"
    if len(string) > most:
        string = string[: most // 4] + " … " + string[-(most - most // 4) :]
    clean: str = string.replace("\0", "\ufffd").encode(errors="backslashreplace").decode()
    return clean


def storable(value: Any) -> JSON:
    """Return *value* as near to itself as `encode` takes.

    Numbers, text, booleans and `None` stay, lists, tuples and mappings are converted inside, all
    else becomes its text; what is too large or too deep becomes the beginning and end of its text.
    """
    try:
        converted = _convert(value, MAX_DEPTH - 10)
        encode(converted, limit=_MAX_REASON)
    except (InvalidPayload, RecursionError):
        return text(value, _MAX_REPR)
    return converted


def _convert(value: Any, depth: int) -> JSON:
    if depth == 0:
        return "…"
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, list | tuple):
        return [_convert(item, depth - 1) for item in value]
    if isinstance(value, Mapping):
        return {text(key, 200): _convert(item, depth - 1) for key, item in value.items()}
    return text(value, _MAX_REASON // 4)


def encode_result(value: Any, *, limit: int = MAX_BYTES) -> str:
    """Return a worker's result as JSON text, whatever it is.

    The work is done, so what cannot be kept is replaced by a mapping that says so:
    ``{"gaffer:error": "unserialisable", "reason": ..., "repr": ...}``.
    """
    try:
        return encode(value, root="result", limit=limit)
    except InvalidPayload as error:
        shown = {
            "gaffer:error": "unserialisable",
            "reason": text(error, _MAX_REPR),
            "repr": text(_Repr(value), _MAX_REPR),
        }
        return _encoder.encode(shown)


class _Repr:
    """Gives an object's repr as its text."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __str__(self) -> str:
        return repr(self._value)


def dump_errors(errors: Sequence[JobError]) -> str:
    """Return a job's errors as JSON text, for drivers."""
    return _encoder.encode([[e.attempt, e.error, e.at.isoformat()] for e in errors])


def load_errors(text: str) -> tuple[JobError, ...]:
    """Return what `dump_errors` wrote."""
    return tuple(
        JobError(attempt, error, datetime.fromisoformat(at).astimezone(UTC))
        for attempt, error, at in json.loads(text)
    )


def dump_backoff(backoff: Backoff) -> str:
    """Return a job's backoff as JSON text, for drivers."""
    if isinstance(backoff, Exponential):
        names = ("base", "factor", "maximum", "jitter")
        return _encoder.encode({name: getattr(backoff, name) for name in names})
    return _encoder.encode(backoff)


def load_backoff(text: str) -> Backoff:
    """Return what `dump_backoff` wrote."""
    value = json.loads(text)
    return Exponential(**value) if isinstance(value, dict) else tuple(map(float, value))
