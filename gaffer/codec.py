"""The one normal form of values: JSON text, made here and kept by every driver as it is.

`encode` is strict: what it takes reads back equal, types included. `storable` is lenient: it turns
whatever a worker failed with into something that `encode` takes.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
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
    "shown",
    "storable",
    "text",
    "type_name",
]

MAX_BYTES = 2**20
"""The most bytes of UTF-8 that a value may take, unless a Gaffer is told otherwise."""
MAX_DEPTH = 100
"""How deep lists and dicts may be nested."""

_MAX_REASON = 2**17
_MAX_VALUES = 2**13
_MAX_REPR = 2**10

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
decode = json.loads


def _encoding() -> Callable[[Any], str]:
    """Return what ``_encoder.encode`` does, without its making its C part anew each time.

    That takes half of its time. What it is made of is no public part of the standard library, so
    where that is another one the public method has to do. Without its look for cycles: `_check`
    has bounded the depth.
    """
    try:
        parts: Any = json.encoder
        chunks = parts.c_make_encoder(
            None, _encoder.default, parts.encode_basestring, None, ":", ",", False, False, False
        )
        if "".join(chunks({"a": [1, "é", None]}, 0)) == '{"a":[1,"é",null]}':
            return lambda value: "".join(chunks(value, 0))
    except Exception:
        pass
    return _encoder.encode


_encoded = _encoding()


class _Refused(Exception):
    """What is wrong with a value, and the way to it, innermost step first."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []

    def at(self, root: str) -> InvalidPayload:
        return InvalidPayload(root + "".join(reversed(self.steps)), self.reason)


class _Budget:
    """Bounds the work on shared parts: each place costs the bytes that it takes at the least."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def spend(self, least: int, reason: str) -> None:
        self._left -= least
        if self._left < 0:
            raise _Refused(f"{reason}; at most {self._limit} bytes of JSON are kept")


def encode(value: JSON, *, root: str = "payload", limit: int = MAX_BYTES) -> str:
    """Return *value* as JSON text of at most *limit* bytes in UTF-8, or raise `InvalidPayload`.

    *root* is what the value is called in the error's path.
    """
    try:
        _check(value, MAX_DEPTH, _Budget(limit))
        encoded = _encoded(value)
    except _Refused as refused:
        raise refused.at(root) from None
    size = len(encoded) if encoded.isascii() else len(encoded.encode())
    if size > limit:
        raise InvalidPayload(root, f"{size} bytes as JSON; at most {limit} are kept")
    return encoded


def _check(value: Any, depth: int, budget: _Budget) -> None:
    """Raise `_Refused` unless *value* is JSON; *budget* bounds the work on shared parts."""
    kind = type(value)
    if kind is str:
        _check_text(value, budget)
    elif kind is dict:
        _check_container(value, depth, budget)
        for key, item in value.items():
            if type(key) is not str:
                raise _Refused(f"the key {_brief(key)} is {_kind(key)}; keys must be strings")
            try:
                _check_text(key, budget)
                if type(item) is not int or not -(2**63) <= item < 2**63:  # most are easy
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
        _check_integer(value, budget)
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


def _check_container(value: Sequence[Any] | Mapping[Any, Any], depth: int, budget: _Budget) -> None:
    if depth == 0:
        raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
    budget.spend(len(value), "too many values")


def _check_text(value: str, budget: _Budget) -> None:
    budget.spend(len(value), "too large")
    if "\0" in value:
        raise _Refused("contains NUL (U+0000), which PostgreSQL cannot keep")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Refused(f"contains a lone surrogate at {error.start}") from None


def _check_integer(value: int, budget: _Budget) -> None:
    if -(2**63) <= value < 2**63:
        return
    try:
        digits = len(str(value))
    except ValueError:
        raise _Refused("an integer of too many digits") from None
    budget.spend(digits, "too large")


def type_name(value: Any) -> str:
    """Return the name of the type of *value*, which is not asked about it."""
    name: str = type.__dict__["__name__"].__get__(type(value))
    return name


def _kind(value: Any) -> str:
    name = type_name(value)
    return ("an " if name[:1] in "aeiouAEIOU" else "a ") + name


def _brief(value: Any) -> str:
    return ascii(text(value, 50))


def text(value: Any, most: int) -> str:
    """Return ``str(value)`` if it can be had, storable, of about *most* characters at most."""
    try:
        # Exactly a str: what __str__ returns may be of a subclass, with methods of its own.
        string = value if type(value) is str else str.__str__(str(value))
    except BaseException as error:  # a hostile __str__ must not end a worker
        string = f"<{type_name(value)} whose text raises {type_name(error)}>"
    cut = _cut(string, most).replace("\0", "\ufffd")
    return _cut(cut.encode(errors="backslashreplace").decode(), most)


def _cut(string: str, most: int) -> str:
    if len(string) <= most:
        return string
    return string[: most // 4] + " … " + string[-(most - most // 4) :]


def storable(value: Any) -> JSON:
    """Return *value* as near to itself as `encode` takes.

    Numbers, text, booleans and `None` stay, lists, tuples and mappings are converted inside, all
    else becomes its text; what is too large or too deep becomes the beginning and end of its text.
    """
    converted = _convert(value, MAX_DEPTH - 10, [_MAX_VALUES])
    try:
        encode(converted, limit=_MAX_REASON)
    except InvalidPayload:
        return text(converted, _MAX_REPR)
    return converted


def _convert(value: Any, depth: int, left: list[int]) -> JSON:
    """Convert *value*, at most *depth* levels and *left* values of it."""
    left[0] -= 1
    if depth == 0 or left[0] < 0:
        return "…"
    if value is None or type(value) in (bool, int):
        return value
    try:
        if isinstance(value, float):
            number = float.__float__(value)
            return number if math.isfinite(number) else str(number)
        if isinstance(value, list | tuple):
            return [_convert(item, depth - 1, left) for item in islice(value, max(left[0], 0) + 1)]
        if isinstance(value, Mapping):
            items = islice(value.items(), max(left[0], 0) + 1)
            return {text(key, 200): _convert(item, depth - 1, left) for key, item in items}
    except BaseException:  # a hostile container; its text may be had
        pass
    return text(value, _MAX_REASON // 4)


def encode_result(value: Any, *, limit: int = MAX_BYTES) -> str:
    """Return a worker's result as JSON text, whatever it is.

    The work is done, so what cannot be kept is replaced by a mapping that says so:
    ``{"gaffer:error": "unserialisable", "reason": ..., "repr": ...}``.
    """
    if value is None:
        return "null"
    try:
        return encode(value, root="result", limit=limit)
    except InvalidPayload as error:
        note = {
            "gaffer:error": "unserialisable",
            "reason": text(error, _MAX_REPR),
            "repr": text(shown(value), _MAX_REPR),
        }
        return _encoder.encode(note)


_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = _reprs.maxlong = 1000


def shown(value: Any) -> str:
    """Return the repr of *value*, of bounded length and work, whatever it does when asked."""
    try:
        return _reprs.repr(value)
    except BaseException as error:
        return f"<{type_name(value)} whose repr raises {type_name(error)}>"


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
