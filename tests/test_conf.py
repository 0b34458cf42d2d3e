"""A queue's configuration and a job's options: defaults, merging, and what is refused by name."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaffer import checks
from gaffer.conf import (
    JobOptions,
    NewJob,
    PruneConf,
    QueueConf,
    QueueOptions,
    changed,
    check_job,
    configured,
)
from gaffer.driver import Driver
from gaffer.errors import InvalidJob, InvalidQueueConf
from gaffer.job import Exponential, Job, JobState
from gaffer.schedules import Every

DRIVER = cast(Driver, object())
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HUGE = 10**5000  # more digits than Python prints


def work(job: Job) -> None:
    raise AssertionError(job)


def conf(**options: Any) -> QueueConf:
    return configured("mail", None, DRIVER, options)


def ages(prune: PruneConf) -> dict[str, float | None]:
    return {state.value: prune.age(state) for state in JobState}


def test_a_queue_has_the_defaults_of_its_documentation() -> None:
    """B1, B8, B167."""
    made = configured("mail", work, DRIVER, {})

    assert {field.name: getattr(made, field.name) for field in dataclasses.fields(made)} == {
        "name": "mail",
        "worker": work,
        "driver": DRIVER,
        "max_workers": 1,
        "global_max_workers": None,
        "poll_interval": 0.1,
        "max_attempts": 3,
        "timeout": 30.0,
        "backoff": (1.0,),
        "priority": 0,
        "shutdown_timeout": 5.0,
        "forward": {},
        "hooks": (),
        "prune": PruneConf(1.0, {"completed": 0.0, "failed": 0.0, "cancelled": 0.0}),
        "max_abandoned": None,
        "interrupt": False,
        "schedules": (),
    }


def test_every_option_of_a_queue_and_of_a_job_is_known_by_its_type() -> None:
    fields = {field.name for field in dataclasses.fields(QueueConf)}
    new_job = {field.name for field in dataclasses.fields(NewJob)}

    assert QueueOptions.__annotations__.keys() == fields - {"name", "worker", "driver"}
    assert JobOptions.__annotations__.keys() == new_job - {"payload", "_"}


@pytest.mark.parametrize("unknown", [["max_worker"], ["zeal", "name_", "retries"]])
def test_unknown_options_of_a_queue_are_named_exactly(unknown: list[str]) -> None:
    """B10, B13."""
    options = {**dict.fromkeys(unknown, 1), "max_workers": 5}

    with pytest.raises(InvalidQueueConf) as made:
        conf(**options)
    with pytest.raises(InvalidQueueConf) as updated:
        changed(conf(), options)

    assert made.value.keys == updated.value.keys == set(unknown)
    assert f"unknown: {', '.join(sorted(unknown))}; known are backoff, forward" in str(made.value)


@given(st.dictionaries(st.text(), st.none() | st.integers(), min_size=1))
def test_whatever_the_unknown_options_are_exactly_they_are_named(options: dict[str, Any]) -> None:
    """B10."""
    unknown = options.keys() - QueueOptions.__annotations__.keys()
    valid = {"max_workers": 2, "hooks": ()}

    with pytest.raises(InvalidQueueConf) as refused:
        configured("mail", None, DRIVER, {**valid, **options, "": 0})

    assert refused.value.keys == unknown | {""}


WORKERS = ([1, 2**31 - 1, None], [0, -1, 2**31, 1.0, True, "1"])
DAY = checks.DAY
QUEUE_BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "max_workers": WORKERS,
    "global_max_workers": WORKERS,
    "poll_interval": (
        [0.001, DAY, timedelta(hours=1), None],
        [0, -1, DAY + 1, float("nan"), True, "1"],
    ),
    "max_attempts": ([1, 2**31 - 1], [0, -1, 2**31, None, 1.5, True, "3"]),
    "timeout": (
        [0.001, 30, DAY, timedelta(minutes=5)],
        [0, -1, DAY + 1, 30_000_000, float("inf"), None],
    ),
    "backoff": (
        [0, checks.YEAR, [1, 2, 4], (0.5,), timedelta(seconds=9), Exponential()],
        [-1, 10**9, [], [1, -1], None, Exponential(factor=0.5)],
    ),
    "priority": ([0, -(2**31), 2**31 - 1], [2**31, -(2**31) - 1, 0.5, None, True]),
    "shutdown_timeout": ([0, DAY, timedelta(0)], [-0.001, DAY + 1, None, "5"]),
    "forward": ([{}, {"failed": "dead"}], [{"available": "q"}, None, {"failed": 7}]),
    "hooks": ([(), [print]], [None, print, [7]]),
    "prune": (
        [{}, {"interval": None}, {"max_age": {"failed": 60}}],
        [None, {"age": 1}, {"interval": 0}],
    ),
    "max_abandoned": ([0, 2**31 - 1, None], [-1, 2**31, 0.5, True]),
    "interrupt": ([True, False], [None, 1, "yes"]),
    "schedules": (
        [[], (Every(minutes=5),), [Every(minutes=5), Every(minutes=5, name="b")]],
        [None, Every(minutes=5), ["0 6 * * *"], [Every(minutes=5), Every(seconds=300)]],
    ),
}


def test_the_table_of_bounds_covers_every_option() -> None:
    assert QUEUE_BOUNDS.keys() == QueueOptions.__annotations__.keys()
    assert JOB_BOUNDS.keys() == JobOptions.__annotations__.keys()


@pytest.mark.parametrize("option", QUEUE_BOUNDS)
def test_an_option_of_a_queue_takes_what_is_in_bounds(option: str) -> None:
    """F54."""
    for good in QUEUE_BOUNDS[option][0]:
        made = conf(**{option: good})

        assert made == changed(conf(), {option: good}), good


@pytest.mark.parametrize("option", QUEUE_BOUNDS)
def test_an_option_of_a_queue_refuses_what_is_out_of_bounds_and_says_which(option: str) -> None:
    """F54, B40, B89."""
    for bad in QUEUE_BOUNDS[option][1]:
        for refuse in (conf, lambda **options: changed(conf(), options)):
            with pytest.raises(InvalidQueueConf, match=f"^{option}=") as refused:
                refuse(**{option: bad})

            assert refused.value.keys == {option}


JOB_BOUNDS: dict[str, tuple[list[Any], list[Any]]] = {
    "id": ([UUID(int=1)], ["00000000-0000-0000-0000-000000000001", 1]),
    "kind": (["welcome", "a" * 200], ["", "a" * 201, "a\0", "\ud800", 7]),
    "chain": (["customer:9"], ["", "a" * 201, "a\0", b"x"]),
    "priority": QUEUE_BOUNDS["priority"],
    "max_attempts": QUEUE_BOUNDS["max_attempts"],
    "timeout": QUEUE_BOUNDS["timeout"],
    "backoff": QUEUE_BOUNDS["backoff"],
    "shutdown_timeout": QUEUE_BOUNDS["shutdown_timeout"],
    "scheduled_at": (
        [NOON, datetime(9999, 12, 31, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)],
        [NOON.replace(tzinfo=None), 1_700_000_000, "2026-01-01"],
    ),
    "delay": ([0, checks.CENTURY, timedelta(days=1)], [-1, checks.CENTURY + 1, "1", True]),
    "unique": (["customer:9", "a" * 200], ["", "a" * 201, "a\0", "\ud800", 7]),
    "unique_for": ([0.001, checks.CENTURY, timedelta(days=1)], [0, checks.CENTURY + 1, "1", True]),
}


@pytest.mark.parametrize("option", JOB_BOUNDS)
def test_an_option_of_a_job_takes_what_is_in_bounds(option: str) -> None:
    """B35, F54."""
    for good in JOB_BOUNDS[option][0]:
        assert check_job({option: good}).keys() == {option}, good


@pytest.mark.parametrize("option", JOB_BOUNDS)
def test_an_option_of_a_job_refuses_what_is_out_of_bounds_and_says_which(option: str) -> None:
    """B40, B41, F54."""
    for bad in JOB_BOUNDS[option][1]:
        if bad is not None:
            with pytest.raises(InvalidJob, match=f"^{option}=") as refused:
                check_job({option: bad})

            assert refused.value.keys == {option}


@pytest.mark.parametrize("option", ["max_attempts", "timeout", "backoff", "priority"])
def test_a_number_of_more_digits_than_python_prints_is_refused_like_any_other(option: str) -> None:
    """F54."""
    with pytest.raises(InvalidQueueConf, match=rf"^{option}=") as of_queue:
        conf(**{option: HUGE})
    with pytest.raises(InvalidJob, match=rf"^{option}=") as of_job:
        check_job({option: HUGE})

    assert of_queue.value.keys == of_job.value.keys == {option}


def test_an_option_of_a_job_that_is_none_is_the_queues() -> None:
    """B36."""
    assert check_job({**dict.fromkeys(JOB_BOUNDS), "priority": -5}) == {"priority": -5}


@pytest.mark.parametrize("value", [1, None])
def test_unknown_options_of_a_job_are_named_exactly(value: object) -> None:
    """B49."""
    with pytest.raises(InvalidJob, match="unknown: delayed, zeal; known are backoff") as refused:
        check_job({"delayed": value, "zeal": value, "priority": 1})

    assert refused.value.keys == {"delayed", "zeal"}


def test_a_job_is_scheduled_at_an_instant_or_after_a_delay_but_not_both() -> None:
    with pytest.raises(InvalidJob, match="one of the two") as refused:
        check_job({"scheduled_at": NOON, "delay": 1})

    assert refused.value.keys == {"scheduled_at", "delay"}
    assert check_job({"scheduled_at": NOON, "delay": None}) == {"scheduled_at": NOON}


def test_a_new_job_gives_the_options_that_are_set() -> None:
    job = NewJob({"a": 1}, priority=0, delay=timedelta(0), backoff=[1])

    assert job.options() == {"priority": 0, "delay": timedelta(0), "backoff": [1]}
    assert NewJob(None).options() == {}


def test_an_update_must_change_something() -> None:
    """B14."""
    with pytest.raises(InvalidQueueConf, match="at least one option"):
        changed(conf(), {})


@pytest.mark.parametrize("fixed", [["name"], ["driver"], ["name", "driver"]])
def test_an_update_cannot_change_the_name_or_the_driver(fixed: list[str]) -> None:
    """B15."""
    with pytest.raises(InvalidQueueConf, match="cannot be changed") as refused:
        changed(conf(), {**dict.fromkeys(fixed, "other"), "priority": 1})

    assert refused.value.keys == set(fixed)


def test_an_update_changes_only_what_it_names() -> None:
    """B11."""
    before = conf(global_max_workers=5, priority=3, hooks=[print])

    after = changed(before, {"global_max_workers": 10})

    assert after == dataclasses.replace(before, global_max_workers=10)
    assert before.global_max_workers == 5


def test_an_update_merges_prune_key_by_key() -> None:
    """B16, B17, B168."""
    before = conf(prune={"interval": 7, "max_age": {"failed": 60}})

    slower = changed(before, {"prune": {"interval": 9}})
    kept = changed(before, {"prune": {"max_age": {"cancelled": None, "*": 5}}})

    assert slower.prune == PruneConf(9.0, {"completed": 0.0, "failed": 60.0, "cancelled": 0.0})
    assert kept.prune.interval == 7.0
    assert kept.prune.max_age == {"completed": 0, "failed": 60, "cancelled": None, "*": 5}


def test_an_update_merges_forward_and_replaces_lists() -> None:
    """B16, B17, B18."""
    before = conf(forward={"failed": "dead", "completed": "done"}, hooks=[print], backoff=[1, 2])

    after = changed(before, {"forward": {"failed": "other"}, "hooks": [], "backoff": [9]})

    assert after.forward == {JobState.FAILED: "other", JobState.COMPLETED: "done"}
    assert (after.hooks, after.backoff) == ((), (9.0,))


def test_an_update_swaps_the_worker_or_takes_it_away() -> None:
    """B19."""
    before = configured("mail", work, DRIVER, {})

    assert changed(before, {"worker": print}).worker is print
    assert changed(before, {"worker": None}).worker is None
    assert changed(before, {"priority": 1}).worker is work
    with pytest.raises(InvalidQueueConf, match=r"^worker=7: must be callable") as refused:
        changed(before, {"worker": 7})
    assert refused.value.keys == {"worker"}
