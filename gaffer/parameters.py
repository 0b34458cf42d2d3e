"""The parameters of a function: its arguments as a payload, and a payload as arguments.

A payload is a mapping of all arguments by their names, those left to their defaults included: what
a job does was decided when it was inserted, and people can read it. A parameter with a default may
be added later; jobs without it get the default.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Mapping
from inspect import BoundArguments, Parameter
from typing import Any

from gaffer.annotations import form_of
from gaffer.checks import listed
from gaffer.codec import shown, type_name
from gaffer.errors import InvalidArguments, InvalidTask
from gaffer.forms import Form, Misfit, items, mapping, union
from gaffer.job import JSON, Outcome

__all__ = ["Parameters"]


class Parameters:
    """The parameters of *function*, each with the form of its annotation.

    Raise `InvalidTask` if one has no annotation, or one whose values JSON cannot keep.
    """

    def __init__(self, task: str, function: Callable[..., Any]) -> None:
        self._task = task
        try:
            self._signature = inspect.signature(function)
        except Exception as error:
            raise InvalidTask(task, f"its signature cannot be read: {error}") from error
        names = getattr(inspect.unwrap(function), "__globals__", {})
        self._forms = {
            name: self._form(parameter, names)
            for name, parameter in self._signature.parameters.items()
        }
        self._answer = self._answered(names)
        for name, parameter in self._signature.parameters.items():
            if parameter.default is not Parameter.empty:
                self._check_default(name, parameter.default)

    def _form(self, parameter: Parameter, names: dict[str, Any]) -> Form:
        if parameter.annotation is Parameter.empty:
            raise self._refused(parameter.name, "has no annotation; Any stands for what JSON has")
        try:
            form = form_of(_resolved(parameter.annotation, names))
        except Misfit as misfit:
            raise InvalidTask(self._task, misfit.at(f"parameter {parameter.name!r}")) from None
        except Exception as error:  # whatever it does when it is looked up or looked at
            raise self._refused(parameter.name, f"its annotation means nothing: {error}") from error
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return items("tuple", tuple, tuple, form)
        if parameter.kind is Parameter.VAR_KEYWORD:
            return mapping("dict", dict, form)
        return form

    def _answered(self, names: dict[str, Any]) -> Form | None:
        """Return the form of what the function returns, if that differs from what JSON has."""
        try:
            form = _value_form(_resolved(self._signature.return_annotation, names))
        except Exception:  # none, only outcomes, or anything: it is kept as it is, if it can be
            return None
        return None if form.plain else form

    def _check_default(self, name: str, default: Any) -> None:
        try:
            self._forms[name].write(default)
        except Misfit as misfit:
            raise self._refused(name, misfit.at("its default")) from None

    def _refused(self, name: str, reason: str) -> InvalidTask:
        return InvalidTask(self._task, f"parameter {name!r}: {reason}")

    def write(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, JSON]:
        """Return the arguments of a call as a payload; raise `InvalidArguments`."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(self._task, str(error)) from None
        bound.apply_defaults()
        return {
            name: self._one(name, self._forms[name].write, value)
            for name, value in bound.arguments.items()
        }

    def read(self, payload: JSON) -> BoundArguments:
        """Return the arguments that a payload holds; raise `InvalidArguments`.

        What it does not hold has its default. What no parameter has the name of is refused: it
        was inserted to make a difference.
        """
        if type(payload) is not dict:
            reason = f"the payload is of type {type_name(payload)}, not a dict of arguments"
            raise InvalidArguments(self._task, reason)
        if unknown := payload.keys() - self._forms.keys():
            reason = f"unknown arguments: {listed(map(shown, unknown))}"
            raise InvalidArguments(self._task, f"{reason}; known are {listed(self._forms)}")
        given = OrderedDict(
            (name, self._one(name, form.read, payload[name]))
            for name, form in self._forms.items()
            if name in payload
        )
        bound = BoundArguments(self._signature, given)
        bound.apply_defaults()
        for name in self._forms:
            if name not in bound.arguments:
                raise InvalidArguments(self._task, f"missing a required argument: {name!r}")
        return bound

    def answer(self, value: Any) -> Any:
        """Return what the function has returned as a result to be kept.

        An outcome, or what is not what the annotation says, stays as it is: the work is done.
        """
        try:
            return value if self._answer is None else self._answer.write(value)
        except (Misfit, RecursionError):
            return value

    def answered(self, result: JSON) -> Any:
        """Return a result as the function has returned it; raise `Misfit`."""
        return result if self._answer is None else self._answer.read(result)

    def _one(self, name: str, call: Callable[[Any], Any], value: Any) -> Any:
        try:
            return call(value)
        except Misfit as misfit:
            raise InvalidArguments(self._task, misfit.at(name)) from misfit.__cause__
        except RecursionError:
            raise InvalidArguments(self._task, f"{name}: holds itself, or too much") from None


def _value_form(annotation: Any) -> Form:
    """Return the form of what a function returns, the outcomes left aside; raise `Misfit`."""
    union_of = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    members = typing.get_args(annotation) if union_of else (annotation,)
    values = [member for member in members if member not in _OUTCOMES]
    return form_of(values[0]) if len(values) == 1 else union([form_of(one) for one in values])


_OUTCOMES = typing.get_args(Outcome)


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """Return what an annotation means, be it text or not, among the *names* of its module."""

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return typing.get_type_hints(holder, names)["it"]
