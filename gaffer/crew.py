"""The threads that run a queue's jobs.

Guarantees:

- a thread is started only when there is more to run than threads that could;
- a thread whose attempt was ended by the watchdog never runs another job;
- idle threads wait without polling, and end when the crew is dismissed.

Assumption: one thread at a time, the runner, calls the methods.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from itertools import count
from queue import SimpleQueue

from gaffer.errors import JobTimeout
from gaffer.execution import Execution
from gaffer.job import Fail
from gaffer.service import in_service

__all__ = ["Crew", "Here"]


class Crew:
    """Runs executions on threads called ``gaffer:<queue>:worker-<n>``, as many as are needed."""

    here = False
    """Whether executions run in the thread of who polls."""

    def __init__(self, queue: str) -> None:
        self._name = f"gaffer:{queue}:worker"
        self._numbers = count(1)
        self._todo: SimpleQueue[Execution | None] = SimpleQueue()
        self._hands = 0  # threads that are idle or run a job that may still end in time

    def hire(self, number: int) -> int:
        """See to it that *number* jobs can run at once; return how many cannot."""
        while self._hands < number:
            name = f"{self._name}-{next(self._numbers)}"
            try:
                threading.Thread(target=self._work, name=name, daemon=True).start()
            except RuntimeError:  # the system gives no more threads
                break
            self._hands += 1
        return max(0, number - self._hands)

    def run(self, executions: Iterable[Execution]) -> None:
        """Run *executions*, which there are threads for."""
        for execution in executions:
            self._todo.put(execution)

    def work(self) -> None:
        """Run what waits for the caller's thread: nothing here."""

    def lose(self) -> None:
        """Note that a thread was abandoned."""
        self._hands -= 1

    def trim(self, number: int) -> None:
        """Let idle threads go until *number* are left; the caller knows that so many are idle."""
        while self._hands > number:
            self._todo.put(None)
            self._hands -= 1

    def _work(self) -> None:
        try:
            while (execution := self._todo.get()) is not None:
                if not _ran(execution):
                    return
                del execution  # or an idle thread would keep the job alive
        except JobTimeout:
            pass  # one that came a second late; this thread was abandoned long ago


class Here(Crew):
    """Runs executions in the thread that calls `work`, and on threads only what a service claims.

    For tests: a job then sees what belongs to their thread, a connection of Django's for example.
    """

    here = True

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self._waiting: deque[Execution] = deque()

    def hire(self, number: int) -> int:
        """See to it that *number* jobs can run; return how many cannot."""
        return super().hire(number) if in_service() else 0

    def run(self, executions: Iterable[Execution]) -> None:
        """Run *executions*, or have them wait for `work`."""
        if in_service():
            super().run(executions)
        else:
            self._waiting.extend(executions)

    def work(self) -> None:
        """Run what waits; a job that is interrupted by Ctrl-C fails, and this raises it, too."""
        while self._waiting:
            execution = self._waiting.popleft()
            _ran(execution)
            if _interrupted(execution):
                raise KeyboardInterrupt


def _ran(execution: Execution) -> bool:
    """Run *execution*; return whether it ended here."""
    process = os.getpid()
    home = execution.run()
    if os.getpid() != process:
        # The child of a job that forked. Threads that it has started, a driver's most likely, would
        # keep it for ever.
        os._exit(0)
    return home


def _interrupted(execution: Execution) -> bool:
    outcome = execution.outcome
    reason = outcome.reason if isinstance(outcome, Fail) else None
    return isinstance(reason, dict) and reason.get("type") == "KeyboardInterrupt"
