"""What a worker costs that waits for jobs: the server's transactions, its own CPU, its memory.

All libraries wait at the same time, each on storage of its own, so that nobody's waiting has to be
waited for: a server that is not idle reports what idle sessions have done after ten seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import psutil

from versus.errors import HandFailed, Missing
from versus.hand import Hand
from versus.measures import Figure, Stage
from versus.plan import LIBRARIES
from versus.servers import ask

__all__ = ["idle"]

SETTLE = 12.0
"""Seconds until what the start has cost is told."""
MANY = 50


@dataclass
class Waiting:
    """A worker that has worked one job and has nothing to do."""

    stage: Stage
    url: str
    hand: Hand
    began: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def now(self) -> tuple[float, float, float]:
        """Return the instant, what the server has done so far, and the CPU seconds so far."""
        times = [process.cpu_times() for process in self._processes()]
        spent = float(sum(each.user + each.system for each in times))
        if LIBRARIES[self.stage.peer].store == "redis":
            told = ask(self.url, "INFO", "stats")
            found = re.search(r"total_commands_processed:(\d+)", told)
            assert found is not None, told
            return time.monotonic(), float(found[1]), spent
        return time.monotonic(), self.stage.postgres.transactions(self.url), spent

    def megabytes(self) -> float:
        """Return the resident memory of the worker and its children."""
        return float(sum(process.memory_info().rss for process in self._processes())) / 2**20

    def _processes(self) -> list[psutil.Process]:
        self.hand.check()
        worker = psutil.Process(self.hand.pid)
        return [worker, *worker.children(recursive=True)]


def idle(
    stages: Mapping[str, Stage],
    seconds: float,
    settle: float,
    trouble: Callable[[str, Exception], None],
) -> Iterator[tuple[str, str, Figure]]:
    """Yield library, mode and figure, for one queue and for fifty.

    *settle* is how long all wait before what they do is counted, for *seconds*. A library that
    cannot be started is left out, and *trouble* hears why.
    """
    for queues, case in ((1, "1 queue"), (MANY, f"{MANY} queues")):
        with ExitStack() as stack:
            waiting = [
                one
                for stage in stages.values()
                if (one := _start(stage, stack, queues, trouble)) is not None
            ]
            time.sleep(settle)
            for one in waiting:
                with suppress(HandFailed):  # it is told below
                    one.began = one.now()
            time.sleep(seconds)
            for one in waiting:
                try:
                    figures = list(_figures(one, case, queues))
                except HandFailed as error:
                    trouble(f"{one.stage.peer}, {case}", error)
                else:
                    for figure in figures:
                        mode = "memory" if figure.unit == "MiB" else "idle"
                        yield one.stage.peer, mode, figure


def _start(
    stage: Stage, stack: ExitStack, queues: int, trouble: Callable[[str, Exception], None]
) -> Waiting | None:
    try:
        url = stack.enter_context(stage.storage())
        with stage.hand(url, "bulk", install=True, jobs=1) as first:
            first.go().expect("seconds")
        worker = stage.hand(url, "work", settings={"queues": queues}, expected=1)
        stack.enter_context(worker)
        worker.go()
    except (HandFailed, Missing) as error:
        trouble(f"{stage.peer}, {queues} idle queues", error)
        return None
    return Waiting(stage, url, worker)


def _figures(one: Waiting, case: str, queues: int) -> Iterator[Figure]:
    now, done, spent = one.now()
    elapsed = now - one.began[0]
    store = "commands/s" if LIBRARIES[one.stage.peer].store == "redis" else "transactions/s"
    yield Figure(case=f"{case}, server", unit=store, value=(done - one.began[1]) / elapsed)
    percent = (spent - one.began[2]) / elapsed * 100
    yield Figure(case=f"{case}, CPU per queue", unit="%", value=percent / queues)
    yield Figure(case=case, unit="MiB", value=one.megabytes())
