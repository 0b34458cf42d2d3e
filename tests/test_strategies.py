"""The strategies give what they say, and the equality of the suite sees what it must."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gaffer import checks, codec
from gaffer.driver import Job, dump_backoff, dump_errors, load_backoff, load_errors
from gaffer.errors import InvalidPayload
from gaffer.job import JSON, Backoff, JobError
from gaffer.testing.lockstep import New
from gaffer.testing.strategies import (
    backoffs,
    names,
    payloads,
    refused_payloads,
    settled_jobs,
)
from gaffer.testing.values import NOW, new_job, typed

generously = settings(deadline=None, suppress_health_check=list(HealthCheck))


@generously
@given(payloads())
def test_payloads_are_taken_and_read_back_equal(payload: JSON) -> None:
    assert typed(codec.decode(codec.encode(payload))) == typed(payload)


@generously
@given(refused_payloads())
def test_refused_payloads_are_refused_at_their_path(refused: tuple[Any, str]) -> None:
    payload, path = refused

    with pytest.raises(InvalidPayload) as raised:
        codec.encode(payload)

    assert raised.value.path == path


@generously
@given(names())
def test_names_are_names(name: str) -> None:
    assert checks.name(name) == name


@generously
@given(backoffs())
def test_backoffs_are_checked_and_can_be_stored(backoff: Backoff) -> None:
    assert checks.backoff(backoff) == backoff
    assert typed(load_backoff(dump_backoff(backoff))) == typed(backoff)


@generously
@given(settled_jobs())
def test_a_history_goes_on_by_one_revision_at_a_time(history: list[Job]) -> None:
    assert [job.revision for job in history] == list(range(len(history)))
    assert len({job.id for job in history}) == 1
    for job in history:
        assert typed(load_errors(dump_errors(job.errors))) == typed(job.errors)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1], (1,)),
        ({"a": 0}, {"a": False}),
        (JobError(1, {"a": 1}, NOW), JobError(1, {"a": 1.0}, NOW)),
    ],
)
def test_typed_tells_apart_what_is_not_the_same(one: object, another: object) -> None:
    assert typed(one) == typed(one)
    assert typed(one) != typed(another)


def test_typed_sees_every_field_of_a_job() -> None:
    job = new_job(timeout=30.0)

    assert typed(job) != typed(new_job(id=job.id, timeout=30))
    assert typed(job) == typed(new_job(id=job.id, timeout=30.0))


def test_a_new_job_is_shown_by_what_is_special_about_it() -> None:
    assert repr(New(chain="c", due=-100)) == "New(chain='c', due=-100)"
    assert repr(New()) == "New()"
