"""What a queue prunes by its configuration, and that a configuration cannot change under way."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer.conf import PruneConf, QueueConf, changed, check_name, check_worker, configured
from gaffer.driver import Driver
from gaffer.errors import InvalidJob, InvalidQueueConf
from gaffer.job import Job, JobState
from gaffer.machine import cutoffs

DRIVER = cast(Driver, object())
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALL = frozenset(state.value for state in JobState)
KEYS = st.sampled_from(["*", *JobState])
AGES = st.dictionaries(KEYS, st.none() | st.sampled_from([0.0, 1.0, 86_400.0]))


class Performing:
    def perform(self, job: Job) -> str:
        return job.queue


def conf(**options: Any) -> QueueConf:
    return configured("mail", None, DRIVER, options)


def pruned_at_once(prune: PruneConf) -> set[str]:
    return {state.value for state, cutoff in cutoffs(prune, now=NOON).items() if cutoff == "all"}


@pytest.mark.parametrize(
    ("max_age", "pruned"),
    [
        (None, {"completed", "failed", "cancelled"}),  # B167
        ({}, {"completed", "failed", "cancelled"}),
        ({"cancelled": 5}, {"completed", "failed"}),  # B168
        ({"cancelled": None}, {"completed", "failed"}),  # B171
        ({"available": 0}, {"available", "completed", "failed", "cancelled"}),
        ({"*": None}, set()),  # B172
        ({"*": 0}, ALL),
        ({"*": None, "cancelled": 0}, {"cancelled"}),  # B173
        ({"*": 0, "cancelled": None}, ALL - {"cancelled"}),
        ({"*": None, "completed": 0}, {"completed"}),  # B170
    ],
)
def test_a_state_is_pruned_by_its_own_age_or_by_that_of_the_star(
    max_age: dict[str, float | None] | None, pruned: set[str]
) -> None:
    """B166 to B173."""
    made = conf(prune={} if max_age is None else {"max_age": max_age})

    assert pruned_at_once(made.prune) == pruned


@given(AGES)
def test_a_state_without_an_age_and_without_a_star_is_never_pruned(
    max_age: dict[str, float | None],
) -> None:
    """B166."""
    prune = PruneConf(None, max_age)

    for state in JobState:
        expected = max_age[state] if state in max_age else max_age.get("*")
        assert prune.age(state) == expected


@given(AGES, AGES)
def test_an_update_lays_the_new_ages_over_the_old_ones(
    old: dict[str, float | None], new: dict[str, float | None]
) -> None:
    """B16, B168."""
    before = conf(prune={"max_age": {"*": None, **old}})

    after = changed(before, {"prune": {"max_age": new}})

    assert after.prune.max_age == {"*": None, **old, **new}
    assert after.prune.interval == before.prune.interval


@given(AGES)
def test_cutoffs_are_instants_in_the_past_and_leave_out_what_is_never_pruned(
    max_age: dict[str, float | None],
) -> None:
    """B169, B174, B180."""
    prune = PruneConf(1.0, max_age)

    found = cutoffs(prune, now=NOON)

    assert found.keys() == {state for state in JobState if prune.age(state) is not None}
    for state, cutoff in found.items():
        age = prune.age(state)
        assert age is not None
        assert cutoff == ("all" if age == 0 else NOON - timedelta(seconds=age))


def test_a_configuration_shares_nothing_that_can_change_with_what_it_was_given() -> None:
    max_age: dict[str, Any] = {"failed": 60}
    forward = {"failed": "dead"}
    hooks = [print]
    backoff = [1, 2]
    made = conf(prune={"max_age": max_age}, forward=forward, hooks=hooks, backoff=backoff)

    max_age["failed"] = 0
    forward["completed"] = "done"
    hooks.clear()
    backoff.append(3)

    assert made.prune.age(JobState.FAILED) == 60
    assert made.forward == {JobState.FAILED: "dead"}
    assert (made.hooks, made.backoff) == ((print,), (1.0, 2.0))


def test_a_configuration_cannot_be_changed_in_place() -> None:
    made: Any = conf(forward={"failed": "dead"})

    for name in ("name", "priority", "hooks"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, name, ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.prune.interval = 5
    assert isinstance(made.forward, MappingProxyType)
    assert isinstance(made.prune.max_age, MappingProxyType)
    assert isinstance(conf().prune.max_age, MappingProxyType)
    assert isinstance(conf().forward, MappingProxyType)


def test_a_new_configuration_does_not_remember_an_older_one() -> None:
    """B6."""
    conf(max_workers=5, prune={"interval": 9, "max_age": {"failed": 60}}, forward={"failed": "d"})

    assert conf(priority=1) == dataclasses.replace(conf(), priority=1)


@pytest.mark.parametrize("name", ["", "a" * 201, "a\0b", "\udfff", None, 7, b"mail"])
def test_a_queue_needs_a_name_that_every_store_keeps(name: Any) -> None:
    """F46."""
    with pytest.raises(InvalidQueueConf, match=r"^queue=") as refused:
        configured(name, None, DRIVER, {})

    assert refused.value.keys == {"queue"}


def test_a_name_of_something_else_is_refused_under_its_own_name_and_error() -> None:
    with pytest.raises(InvalidJob, match=r"^kind=''") as refused:
        check_name("", "kind", InvalidJob)

    assert refused.value.keys == {"kind"}
    assert check_name("welcome", "kind", InvalidJob) == "welcome"


def test_a_name_that_python_cannot_print_is_refused_like_any_other() -> None:
    """F54."""
    with pytest.raises(InvalidQueueConf, match="must be a string"):
        check_name(cast(str, 10**5000), "queue")


def test_a_queue_needs_no_worker() -> None:
    assert check_worker(None) is None
    assert configured("mail", None, DRIVER, {}).worker is None


def test_a_worker_is_checked_and_made_at_the_door() -> None:
    """B21."""

    async def later(job: Job) -> None:
        raise AssertionError(job)

    made = configured("mail", Performing, DRIVER, {}).worker

    assert isinstance(made, Performing)
    with pytest.raises(InvalidQueueConf, match=r"^worker=.*coroutine function") as refused:
        configured("mail", later, DRIVER, {})
    assert refused.value.keys == {"worker"}


def test_a_value_without_a_repr_is_refused_like_any_other() -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InvalidQueueConf, match=r"^timeout=.*finite number"):
        conf(timeout=Shy())
