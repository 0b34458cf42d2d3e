"""Traces by OpenTelemetry, of its API only: the extra ``opentelemetry``.

A span where a job is inserted, a span around the code that works it, and a link from the second to
the first. What tells them of each other travels in the payload, under the key `KEY`.

The functions of this module are the methods of one `Tracing`, with OpenTelemetry's global settings.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import TYPE_CHECKING, Any, Unpack

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider

from gaffer import JSON, Cancel, Fail, Job, NewJob, Queue, Schedule, Worker

if TYPE_CHECKING:
    from gaffer.conf import JobOptions, OnConflict

__all__ = ["KEY", "Tracing", "attempt", "insert", "insert_many", "traced", "with_context"]

KEY = "_opentelemetry"
"""Where a payload carries the context: a mapping such as ``{"traceparent": "00-..."}``."""

_NEVER_RUN = (iscoroutinefunction, isasyncgenfunction, isgeneratorfunction)
_OUTCOMES: dict[type, str] = {Fail: "failed", Cancel: "cancelled", Schedule: "scheduled"}


class Tracing:
    """Makes the spans of jobs.

    *tracer_provider* and *propagator* are OpenTelemetry's global ones while `None`. The span of an
    attempt begins a trace of its own, with a link to the span of the insert: the one may follow the
    other after days, and more than once. With *parent* true it is a child of that, too.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        parent: bool = False,
    ) -> None:
        self._tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)
        self._propagator = propagator
        self._parent = parent

    # -- where jobs are inserted -------------------------------------------------------------------

    def insert(
        self,
        queue: Queue,
        payload: JSON,
        *,
        connection: Any = None,
        on_conflict: OnConflict = "return",
        **options: Unpack[JobOptions],
    ) -> Job:
        """Insert a job as `Queue.insert` does, in a span whose context it carries."""
        with self._producing(queue) as span:
            carrying = self.with_context(payload)
            job = queue.insert(carrying, connection=connection, on_conflict=on_conflict, **options)
            span.set_attribute("messaging.message.id", str(job.id))
            return job

    def insert_many(
        self,
        queue: Queue,
        payloads: Iterable[JSON | NewJob],
        *,
        connection: Any = None,
        on_conflict: OnConflict = "return",
        **options: Unpack[JobOptions],
    ) -> list[Job]:
        """Insert jobs as `Queue.insert_many` does, in one span whose context they all carry."""
        with self._producing(queue) as span:
            jobs = queue.insert_many(
                self._all(payloads), connection=connection, on_conflict=on_conflict, **options
            )
            span.set_attribute("messaging.batch.message_count", len(jobs))
            return jobs

    @contextmanager
    def _producing(self, queue: Queue) -> Iterator[Span]:
        span = self._tracer.start_span(
            f"insert {queue.name}",
            kind=SpanKind.PRODUCER,
            attributes=_attributes(queue.name, "insert", "send"),
        )
        with _inside(span, trace.set_span_in_context(span)):
            yield span

    def with_context(self, payload: JSON) -> JSON:
        """Return *payload* with the present context under `KEY`, for an insert of your own.

        As it is, if it is no `dict` or there is no context. A context that it carries is replaced.
        """
        if type(payload) is not dict:
            return payload
        carrier: dict[str, str] = {}
        self._propagation().inject(carrier)
        return {**payload, KEY: carrier} if carrier else payload

    def _all(self, payloads: Iterable[JSON | NewJob]) -> Iterable[JSON | NewJob]:
        if isinstance(payloads, Iterator):  # which is taken in batches; all else is one write
            return map(self._carrying, payloads)
        if isinstance(payloads, str | bytes | Mapping):
            return payloads  # to be refused
        return [self._carrying(item) for item in payloads]

    def _carrying(self, item: JSON | NewJob) -> JSON | NewJob:
        if isinstance(item, NewJob):
            return dataclasses.replace(item, payload=self.with_context(item.payload))
        return self.with_context(item)

    # -- where jobs are worked ---------------------------------------------------------------------

    def traced(self, worker: Worker) -> Worker:
        """Return *worker* with a span around each of its jobs.

        The job that it is given has no `KEY` in its payload. A mapping of kinds becomes one, a
        class is made, without arguments, as `ensure_queue` does.
        """
        if isinstance(worker, Mapping):
            return {kind: self.traced(one) for kind, one in worker.items()}
        if isinstance(worker, type) and hasattr(worker, "perform"):
            worker = worker()
        return _Traced(worker, self)

    @contextmanager
    def attempt(self, job: Job) -> Iterator[tuple[Job, Span]]:
        """Give *job* without `KEY` in its payload, and the span that is around the block.

        For a job that is claimed by hand; it records the exception that ends the block.
        """
        bare, carrier = _taken_apart(job)
        carried = self._propagation().extract(carrier, Context())
        origin = trace.get_current_span(carried).get_span_context()
        context = carried
        if not self._parent:  # what else the context carries, such as baggage, stays
            context = trace.set_span_in_context(trace.INVALID_SPAN, carried)
        attributes = _attributes(job.queue, "work", "process")
        attributes |= {
            "messaging.message.id": str(job.id),
            "messaging.gaffer.attempt": job.attempt + 1,
        }
        if job.kind is not None:
            attributes["messaging.gaffer.kind"] = job.kind
        span = self._tracer.start_span(
            f"work {job.queue}",
            context,
            kind=SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(origin)] if origin.is_valid else [],
        )
        with _inside(span, trace.set_span_in_context(span, context)):
            yield bare, span

    def _propagation(self) -> TextMapPropagator:
        return self._propagator or propagate.get_global_textmap()


class _Traced:
    """A worker in spans of *tracing*."""

    def __init__(self, worker: Any, tracing: Tracing) -> None:
        self._perform = getattr(worker, "perform", worker)
        self._tracing = tracing
        if not callable(self._perform) or any(check(self._perform) for check in _NEVER_RUN):
            raise TypeError(f"{worker!r} is no worker: give an ordinary function, or an object")
        self.__wrapped__ = worker

    def __repr__(self) -> str:
        return f"traced({self.__wrapped__!r})"

    def __call__(self, job: Job) -> Any:
        with self._tracing.attempt(job) as (bare, span):
            value = self._perform(bare)
            _note_outcome(span, value)
            return value


def _taken_apart(job: Job) -> tuple[Job, Mapping[str, str]]:
    """Return *job* without the context in its payload, and that context."""
    if KEY not in job.payload_json:  # nearly as cheap as not to look
        return job, {}
    payload = job.payload
    carrier = payload.get(KEY) if isinstance(payload, dict) else None
    if type(carrier) is not dict or {*map(type, carrier.values())} != {str}:
        return job, {}  # somebody's own
    rest = {key: value for key, value in payload.items() if key != KEY}
    text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
    return dataclasses.replace(job, payload_json=text), carrier


def _attributes(queue: str, name: str, kind: str) -> dict[str, str | int]:
    return {
        "messaging.system": "gaffer",
        "messaging.destination.name": queue,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


@contextmanager
def _inside(span: Span, context: Context) -> Iterator[None]:
    """Make *context* the current one; record what ends the block on *span*, and end that."""
    token = contexts.attach(context)
    try:
        yield
    except BaseException as error:  # a JobTimeout is no `Exception`, nor is SystemExit
        _note_error(span, error)
        raise
    finally:
        contexts.detach(token)
        span.end()


def _note_error(span: Span, error: BaseException) -> None:
    kind = type(error).__qualname__
    try:
        span.record_exception(error)
        _note_failure(span, kind, f"{kind}: {error}")
    except Exception:  # an exception that cannot be shown; it shall be what the job fails with
        _note_failure(span, kind, None)


def _note_outcome(span: Span, value: Any) -> None:
    given = type(value)  # not isinstance: it asks the object, which may raise
    outcomes = (text for kind, text in _OUTCOMES.items() if issubclass(given, kind))
    span.set_attribute("messaging.gaffer.outcome", next(outcomes, "completed"))
    if issubclass(given, Fail):
        _note_failure(span, "Fail", value.reason if type(value.reason) is str else None)


def _note_failure(span: Span, kind: str, description: str | None) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR, description)


default = Tracing()
"""The `Tracing` whose methods are the functions of this module."""

insert = default.insert
insert_many = default.insert_many
traced = default.traced
attempt = default.attempt
with_context = default.with_context
