"""Tasks: functions whose calls become jobs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import gaffer
from gaffer import (
    Cancel,
    Gaffer,
    InvalidArguments,
    InvalidJob,
    InvalidPayload,
    InvalidQueueConf,
    InvalidTask,
    Job,
    JobState,
    UnknownQueue,
)
from tests.conftest import MakeGaffer, quiet

AT = datetime(2031, 5, 6, tzinfo=UTC)


def send(to: str, body: str = "hello", *, copies: int = 1) -> str:
    return f"{body}, {to}" * copies


def pick(*names: str, priority: int, delay: float = 0.5, **more: bool) -> list[Any]:
    return [list(names), priority, delay, more]


def shared(first: str, /, second: str = "b") -> str:
    return first + second


def worked(app: Gaffer, job: Job) -> Job:
    """Work one job; return it as it is then."""
    assert app.poll(job.queue) == 1
    return app.get(job.queue, job.id)


@pytest.fixture
def app(manual: Gaffer) -> Gaffer:
    """Give a Gaffer with a queue of tasks, and none of these yet."""
    manual.create_queue("q", worker=manual.tasks("q"), **quiet(max_attempts=1))
    return manual


def test_a_task_is_called_as_the_function_that_it_is(app: Gaffer) -> None:
    task = app.task(queue="q")(send)

    assert task("Ada", copies=2) == "hello, Adahello, Ada"
    assert app.list("q") == []
    assert (task.name, task.function) == ("send", send)


def test_a_task_looks_like_its_function_and_keeps_what_is_its_own(app: Gaffer) -> None:
    def tagged(to: str) -> None:
        """Send."""

    tagged.queue = "elsewhere"  # type: ignore[attr-defined]
    task = app.task(queue="q")(tagged)

    assert (inspect.getdoc(task), inspect.signature(task)) == ("Send.", inspect.signature(tagged))
    assert task.queue == "q"


def test_an_inserted_call_is_worked_and_its_return_value_is_the_result(app: Gaffer) -> None:
    task = app.task(queue="q")(send)

    job = worked(app, task.insert("Ada", body="bye"))

    assert (job.state, job.result) == (JobState.COMPLETED, "bye, Ada")


def test_the_payload_is_all_arguments_by_name_and_the_kind_the_task(app: Gaffer) -> None:
    job = app.task(queue="q")(send).insert("Ada")

    assert job.payload == {"to": "Ada", "body": "hello", "copies": 1}
    assert (job.queue, job.kind) == ("q", "send")


def test_a_name_of_its_own_is_the_kind(app: Gaffer) -> None:
    task = app.task(queue="q", name="mail.send")(send)

    job = worked(app, task.insert("Ada"))

    assert (job.kind, job.result) == ("mail.send", "hello, Ada")


def test_parameters_of_every_kind_get_their_arguments(app: Gaffer) -> None:
    picked = app.task(queue="q")(pick).insert("a", "b", priority=3, delay=2.5, blue=True)
    split = app.task(queue="q")(shared).insert("a")

    assert worked(app, picked).result == [["a", "b"], 3, 2.5, {"blue": True}]
    assert worked(app, split).result == "ab"


def test_a_task_may_answer_as_any_worker(app: Gaffer) -> None:
    @app.task(queue="q")
    def charge(amount: int) -> Cancel | int:
        return Cancel("nothing to charge") if amount == 0 else amount

    job = worked(app, charge.insert(0))

    assert (job.state, job.result) == (JobState.CANCELLED, "nothing to charge")


def test_a_task_sees_its_job(app: Gaffer) -> None:
    @app.task(queue="q")
    def who() -> str:
        return str(gaffer.current().job.id)

    job = worked(app, who.insert())

    assert job.result == str(job.id)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda task: task.insert(), "missing a required argument: 'to'"),
        (lambda task: task.insert("a", cc="b"), "got an unexpected keyword argument 'cc'"),
        (lambda task: task.insert("a", "b", "c"), "too many positional arguments"),
        (lambda task: task.insert(5), "to: is of type int, not str"),
        (lambda task: task.job("a", copies="2"), "copies: is of type str, not int"),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_given(
    call: Callable[[Any], object], reason: str, app: Gaffer
) -> None:
    task = app.task(queue="q")(send)

    with pytest.raises(InvalidArguments) as refused:
        call(task)

    assert (refused.value.task, refused.value.reason) == ("send", reason)
    assert app.list("q") == []


def test_what_json_cannot_keep_is_named_by_its_argument(app: Gaffer) -> None:
    @app.task(queue="q")
    def note(about: Any) -> None: ...

    with pytest.raises(InvalidPayload) as refused:
        note.insert({"tags": [{1}]})

    assert refused.value.path == "payload.about.tags[0]"


# -- payloads of another release -------------------------------------------------------------------


def test_a_job_from_before_a_parameter_gets_its_default(app: Gaffer) -> None:
    app.task(queue="q")(send)

    job = worked(app, app.insert("q", {"to": "Ada"}, kind="send"))

    assert job.result == "hello, Ada"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"body": "hello"}, "missing a required argument: 'to'"),
        ({"to": 5}, "to: is of type int, not str"),
        ({"to": "Ada", "cc": "Alan"}, "unknown arguments: 'cc'; known are body, copies, to"),
        (["Ada"], "the payload is of type list, not a dict of arguments"),
    ],
)
def test_a_payload_that_does_not_fit_fails_the_attempt_and_names_the_argument(
    payload: Any, reason: str, app: Gaffer
) -> None:
    app.task(queue="q")(send)

    job = worked(app, app.insert("q", payload, kind="send"))

    [error] = job.errors
    assert job.state is JobState.FAILED
    assert error.error["type"] == "gaffer.errors.InvalidArguments"
    assert error.error["message"] == f"task 'send': {reason}"


# -- options ---------------------------------------------------------------------------------------


def test_the_options_of_a_task_are_those_of_its_jobs(app: Gaffer) -> None:
    task = app.task(queue="q", priority=7, max_attempts=9, timeout=60, backoff=[1, 2], chain="c")(
        send
    )

    job = task.insert("Ada")

    assert (job.priority, job.max_attempts, job.timeout) == (7, 9, 60.0)
    assert (job.backoff, job.chain) == ((1.0, 2.0), "c")


def test_options_at_the_call_go_before_those_of_the_task_and_leave_it_as_it_is(
    app: Gaffer,
) -> None:
    task = app.task(queue="q", priority=7, max_attempts=9)(send)
    urgent = task.using(priority=8, scheduled_at=AT)

    jobs = [urgent.using(max_attempts=None).insert("Ada"), urgent.insert("Ada"), task.insert("Ada")]

    assert [job.priority for job in jobs] == [8, 8, 7]
    assert [job.max_attempts for job in jobs] == [1, 9, 9]
    assert [job.scheduled_at for job in jobs] == [AT, AT, None]


def test_a_moment_at_the_call_replaces_the_other_one_of_the_task(app: Gaffer) -> None:
    task = app.task(queue="q", delay=60)(send)

    job = task.using(scheduled_at=AT).insert("Ada")

    assert job.scheduled_at == AT


def test_options_never_clash_with_parameters(app: Gaffer) -> None:
    task = app.task(queue="q", priority=1)(pick)

    job = task.using(priority=2).insert(priority=3, delay=4)

    assert job.priority == 2
    assert (job.payload["priority"], job.payload["delay"]) == (3, 4)


@pytest.mark.parametrize("options", [{"kind": "x"}, {"colour": 1}, {"priority": "high"}, {"id": 7}])
def test_options_that_no_job_of_a_task_has_are_refused_at_once(
    options: dict[str, Any], app: Gaffer
) -> None:
    task = app.task(queue="q")(send)

    with pytest.raises(InvalidJob) as refused:
        task.using(**options)

    assert refused.value.keys == options.keys()
    with pytest.raises(InvalidJob):
        app.task(queue="q", name="other", **options)(send)


def test_many_calls_are_one_write_of_the_queue(app: Gaffer) -> None:
    first = app.task(queue="q", priority=5)(send)
    second = app.task(queue="q")(shared)

    jobs = app.insert_many("q", [first.job("Ada"), first.using(priority=6).job("Alan"),
                                 second.job("x")])  # fmt: skip

    assert [job.kind for job in jobs] == ["send", "send", "shared"]
    assert [job.priority for job in jobs] == [5, 6, 0]
    assert jobs[1].payload == {"to": "Alan", "body": "hello", "copies": 1}


def test_a_connection_is_handed_on_and_no_part_of_a_job_to_be(app: Gaffer) -> None:
    task = app.task(queue="q")(send).using(connection=object())

    with pytest.raises(Exception, match="connection"):
        task.insert("Ada")
    with pytest.raises(InvalidJob, match="insert_many"):
        task.job("Ada")


# -- queues, names and workers ---------------------------------------------------------------------


def test_tasks_may_be_declared_before_their_queue_and_after_it(manual: Gaffer) -> None:
    before = manual.task(queue="q")(send)
    manual.create_queue("q", worker=manual.tasks("q"), **quiet())
    after = manual.task(queue="q")(shared)

    jobs = [worked(manual, before.insert("Ada")), worked(manual, after.insert("a"))]

    assert [job.result for job in jobs] == ["hello, Ada", "ab"]


def test_a_task_of_no_queue_can_be_called_and_not_inserted(manual: Gaffer) -> None:
    task = manual.task(queue="nowhere")(send)

    assert task("Ada") == "hello, Ada"
    with pytest.raises(UnknownQueue):
        task.insert("Ada")


def test_two_tasks_of_one_name_on_one_queue_are_refused(app: Gaffer) -> None:
    first = app.task(queue="q")(send)
    elsewhere = app.task(queue="p")(send)

    with pytest.raises(InvalidTask, match="queue 'q' has another task of that name"):
        app.task(queue="q", name="send")(shared)

    assert worked(app, first.insert("Ada")).result == "hello, Ada"
    assert elsewhere.queue == "p"


def test_the_tasks_of_two_gaffers_do_not_meet(make_gaffer: MakeGaffer) -> None:
    one, two = make_gaffer(work=False), make_gaffer(work=False)
    one.task(queue="q", name="t")(send)
    two.task(queue="q", name="t")(shared)
    for each in (one, two):
        each.create_queue("q", worker=each.tasks("q"), **quiet())

    job = worked(two, one.insert("q", {"first": "a"}, kind="t"))

    assert job.result == "ab"


@pytest.mark.parametrize("kind", [None, "unheard"])
def test_a_job_of_no_task_is_a_failed_attempt(kind: str | None, app: Gaffer) -> None:
    app.task(queue="q")(send)

    job = worked(app, app.insert("q", {}, kind=kind))

    [error] = job.errors
    assert error.error["type"] == "LookupError"
    assert error.error["message"] == f"no task {kind!r} of queue 'q' here; known: send"


@pytest.mark.parametrize(
    ("otherwise", "kind"), [(lambda job: "plain", None), ({"old": lambda job: "plain"}, "old")]
)
def test_tasks_share_their_queue_with_plain_workers(
    otherwise: Any, kind: str | None, manual: Gaffer
) -> None:
    task = manual.task(queue="q")(send)
    manual.create_queue("q", worker=manual.tasks("q", otherwise=otherwise), **quiet())

    plain = worked(manual, manual.insert("q", 1, kind=kind))

    assert plain.result == "plain"
    assert worked(manual, task.insert("Ada")).result == "hello, Ada"


def test_a_task_is_a_worker_too(manual: Gaffer) -> None:
    task = manual.task(queue="q")(send)
    manual.create_queue("q", worker={"send": task, "old": lambda job: 1}, **quiet())

    assert worked(manual, task.insert("Ada")).result == "hello, Ada"


def test_what_cannot_be_a_worker_cannot_be_one_otherwise(manual: Gaffer) -> None:
    with pytest.raises(InvalidQueueConf):
        manual.tasks("q", otherwise={})


def test_tasks_outlive_a_stop(make_gaffer: MakeGaffer) -> None:
    app = make_gaffer()
    task = app.task(queue="q")(send)
    app.stop()
    app.start()
    queue = app.create_queue("q", worker=app.tasks("q"), prune={"interval": None})

    job = task.insert("Ada")
    queue.flush(10)

    assert queue.get(job.id).result == "hello, Ada"


def test_the_module_declares_tasks_of_the_default_gaffer() -> None:
    assert gaffer.task == gaffer.default.task
    assert gaffer.tasks == gaffer.default.tasks


# -- functions that cannot be tasks ----------------------------------------------------------------


async def coroutine(to: str) -> None: ...


def generator(to: str) -> Iterator[str]:
    yield to


class Sender:
    def __call__(self, to: str) -> None: ...


@pytest.mark.parametrize("function", [coroutine, generator, Sender(), str, print])
def test_only_an_ordinary_function_can_be_a_task(function: Any, manual: Gaffer) -> None:
    with pytest.raises(InvalidTask):
        manual.task(queue="q", name="t")(function)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 201])
def test_a_task_has_a_name_that_a_kind_can_be(name: str, manual: Gaffer) -> None:
    with pytest.raises(InvalidTask, match=r"string|NUL"):
        manual.task(queue="q", name=name)(send)
