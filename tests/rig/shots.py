"""Shots of `JobTimeout` at bodies that end about when they are shot at."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from types import TracebackType
from typing import Self

from gaffer.errors import JobTimeout
from gaffer.interrupt import Interrupt
from tests.rig.waiting import PATIENCE, together

__all__ = ["Range", "Shots", "shots"]


class Range:
    """One thread that shoots interrupts when they are due, as a watchdog does."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Interrupt]] = []
        self._numbers = count()
        self._lock = threading.Lock()
        self._open = True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def aim(self, interrupt: Interrupt, seconds: float) -> None:
        """Shoot *interrupt* after *seconds*."""
        with self._lock:
            entry = (time.perf_counter() + seconds, next(self._numbers), interrupt)
            heapq.heappush(self._due, entry)

    def _run(self) -> None:
        while self._open:
            now = time.perf_counter()
            with self._lock:
                due = []
                while self._due and self._due[0][0] <= now:
                    due.append(heapq.heappop(self._due)[-1])
            for interrupt in due:
                interrupt.shoot()
            time.sleep(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        self._thread.join(PATIENCE)


@dataclass(slots=True)
class Shots:
    """How many bodies were interrupted, how many were not, and how many shots landed elsewhere."""

    interrupted: int = 0
    done: int = 0
    escaped: int = 0

    @property
    def number(self) -> int:
        """How many bodies were run."""
        return self.interrupted + self.done


def shots(
    body: Callable[[Interrupt], object],
    enough: Callable[[Shots], bool],
    *,
    after: float,
    threads: int = 3,
    timeout: float = 60.0,
) -> Shots:
    """Run *body* again and again in some threads, each shot at *after* seconds, until *enough*."""
    each = [Shots() for _ in range(threads)]

    def total() -> Shots:
        fields = ((one.interrupted, one.done, one.escaped) for one in each)
        return Shots(*map(sum, zip(*fields, strict=True)))

    def whole(interrupt: Interrupt) -> bool:
        body(interrupt)
        return True

    def loop(mine: Shots) -> None:
        while not enough(total()):
            interrupt = Interrupt()
            range_.aim(interrupt, after)
            try:
                done = interrupt.run(partial(whole, interrupt), lambda: False)
                # What comes late would land here.
                for _ in range(20):
                    pass
            except JobTimeout:
                mine.escaped += 1
                continue
            mine.done += done
            mine.interrupted += not done

    with Range() as range_:
        together([partial(loop, mine) for mine in each], timeout)
    return total()
