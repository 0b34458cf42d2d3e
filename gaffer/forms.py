"""Forms: how the values of one type are written as JSON values, and read back.

`gaffer.annotations` finds the form of an annotation. No library is imported for one: a model of
pydantic is known by its methods.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from gaffer.codec import shown, type_name
from gaffer.job import JSON

__all__ = [
    "PLAIN",
    "TEXTS",
    "Form",
    "Misfit",
    "enumeration",
    "inside",
    "items",
    "literal",
    "mapping",
    "model",
    "record",
    "row",
    "union",
]


class Misfit(Exception):
    """A value that a form does not take, or an annotation that has none.

    ``reason`` says why, ``steps`` lead to the place inside of it, innermost first.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []
        super().__init__(reason)

    def at(self, root: str) -> str:
        """Return place and reason, where the outermost value is called *root*."""
        return f"{root}{''.join(reversed(self.steps))}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of one type are stored; both calls raise `Misfit` for what is none of them.

    *kinds* are the types of the JSON values that it writes. A *plain* one writes its values as
    they are.
    """

    name: str
    kinds: frozenset[type]
    write: Callable[[Any], JSON]
    read: Callable[[JSON], Any]
    plain: bool = False


def _other(value: Any, name: str) -> Misfit:
    return Misfit(f"is of type {type_name(value)}, not {name}")


def inside(step: str, call: Callable[[Any], Any], value: Any) -> Any:
    """Return ``call(value)``; a `Misfit` that it raises is *step* deeper."""
    try:
        return call(value)
    except Misfit as misfit:
        misfit.steps.append(step)
        raise


# -- values as they are ----------------------------------------------------------------------------

_JSON = frozenset({type(None), bool, int, float, str, list, dict})


def _as_is(name: str, kinds: frozenset[type]) -> Form:
    def check(value: Any) -> Any:
        if type(value) not in kinds:
            raise _other(value, name)
        return value

    return Form(name, kinds, check, check, plain=True)


PLAIN: dict[Any, Form] = {
    # What is wrong inside of it is found at the insert, and named by its place.
    Any: Form("Any", _JSON, lambda value: value, lambda value: value, plain=True),
    None: _as_is("None", frozenset({type(None)})),
    type(None): _as_is("None", frozenset({type(None)})),
    bool: _as_is("bool", frozenset({bool})),
    # As type checkers have it: a bool is an int, and an int may stand for a float.
    int: _as_is("int", frozenset({int, bool})),
    float: _as_is("float", frozenset({float, int, bool})),
    str: _as_is("str", frozenset({str})),
}
"""The forms of what JSON has."""


def literal(values: Sequence[Any]) -> Form:
    """Return the form of a ``Literal``."""
    kinds = frozenset(map(type, values))
    if not kinds <= _JSON:
        raise Misfit("a Literal of other values than None, bool, int and str has no form in JSON")
    name = f"one of {', '.join(map(repr, values))}"

    def check(value: Any) -> Any:
        if not any(type(value) is type(one) and value == one for one in values):
            raise Misfit(f"is {shown(value)}, not {name}")
        return value

    return Form(name, kinds, check, check)


# -- values as text --------------------------------------------------------------------------------


def _text(kind: type[Any], write: Callable[[Any], str], read: Callable[[str], Any]) -> Form:
    name = kind.__name__

    def written(value: Any) -> str:
        # A datetime is a date to type checkers, but its text is none.
        if not isinstance(value, kind) or (kind is date and isinstance(value, datetime)):
            raise _other(value, name)
        return write(value)

    def parsed(value: JSON) -> Any:
        if type(value) is not str:
            raise _other(value, f"the text of a {name}")
        try:
            return read(value)
        except (ValueError, ArithmeticError):
            raise Misfit(f"{shown(value)} is not the text of a {name}") from None

    return Form(name, frozenset({str}), written, parsed)


TEXTS: dict[Any, Form] = {
    datetime: _text(datetime, datetime.isoformat, datetime.fromisoformat),
    date: _text(date, date.isoformat, date.fromisoformat),
    UUID: _text(UUID, str, UUID),
    Decimal: _text(Decimal, str, Decimal),
}
"""The forms of what is kept as its text."""


def enumeration(kind: type[Enum]) -> Form:
    """Return the form of an enumeration: the values of its members."""
    name = kind.__qualname__
    kinds = frozenset(type(member.value) for member in kind)
    if not kinds <= {str, int}:
        raise Misfit(f"{name} has members whose values are neither text nor integers")

    def write(value: Any) -> JSON:
        if not isinstance(value, kind):
            raise _other(value, name)
        return value.value

    def read(value: JSON) -> Any:
        try:
            return kind(value)
        except ValueError:
            raise Misfit(f"{shown(value)} is not the value of a {name}") from None

    return Form(name, kinds, write, read)


# -- containers ------------------------------------------------------------------------------------


def items(name: str, kind: type[Any], made: Callable[[list[Any]], Any], item: Form) -> Form:
    """Return the form of a *kind* of sequence, which reads back as *made* makes it of a list."""

    def write(value: Any) -> JSON:
        if not isinstance(value, kind) or isinstance(value, str | bytes | bytearray):
            raise _other(value, name)
        return [inside(f"[{n}]", item.write, one) for n, one in enumerate(value)]

    def read(value: JSON) -> Any:
        if type(value) is not list:
            raise _other(value, name)
        return made([inside(f"[{n}]", item.read, one) for n, one in enumerate(value)])

    return Form(name, frozenset({list}), write, read)


def row(forms: Sequence[Form]) -> Form:
    """Return the form of a tuple of a certain length."""
    name = f"tuple of {len(forms)}"

    def each(calls: Sequence[Callable[[Any], Any]], value: Any, kind: type[Any]) -> list[Any]:
        if not isinstance(value, kind):
            raise _other(value, name)
        if len(value) != len(calls):
            raise Misfit(f"has {len(value)} items, not {len(calls)}")
        return [inside(f"[{n}]", calls[n], one) for n, one in enumerate(value)]

    return Form(
        name,
        frozenset({list}),
        lambda value: each([one.write for one in forms], value, tuple),
        lambda value: tuple(each([one.read for one in forms], value, list)),
    )


def mapping(name: str, kind: type[Any], item: Form) -> Form:
    """Return the form of a *kind* of mapping, with keys of text."""

    def each(call: Callable[[Any], Any], value: Any, kind: type[Any]) -> dict[str, Any]:
        if not isinstance(value, kind):
            raise _other(value, name)
        for key in value:
            if type(key) is not str:
                raise Misfit(f"has the key {shown(key)}; keys must be strings")
        return {key: inside(f"[{key!r}]", call, value[key]) for key in value}

    return Form(
        name,
        frozenset({dict}),
        lambda value: each(item.write, value, kind),
        lambda value: each(item.read, value, dict),
    )


# -- classes ---------------------------------------------------------------------------------------


def record(kind: type[Any], forms: Mapping[str, Form]) -> Form:
    """Return the form of a dataclass: a mapping of the fields that it is made from.

    *forms* may be filled later: a dataclass may hold others of its own kind.
    """
    name = kind.__qualname__

    def write(value: Any) -> JSON:
        if type(value) is not kind:  # what a subclass adds would be lost
            raise _other(value, name)
        return {
            field: inside(f".{field}", one.write, getattr(value, field))
            for field, one in forms.items()
        }

    def read(value: JSON) -> Any:
        if type(value) is not dict:
            raise _other(value, name)
        for field in value:
            if field not in forms:
                raise Misfit(f"{name} has no field {shown(field)}")
        given = {field: inside(f".{field}", forms[field].read, value[field]) for field in value}
        return _made(name, lambda: kind(**given))

    return Form(name, frozenset({dict}), write, read)


def model(kind: Any) -> Form:
    """Return the form of a model of pydantic: what it dumps itself as."""
    name = kind.__qualname__

    def write(value: Any) -> JSON:
        if type(value) is not kind:
            raise _other(value, name)
        return value.model_dump(mode="json", by_alias=True, round_trip=True)

    def read(value: JSON) -> Any:
        # As text: a strict model takes a date from JSON only.
        return _made(name, lambda: kind.model_validate_json(json.dumps(value)))

    return Form(name, _JSON - {type(None)}, write, read)


def _made(name: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:  # the class's own refusal, whatever it is
        raise Misfit(f"no {name} can be made of it: {error}") from error


# -- unions ----------------------------------------------------------------------------------------


def union(members: Sequence[Form]) -> Form:
    """Return the form of one of several; what is stored has to tell of which."""
    name = " | ".join(member.name for member in members)
    forms = _told_apart(name, members)

    def write(value: Any) -> JSON:
        deepest = _other(value, name)
        for one in forms:
            try:
                return one.write(value)
            except Misfit as misfit:
                deepest = max(deepest, misfit, key=lambda found: len(found.steps))
        raise deepest

    def read(value: JSON) -> Any:
        for one in forms:
            if type(value) in one.kinds:
                return one.read(value)
        raise _other(value, name)

    kinds = frozenset[type]().union(*(one.kinds for one in forms))
    return Form(name, kinds, write, read, plain=all(one.plain for one in forms))


def _told_apart(name: str, members: Sequence[Form]) -> list[Form]:
    """Return the plain members as one, and the others; each has kinds of its own."""
    plain = frozenset[type]().union(*(member.kinds for member in members if member.plain))
    forms = [_as_is(name, plain)] if plain else []
    forms += [member for member in members if not member.plain]
    taken: set[type] = set()
    for one in forms:
        if taken & one.kinds:
            raise Misfit(f"{name}: what is stored would not tell a {one.name} from the others")
        taken |= one.kinds
    return forms
