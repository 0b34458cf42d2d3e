"""The modes: what each asks, how it is measured, and on how many jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from versus.measures import Figure, Stage, drain, insert, insert1, latency
from versus.plan import LIBRARIES

__all__ = ["MODES", "Mode", "size"]

INSERT1 = 3_000
LATENCY = 200


def _processes(stage: Stage, jobs: int) -> Iterator[Figure]:
    for number, case in ((1, "1 process"), (2, "2 processes"), (4, "4 processes")):
        yield from drain(stage, jobs, case, processes=number)


def _io(stage: Stage, jobs: int) -> Iterator[Figure]:
    yield from drain(stage, jobs // 4, "1 ms", nap=0.001)
    yield from drain(stage, min(jobs // 4, 3_000), "10 ms", nap=0.01)


def _payload(stage: Stage, jobs: int) -> Iterator[Figure]:
    yield from drain(stage, jobs // 4, "1 KiB", pad=1024)
    yield from drain(stage, min(jobs // 4, 1_000), "64 KiB", pad=65536)


@dataclass(frozen=True)
class Mode:
    """A question; those without *measure* are answered for all libraries at once, by `idle`."""

    question: str
    measure: Callable[[Stage, int], Iterator[Figure]] | None


MODES: dict[str, Mode] = {
    "insert": Mode("bulk insert, 1000 jobs a call", insert),
    "insert1": Mode("one insert a call, from 1 thread and from 8 (or as many tasks)", insert1),
    "drain": Mode("no-op jobs, one process, first start to last row recorded", drain),
    "processes": Mode("the same, by 1, 2 and 4 processes", _processes),
    "latency": Mode("insert returned to job started, idle worker, one job each 10 ms", latency),
    "io": Mode("jobs that sleep for 1 ms and 10 ms, concurrency 50", _io),
    "payload": Mode("no-op jobs with payloads of 1 KiB and 64 KiB", _payload),
    "idle": Mode("what 1 and 50 idle queues cost the server, and in CPU", None),
    "memory": Mode("resident memory of a process with 1 and 50 idle queues", None),
}


def size(mode: str, library: str, profile: str, scale: float) -> int:
    """Return on how many jobs a mode runs."""
    full, least = {
        "insert": (LIBRARIES[library].inserts, 1_000),
        "insert1": (INSERT1, 200),
        "latency": (LATENCY, 20),
    }.get(mode, (LIBRARIES[library].profiles[profile].jobs, 200))
    return max(least, round(full * scale))
