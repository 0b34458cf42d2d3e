"""Metrics for Prometheus, by its client library: the extra ``prometheus``.

`EventMetrics` is a hook, and counts what this process does. `StateCollector` says how things stand
when somebody scrapes: how many jobs wait, and what the threads of this process do.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Collection, Iterable
from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gaffer import (
    Event,
    Gaffer,
    Job,
    JobCancelled,
    JobCompleted,
    JobDeleted,
    JobFailed,
    JobInserted,
    JobLate,
    JobReplaced,
    JobRescued,
    JobScheduled,
    JobsClaimed,
    JobState,
    QueueCreated,
    QueueDeleted,
    QueueHealth,
    QueuePaused,
    QueueResumed,
    QueueStuck,
    QueueUpdated,
    RunnerFailed,
)
from gaffer.contrib.census import Census, Count
from gaffer.driver import Clock

__all__ = ["EventMetrics", "StateCollector"]

_OF_QUEUES: dict[type[Event], tuple[str, str]] = {
    QueueCreated: ("queues_created", "Queues declared."),
    QueuePaused: ("queues_paused", "Pauses of queues."),
    QueueResumed: ("queues_resumed", "Resumes of queues."),
    QueueDeleted: ("queues_deleted", "Queues deleted."),
    QueueStuck: ("queues_stuck", "Times that a queue stopped claiming: too many threads hang."),
    RunnerFailed: ("runner_failures", "Errors in the thread that runs a queue."),
    JobDeleted: ("jobs_deleted", "Jobs deleted or pruned."),
}
_OF_JOBS = {
    "inserted": "Jobs inserted, forwarded ones included.",
    "claimed": "Jobs that began to execute.",
    "completed": "Jobs completed.",
    "failed": "Jobs failed for good.",
    "retries": "Attempts that failed and are tried again.",
    "cancelled": "Jobs cancelled.",
    "scheduled": "Jobs put back without a failure: by their worker, a shutdown, or a user's retry.",
    "replaced": "Available jobs that an insert with the same key has changed.",
    "rescued": "Jobs taken from a process that fell silent.",
    "late": "Results that came too late and were dropped.",
}
_DELAYS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_DURATIONS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 7200)
_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...], tuple[str, ...]]] = {
    "claim_batch_size": (
        "Jobs per claim.",
        (1, 2, 5, 10, 25, 50, 100, 250, 1000),
        ("queue",),
    ),
    "claim_delay_seconds": (
        "From the time that a job was to run at to its claim.",
        _DELAYS,
        ("queue",),
    ),
    "execution_duration_seconds": (
        "How long attempts took, by the state that they left the job in.",
        _DURATIONS,
        ("queue", "state"),
    ),
    "attempts": (
        "Attempts of jobs that have ended.",
        (1, 2, 3, 4, 5, 7, 10, 25, 100),
        ("queue",),
    ),
}
_WITHOUT_KIND = "claim_batch_size"
"""A batch may have jobs of several kinds."""

_OTHER = "other"


class EventMetrics:
    """A hook that counts and times what this process does, in metrics of *registry*.

    The labels are the queue and the actor. With *kinds* those of jobs have a label ``kind`` too:
    one of these, ``""`` for a job without a kind, or ``"other"``; so there are no more of them
    than you name. Raise `ValueError` if the registry has such metrics already: make one for all
    queues, and for all Gaffers. Any thread may call it.
    """

    def __init__(
        self,
        registry: CollectorRegistry = REGISTRY,
        *,
        kinds: Collection[str] | None = None,
    ) -> None:
        self._kinds = None if kinds is None else frozenset(kinds)
        kind = () if kinds is None else ("kind",)

        def counter(name: str, text: str, *labels: str) -> Counter:
            names = ("queue", "actor", *labels)
            return Counter(f"gaffer_{name}_total", text, names, registry=registry)

        self._updated = counter("queues_updated", "Changes of a configuration.", "source")
        self._of_queues = {event: counter(name, text) for event, (name, text) in _OF_QUEUES.items()}
        self._of_jobs = {
            name: counter(f"jobs_{name}", text, *kind) for name, text in _OF_JOBS.items()
        }
        self._histograms = {
            name: Histogram(
                f"gaffer_job_{name}",
                text,
                labels if name == _WITHOUT_KIND else (*labels, *kind),
                registry=registry,
                buckets=buckets,
            )
            for name, (text, buckets, labels) in _HISTOGRAMS.items()
        }

    def gaffer_hook(self, event: Event) -> None:
        """Count *event*; ignore what is unknown."""
        match event:
            case JobsClaimed():
                self._claimed(event)
            case JobInserted(job=job):
                self._add("inserted", event, job)
            case JobCompleted(job=job):
                self._ended("completed", event, job, job.completed_at)
            case JobFailed(job=job) if job.state is JobState.FAILED:
                self._ended("failed", event, job, job.failed_at)
            case JobFailed(job=job):
                self._add("retries", event, job)
                self._time(job, job.errors[0].at)
            case JobCancelled(job=job):
                self._ended("cancelled", event, job, job.cancelled_at)
            case JobScheduled(job=job):
                self._add("scheduled", event, job)
            case JobReplaced(job=job):
                self._add("replaced", event, job)
            case JobRescued(job=job):
                self._add("rescued", event, job)
            case JobLate(job=job):
                self._add("late", event, job)
            case QueueUpdated(queue=queue, source=source):
                self._updated.labels(queue, event.actor, source).inc()
            case _ if type(event) in self._of_queues:
                queue = event.queue  # type: ignore[attr-defined]  # all of these have one
                self._of_queues[type(event)].labels(queue, event.actor).inc()

    def _kind(self, job: Job) -> tuple[str, ...]:
        if self._kinds is None:
            return ()
        if job.kind is None:
            return ("",)
        return (job.kind,) if job.kind in self._kinds else (_OTHER,)

    def _add(self, name: str, event: Event, job: Job) -> None:
        self._of_jobs[name].labels(job.queue, event.actor, *self._kind(job)).inc()

    def _claimed(self, event: JobsClaimed) -> None:
        counter = self._of_jobs["claimed"]
        for kind, number in Tally(map(self._kind, event.jobs)).items():
            counter.labels(event.queue, event.actor, *kind).inc(number)
        self._histograms["claim_batch_size"].labels(event.queue).observe(len(event.jobs))
        for job in event.jobs:
            if job.scheduled_at is not None:
                self._observe(
                    "claim_delay_seconds", job, _seconds(job.scheduled_at, job.attempted_at)
                )

    def _ended(self, name: str, event: Event, job: Job, at: datetime | None) -> None:
        self._add(name, event, job)
        if job.attempted_at is None:
            return  # cancelled before it ever ran
        self._observe("attempts", job, job.attempt)
        if event.actor != "user":  # who cancels a job that waits for its retry ends no attempt
            self._time(job, at)

    def _time(self, job: Job, at: datetime | None) -> None:
        if not _lost(job):  # when the attempt of a silent process ended nobody knows
            duration = _seconds(job.attempted_at, at)
            self._observe("execution_duration_seconds", job, duration, job.state.value)

    def _observe(self, name: str, job: Job, value: float, *labels: str) -> None:
        self._histograms[name].labels(job.queue, *labels, *self._kind(job)).observe(value)


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    if begin is None or end is None:
        return 0.0
    return max(0.0, (end - begin).total_seconds())


def _lost(job: Job) -> bool:
    if job.state not in (JobState.FAILED, JobState.AVAILABLE):
        return False  # its errors are of earlier attempts
    error = job.errors[0].error
    return isinstance(error, dict) and error.get("type") == "lost"


_GAUGES: dict[str, tuple[str, ...]] = {
    "live": ("1, or 0 when only a new process helps.",),
    "ready": ("1, or 0 while the storage does not answer, a queue is stuck, or all stops.",),
    "queue_running_jobs": ("Jobs that run in this process.", "queue"),
    "queue_abandoned_threads": ("Threads here that outlive their job's timeout.", "queue"),
    "queue_stuck": ("1 while the queue claims nothing here: too many threads hang.", "queue"),
    "queue_unwritten_outcomes": ("Outcomes that wait here for the storage.", "queue"),
    "queue_jobs": ("Jobs in the storage, of all processes.", "queue", "state"),
    "queue_oldest_due_age_seconds": (
        "For how long the job waits that has been due for longest; 0 if none is due.",
        "queue",
    ),
    "queue_counted_age_seconds": ("How old the numbers of the storage are.", "queue"),
}


class StateCollector(Collector):
    """Says at each scrape how the queues of *gaffer* stand. Register it with a registry.

    What this process knows is asked of no storage. The numbers of jobs are: once per queue and
    scrape, on a thread of its own, not sooner than *interval* seconds after the last answers, and
    for at most *deadline* seconds. While the storage does not answer, the last numbers stand for
    *max_age* seconds, and are then left out. With *count* false they are always left out: one
    process that counts is enough, and storage may have to look at every job.
    """

    def __init__(
        self,
        gaffer: Gaffer,
        *,
        interval: float = 5.0,
        deadline: float = 2.0,
        max_age: float = 60.0,
        count: bool = True,
        clock: Clock | None = None,
    ) -> None:
        census = Census(gaffer, interval=interval, deadline=deadline, max_age=max_age, clock=clock)
        self._gaffer = gaffer
        self._census = census if count else None

    def describe(self) -> Iterable[Metric]:
        """Return the metrics without samples, so that a registration counts nothing."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as of now; raise nothing while the storage is away."""
        families = _families()
        counts = {} if self._census is None else self._census.read()
        health = self._gaffer.health(timeout=None)
        families["live"].add_metric([], health.live)
        families["ready"].add_metric([], health.ready)
        for name, queue in health.queues.items():
            _add_queue(families, name, queue)
            if self._census is not None and name in counts:
                _add_count(families, name, counts[name], self._census.age(counts[name]))
        return families.values()


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(f"gaffer_{name}", text, labels=labels)
        for name, (text, *labels) in _GAUGES.items()
    }


def _add_queue(families: dict[str, GaugeMetricFamily], name: str, queue: QueueHealth) -> None:
    families["queue_running_jobs"].add_metric([name], queue.active)
    families["queue_abandoned_threads"].add_metric([name], queue.abandoned)
    families["queue_stuck"].add_metric([name], queue.stuck)
    families["queue_unwritten_outcomes"].add_metric([name], queue.unwritten)


def _add_count(families: dict[str, GaugeMetricFamily], name: str, count: Count, age: float) -> None:
    for state, stats in count.stats.items():
        families["queue_jobs"].add_metric([name, state.value], stats.count)
    families["queue_oldest_due_age_seconds"].add_metric([name], count.waiting or 0.0)
    families["queue_counted_age_seconds"].add_metric([name], age)
