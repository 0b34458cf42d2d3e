"""From an annotation to the `Form` of its values; what would not come back as it was is refused."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, TypeAlias, Union

from gaffer.codec import shown
from gaffer.forms import (
    PLAIN,
    TEXTS,
    Form,
    Misfit,
    enumeration,
    inside,
    items,
    literal,
    mapping,
    model,
    record,
    row,
    union,
)

__all__ = ["form_of"]

Seen: TypeAlias = dict[Any, Form]
"""The dataclasses whose form is made or being made: they may hold themselves."""


def form_of(annotation: Any, seen: Seen | None = None) -> Form:
    """Return the form of an annotation, or raise `Misfit`; *seen* is for calls from in here."""
    seen = {} if seen is None else seen
    if isinstance(annotation, typing.NewType):
        return form_of(annotation.__supertype__, seen)
    if type(annotation).__name__ == "TypeAliasType":  # of `typing` since Python 3.12 only
        return _of_alias(annotation, seen)
    simple = PLAIN.get(annotation) or TEXTS.get(annotation)
    if simple is not None:
        return simple
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        return union([form_of(member, seen) for member in arguments])
    if origin is Literal:
        return literal(arguments)
    made = _CONTAINERS.get(origin or annotation)
    if made is not None:
        return made(arguments, seen)
    if origin is None and isinstance(annotation, type):
        return _of_class(annotation, seen)
    raise _unknown(annotation)


def _of_class(kind: type, seen: Seen) -> Form:
    if issubclass(kind, Enum):
        return enumeration(kind)
    if dataclasses.is_dataclass(kind):
        return seen.get(kind) or _of_dataclass(kind, seen)
    if hasattr(kind, "model_validate_json") and hasattr(kind, "model_dump"):
        return model(kind)
    raise _unknown(kind)


def _of_dataclass(kind: type, seen: Seen) -> Form:
    forms: dict[str, Form] = {}
    made = seen[kind] = record(kind, forms)
    hints = typing.get_type_hints(kind)
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            raise Misfit(f"{kind.__qualname__}.{name} is an InitVar, which no value keeps")
    for field in dataclasses.fields(kind):
        if field.init:
            forms[field.name] = inside(
                f".{field.name}", lambda hint: form_of(hint, seen), hints[field.name]
            )
    return made


def _of_alias(alias: Any, seen: Seen) -> Form:
    try:
        return form_of(alias.__value__, seen)
    except RecursionError:
        raise Misfit(f"{alias} refers to itself; use Any") from None


def _unknown(annotation: Any) -> Misfit:
    name = annotation.__qualname__ if isinstance(annotation, type) else shown(annotation)
    return Misfit(
        f"{name} has no form in JSON; use None, bool, int, float, str, list, tuple, dict, "
        "Sequence, Mapping, Any, Literal, datetime, date, UUID, Decimal, an Enum, a dataclass "
        "or a model of pydantic"
    )


def _items(name: str, kind: type, made: Callable[[list[Any]], Any]) -> Any:
    def make(arguments: Sequence[Any], seen: Seen) -> Form:
        return items(name, kind, made, form_of(arguments[0] if arguments else Any, seen))

    return make


def _tuple(arguments: Sequence[Any], seen: Seen) -> Form:
    if not arguments or arguments[1:] == (...,):
        return items("tuple", tuple, tuple, form_of(arguments[0] if arguments else Any, seen))
    return row([form_of(argument, seen) for argument in arguments])


def _mapping(name: str, kind: type) -> Any:
    def make(arguments: Sequence[Any], seen: Seen) -> Form:
        key, item = arguments or (str, Any)
        if key is not str:
            raise Misfit(f"a {name} with keys other than str has no form in JSON")
        return mapping(name, kind, form_of(item, seen))

    return make


_CONTAINERS: dict[Any, Callable[[Sequence[Any], Seen], Form]] = {
    list: _items("list", list, list),
    tuple: _tuple,
    Sequence: _items("Sequence", Sequence, list),
    dict: _mapping("dict", dict),
    Mapping: _mapping("Mapping", Mapping),
}
