"""Traces: the spans of inserts and attempts, what links them, and what a payload carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, get_current_span

import gaffer.contrib.opentelemetry as module
from gaffer import (
    Cancel,
    Conflict,
    DriverError,
    Fail,
    Gaffer,
    InvalidJob,
    Job,
    JobExists,
    JobFailed,
    JobState,
    NewJob,
    Schedule,
)
from gaffer.contrib.opentelemetry import KEY, Tracing
from tests.conftest import Recorder, quiet
from tests.rig.waiting import until


class Trace:
    """The spans that end in a test, and a `Tracing` that makes them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(tracer_provider=self.provider)
        self.tracer = self.provider.get_tracer("test")

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans of that name, in the order of their ends."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of that name."""
        [span] = self.named(name)
        return span


@pytest.fixture
def trace() -> Trace:
    """Give a place for spans."""
    return Trace()


def identity(span: ReadableSpan) -> SpanContext:
    """Return the context of a span."""
    found = span.get_span_context()
    assert found is not None
    return found


def links(span: ReadableSpan) -> list[tuple[int, int]]:
    """Return the trace and span that a span links to."""
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def place(span: ReadableSpan) -> tuple[int, int]:
    """Return the trace and the id of a span."""
    return identity(span).trace_id, identity(span).span_id


class Seen:
    """A worker that keeps what it is given, and answers."""

    def __init__(self, *answers: Any) -> None:
        self.jobs: list[Job] = []
        self._answers = list(answers)

    def __call__(self, job: Job) -> Any:
        self.jobs.append(job)
        return self._answers.pop(0) if self._answers else None


def test_an_attempt_is_a_trace_of_its_own_that_links_to_the_insert(
    manual: Gaffer, trace: Trace
) -> None:
    seen = Seen()
    queue = manual.create_queue("q", worker=trace.tracing.traced(seen), **quiet())

    job = trace.tracing.insert(queue, {"to": "ada"}, kind="mail")
    queue.poll()

    produced, consumed = trace.one("insert q"), trace.one("work q")
    assert links(consumed) == [place(produced)]
    assert consumed.parent is None
    assert identity(consumed).trace_id != identity(produced).trace_id
    assert (produced.kind, consumed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert queue.get(job.id).state is JobState.COMPLETED


def test_the_attributes_are_those_of_the_conventions_for_messaging(
    manual: Gaffer, trace: Trace
) -> None:
    queue = manual.create_queue("q", worker=trace.tracing.traced(Seen()), **quiet())

    job = trace.tracing.insert(queue, {}, kind="mail")
    queue.poll()

    common = {
        "messaging.system": "gaffer",
        "messaging.destination.name": "q",
        "messaging.message.id": str(job.id),
    }
    assert trace.one("insert q").attributes == {
        **common,
        "messaging.operation.name": "insert",
        "messaging.operation.type": "send",
    }
    assert trace.one("work q").attributes == {
        **common,
        "messaging.operation.name": "work",
        "messaging.operation.type": "process",
        "messaging.gaffer.attempt": 1,
        "messaging.gaffer.kind": "mail",
        "messaging.gaffer.outcome": "completed",
    }


def test_the_payload_carries_the_context_and_the_worker_does_not_see_it(
    manual: Gaffer, trace: Trace
) -> None:
    seen, payload = Seen(), {"é": [1, 2.5, None], "n": 2**70}
    queue = manual.create_queue("q", worker=trace.tracing.traced(seen), **quiet())

    job = trace.tracing.insert(queue, payload)
    queue.poll()

    origin = identity(trace.one("insert q"))
    carried = f"00-{origin.trace_id:032x}-{origin.span_id:016x}-{origin.trace_flags:02x}"
    assert queue.get(job.id).payload == {**payload, KEY: {"traceparent": carried}}
    [given] = seen.jobs
    assert given.payload == payload == {"é": [1, 2.5, None], "n": 2**70}
    assert KEY not in given.payload_json
    assert (given.id, given.state, given.revision) == (job.id, JobState.EXECUTING, 1)


def test_an_attempt_can_be_a_child_of_the_insert(manual: Gaffer, trace: Trace) -> None:
    tracing = Tracing(tracer_provider=trace.provider, parent=True)
    queue = manual.create_queue("q", worker=tracing.traced(Seen()), **quiet())

    tracing.insert(queue, {})
    queue.poll()

    produced, consumed = trace.one("insert q"), trace.one("work q")
    assert consumed.parent is not None
    assert (consumed.parent.trace_id, consumed.parent.span_id) == place(produced)
    assert links(consumed) == [place(produced)]


def test_every_attempt_links_to_the_insert(manual: Gaffer, trace: Trace) -> None:
    worker = trace.tracing.traced(Seen(Fail("no")))
    queue = manual.create_queue("q", worker=worker, **quiet(backoff=0))

    trace.tracing.insert(queue, {})
    queue.poll()
    queue.poll()

    attempts = trace.named("work q")
    assert [links(span) for span in attempts] == [[place(trace.one("insert q"))]] * 2
    assert [dict(s.attributes or {})["messaging.gaffer.attempt"] for s in attempts] == [1, 2]


def test_spans_are_children_of_those_that_are_around_them(manual: Gaffer, trace: Trace) -> None:
    def work(job: Job) -> None:
        with trace.tracer.start_as_current_span("inner"):
            pass

    queue = manual.create_queue("q", worker=trace.tracing.traced(work), **quiet())
    with trace.tracer.start_as_current_span("request"):
        trace.tracing.insert(queue, {})
    queue.poll()

    parents = {"insert q": "request", "inner": "work q"}
    for child, parent in parents.items():
        found = trace.one(child).parent
        assert found is not None
        assert (found.trace_id, found.span_id) == place(trace.one(parent))


def test_an_exception_is_recorded_and_still_fails_the_job(manual: Gaffer, trace: Trace) -> None:
    def work(job: Job) -> None:
        raise OSError("no route")

    queue = manual.create_queue("q", worker=trace.tracing.traced(work), **quiet())
    job = queue.insert({})
    queue.poll()

    span = trace.one("work q")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "OSError: no route"
    assert dict(span.attributes or {})["error.type"] == "OSError"
    assert [event.name for event in span.events] == ["exception"]
    assert queue.get(job.id).errors[0].error["message"] == "no route"


class Hostile(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("not this one")


def test_an_exception_that_cannot_be_shown_is_what_the_job_fails_with(
    manual: Gaffer, trace: Trace
) -> None:
    def work(job: Job) -> None:
        raise Hostile

    queue = manual.create_queue("q", worker=trace.tracing.traced(work), **quiet())
    job = queue.insert({})
    queue.poll()

    assert queue.get(job.id).errors[0].error["type"].endswith("Hostile")
    assert trace.one("work q").status.status_code is StatusCode.ERROR


@pytest.mark.parametrize(
    ("answer", "outcome", "status", "description"),
    [
        ("done", "completed", StatusCode.UNSET, None),
        (Cancel("off"), "cancelled", StatusCode.UNSET, None),
        (Schedule(delay=9), "scheduled", StatusCode.UNSET, None),
        (Fail("no"), "failed", StatusCode.ERROR, "no"),
        (Fail({"no": 1}), "failed", StatusCode.ERROR, None),
    ],
)
def test_the_outcome_of_an_attempt_is_told(
    manual: Gaffer, trace: Trace, answer: Any, outcome: str, status: StatusCode, description: Any
) -> None:
    queue = manual.create_queue("q", worker=trace.tracing.traced(Seen(answer)), **quiet())
    queue.insert({})

    queue.poll()

    span = trace.one("work q")
    assert dict(span.attributes or {})["messaging.gaffer.outcome"] == outcome
    assert (span.status.status_code, span.status.description) == (status, description)


@pytest.mark.parametrize("payload", [None, 7, [KEY], {}, {KEY: "mine"}, {KEY: {}}, {KEY: {"a": 1}}])
def test_a_job_without_a_context_reaches_its_worker_as_it_is(
    manual: Gaffer, trace: Trace, payload: Any
) -> None:
    seen = Seen()
    worker = trace.tracing.traced(lambda job: seen(job))
    queue = manual.create_queue("q", worker=worker, **quiet())
    queue.insert(payload)

    queue.poll()

    assert [job.payload for job in seen.jobs] == [payload]
    assert links(trace.one("work q")) == []


def test_a_payload_that_is_no_mapping_is_inserted_as_it_is(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q")

    job = trace.tracing.insert(queue, [1, 2])

    assert job.payload == [1, 2]
    assert trace.one("insert q").status.is_ok


def test_an_insert_of_a_key_that_is_held_does_what_it_is_told(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q")
    first = trace.tracing.insert(queue, {"a": 1}, unique="k")

    assert trace.tracing.insert(queue, {"a": 2}, unique="k").id == first.id
    with pytest.raises(JobExists):
        trace.tracing.insert(queue, {"a": 3}, unique="k", on_conflict="raise")
    [same] = trace.tracing.insert_many(queue, [NewJob({"a": 4}, unique="k")])
    assert same.id == first.id


def test_a_context_is_added_to_a_copy_and_replaces_an_older_one(trace: Trace) -> None:
    payload = {"a": 1, KEY: {"traceparent": "old"}}

    with trace.tracer.start_as_current_span("now") as span:
        carrying = trace.tracing.with_context(payload)

    assert f"{span.get_span_context().span_id:016x}" in carrying[KEY]["traceparent"]
    assert payload == {"a": 1, KEY: {"traceparent": "old"}}
    assert trace.tracing.with_context(payload) is payload


def test_many_jobs_carry_the_context_of_one_span(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q", worker=trace.tracing.traced(Seen()), **quiet(max_workers=9))

    listed = trace.tracing.insert_many(queue, [{}, NewJob({"a": 1}, kind="k"), 3])
    streamed = trace.tracing.insert_many(queue, iter([{}, {}]), priority=1)
    queue.poll()

    first, second = trace.named("insert q")
    assert [job.kind for job in listed] == [None, "k", None]
    assert [job.priority for job in streamed] == [1, 1]
    counts = [dict(s.attributes or {})["messaging.batch.message_count"] for s in (first, second)]
    assert counts == [3, 2]
    found = sorted(tuple(links(span)) for span in trace.named("work q"))
    assert found == sorted([(), *[(place(first),)] * 2, *[(place(second),)] * 2])


@pytest.mark.parametrize("payloads", ["text", b"bytes", {"a": 1}])
def test_what_is_no_list_of_payloads_is_refused(
    manual: Gaffer, trace: Trace, payloads: Any
) -> None:
    queue = manual.create_queue("q")

    with pytest.raises(InvalidJob):
        trace.tracing.insert_many(queue, payloads)


def test_an_insert_that_fails_is_recorded(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q")
    taken = queue.insert({}).id

    with pytest.raises(Conflict):
        trace.tracing.insert(queue, {}, id=taken)

    span = trace.one("insert q")
    assert span.status.status_code is StatusCode.ERROR
    assert not get_current_span().get_span_context().is_valid


def test_baggage_reaches_the_worker(manual: Gaffer, trace: Trace) -> None:
    seen: list[object] = []
    worker = trace.tracing.traced(lambda job: seen.append(baggage.get_baggage("tenant")))
    queue = manual.create_queue("q", worker=worker, **quiet())
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        trace.tracing.insert(queue, {})
    finally:
        context.detach(token)

    queue.poll()

    assert seen == ["acme"]


class Performs:
    """A worker that is an object, or a class."""

    def perform(self, job: Job) -> str:
        """Tell the payload."""
        return f"{job.payload}"


@pytest.mark.parametrize("worker", [Performs, Performs(), {"k": Performs(), "l": Performs}])
def test_every_form_of_a_worker_can_be_traced(manual: Gaffer, trace: Trace, worker: Any) -> None:
    queue = manual.create_queue("q", worker=trace.tracing.traced(worker), **quiet())
    job = trace.tracing.insert(queue, {"a": 1}, kind="k")

    queue.poll()

    assert queue.get(job.id).result == "{'a': 1}"
    assert len(trace.named("work q")) == 1


async def later(job: Job) -> None:
    """Never run."""


@pytest.mark.parametrize("worker", [later, 7])
def test_what_cannot_work_is_refused_at_once(trace: Trace, worker: Callable[[Job], object]) -> None:
    with pytest.raises(TypeError, match="is no worker"):
        trace.tracing.traced(worker)


def test_a_job_claimed_by_hand_has_a_span_too(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q")
    trace.tracing.insert(queue, {"a": 1})

    with queue.claim() as claimed:
        assert claimed is not None
        with trace.tracing.attempt(claimed.job) as (job, span):
            assert job.payload == {"a": 1}
            assert get_current_span() is span

    assert links(trace.one("work q")) == [place(trace.one("insert q"))]


def test_a_job_claimed_by_hand_does_not_link_to_what_is_around_it(
    manual: Gaffer, trace: Trace
) -> None:
    job = manual.create_queue("q").insert({})

    with trace.tracer.start_as_current_span("around"), trace.tracing.attempt(job):
        pass

    assert links(trace.one("work q")) == []
    assert trace.one("work q").parent is None


def test_a_timeout_that_is_raised_in_a_job_is_recorded_and_stays_a_timeout(
    gaffer_: Gaffer, trace: Trace, recorder: Recorder
) -> None:
    worker = trace.tracing.traced(lambda job: until(lambda: False))
    options = quiet(poll_interval=0.01, timeout=0.05, interrupt=True, hooks=[recorder])
    queue = gaffer_.create_queue("q", worker=worker, **options)

    trace.tracing.insert(queue, {})

    [failed] = recorder.wait_for(JobFailed)
    assert failed.job.errors[0].error["type"] == "timeout"
    until(lambda: trace.named("work q"))
    assert dict(trace.one("work q").attributes or {})["error.type"] == "JobTimeout"


def test_an_insert_takes_a_connection(manual: Gaffer, trace: Trace) -> None:
    queue = manual.create_queue("q")

    for insert in (trace.tracing.insert, trace.tracing.insert_many):
        with pytest.raises(DriverError, match="connection"):
            insert(queue, [{}], connection=object())


def test_without_a_tracer_nothing_is_added(manual: Gaffer) -> None:
    seen = Seen()
    queue = manual.create_queue("q", worker=module.traced(seen), **quiet())

    jobs = [module.insert(queue, {"a": 1}), *module.insert_many(queue, [{"a": 1}])]
    while queue.poll():
        pass

    assert [job.payload for job in jobs + seen.jobs] == [{"a": 1}] * 4
