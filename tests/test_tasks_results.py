"""The results of tasks: what the function returned comes back as its annotation says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

import gaffer
from gaffer import Cancel, Complete, Gaffer, InvalidArguments, InvalidJob, ResultError, Task
from tests.conftest import PATIENCE, quiet


@dataclasses.dataclass
class Receipt:
    total: Decimal
    on: date
    lines: list[str] = dataclasses.field(default_factory=list)


def buy(item: str, price: Decimal) -> Receipt:
    return Receipt(price * 2, date(2031, 5, 6), [item])


def maybe(price: Decimal | None) -> Decimal | None:
    return price


def plain(number: int) -> dict[str, list[int]]:
    return {"numbers": [number]}


def outcome(number: int) -> Complete:
    return Complete({"number": number})


def either(number: int) -> Decimal | Cancel:
    return Decimal(number) if number else Cancel("none")


def unannotated(number: int):  # type: ignore[no-untyped-def]
    return number


def wrong(number: int) -> Decimal:
    return "what?"  # type: ignore[return-value]


@pytest.fixture
def app(manual: Gaffer) -> Gaffer:
    """Give a Gaffer with a queue of tasks, and none of these yet."""
    manual.create_queue("q", worker=manual.tasks("q"), **quiet(max_attempts=1))
    return manual


@pytest.mark.parametrize(
    ("function", "arguments", "stored", "result"),
    [
        (
            buy,
            ("tea", Decimal("1.25")),
            {"total": "2.50", "on": "2031-05-06", "lines": ["tea"]},
            Receipt(Decimal("2.50"), date(2031, 5, 6), ["tea"]),
        ),
        (maybe, (Decimal("0.1"),), "0.1", Decimal("0.1")),
        (maybe, (None,), None, None),
        (plain, (5,), {"numbers": [5]}, {"numbers": [5]}),
        (either, (5,), "5", Decimal(5)),
        (outcome, (5,), {"number": 5}, {"number": 5}),
        (unannotated, (5,), 5, 5),
    ],
)
def test_a_result_is_kept_as_json_and_comes_back_as_it_was_returned(
    app: Gaffer, function: Callable[..., Any], arguments: Any, stored: Any, result: Any
) -> None:
    task: Task[..., Any] = app.task(queue="q")(function)
    future = task.submit(*arguments)
    job = task.insert(*arguments)

    app.poll("q")
    app.poll("q")

    assert app.get("q", job.id).result == stored
    later = task.future(job.id)
    got = [future.result(PATIENCE), task.result(job, PATIENCE), later.result(PATIENCE)]
    assert got == [result] * 3
    assert {type(one) for one in got} == {type(result)}
    assert app.result("q", job, PATIENCE) == stored


def test_the_worker_of_a_kind_may_be_a_task(manual: Gaffer) -> None:
    task = manual.task(queue="q")(maybe)
    manual.create_queue("q", worker=task, **quiet())
    future = task.using(priority=5).submit(price=Decimal(7))

    manual.poll("q")

    assert manual.get("q", future.id).priority == 5
    assert future.result(PATIENCE) == Decimal(7)


def test_a_result_that_is_not_what_the_function_says_is_kept_and_told_as_that(app: Gaffer) -> None:
    task = app.task(queue="q")(wrong)
    future = task.submit(1)

    app.poll("q")

    with pytest.raises(ResultError, match=r"its result: 'what\?' is not the text") as raised:
        future.result(PATIENCE)
    assert raised.value.job is not None
    assert raised.value.job.result == "what?"


def test_a_submit_checks_its_arguments_and_inserts_nothing_that_is_wrong(app: Gaffer) -> None:
    task: Task[..., Any] = app.task(queue="q")(maybe)

    with pytest.raises(InvalidArguments, match="price"):
        task.submit("much")
    with pytest.raises(InvalidJob, match="after the commit"):
        task.using(connection=object()).submit(None)

    assert app.list("q") == []
    assert isinstance(task.submit(None), gaffer.ResultFuture)


def test_submit_refuses_an_on_conflict_that_it_would_not_keep(manual: Gaffer) -> None:
    task = manual.task(queue="plain")(plain)
    manual.ensure_queue("plain", **quiet())

    with pytest.raises(InvalidJob, match="on_conflict='raise': submit waits for the job that"):
        task.using(on_conflict="raise", unique="k").submit(1)

    assert manual.list("plain") == []
    assert task.using(on_conflict="return", unique="k").submit(1).id
