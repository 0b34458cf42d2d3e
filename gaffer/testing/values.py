"""New jobs for tests, and an equality that sees what ``==`` does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

from gaffer import codec, machine
from gaffer.conf import configured
from gaffer.job import JSON, Job
from gaffer.testing.doubles import ManualClock
from gaffer.testing.model import ModelDriver, ModelStore

__all__ = ["NOW", "new_job", "template", "typed"]

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
"""When the jobs of `new_job` are made, unless told otherwise."""


@cache
def template(queue: str) -> Job:
    """Return what new jobs of *queue* are made from, with all options at their defaults."""
    driver = ModelDriver(ModelStore(ManualClock()))
    return machine.template(configured(queue, None, driver, {}))


def new_job(queue: str = "q", payload: JSON = None, **options: Any) -> Job:
    """Return a job at revision 0; *options* are fields of `Job`, and ``now`` its `created_at`."""
    options = {"id": uuid4(), "now": NOW, **options}
    return machine.create(template(queue), codec.encode(payload), **options)


def typed(value: Any) -> Any:
    """Return *value* in a form whose ``==`` tells 1 from 1.0 and `True`, and 0.0 from -0.0.

    Mappings lose their type, since a driver may choose it, but not their order inside a job.
    """
    if is_dataclass(value) and not isinstance(value, type):
        kept = [field.name for field in fields(value) if field.compare]
        return (type(value).__name__, {name: typed(getattr(value, name)) for name in kept})
    if isinstance(value, Mapping):
        return {typed(key): typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return (type(value).__name__, [typed(item) for item in value])
    if isinstance(value, datetime):
        return ("datetime", value.isoformat())
    return (type(value).__name__, repr(value) if isinstance(value, float) else value)
