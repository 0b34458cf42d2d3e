"""The worker processes, and who keeps them: one that has ended is started again."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.chaos.worker import NO_STORAGE
from tests.rig.processes import Worker

__all__ = ["Fleet", "Post"]

_PROGRAM = ("-m", "tests.chaos.worker")
_EXPECTED = frozenset({0, -signal.SIGKILL, NO_STORAGE})
_GLANCE = 0.1
"""Seconds between looks at the processes."""
STOP_WITHIN = 45.0
"""Seconds for an orderly stop: what is promised, and as much again for a busy machine."""


class Post:
    """A place for one process at a time; *settings* say how it reaches the server."""

    def __init__(self, settings: dict[str, Any], log: Path) -> None:
        self.busy = threading.Lock()
        """Held by whoever strikes its process: one at a time."""
        self.seen: Counter[str] = Counter()
        self.told: Counter[tuple[UUID, str]] = Counter()
        self.slowest_stop = 0.0
        """Seconds that the slowest of its processes took to stop in order."""
        self.faults: list[str] = []
        self._settings = settings
        self._log = log.open("a", encoding="utf-8")
        self.worker = self._start()

    def _start(self) -> Worker:
        return Worker(self._settings, program=_PROGRAM, errors=self._log)

    def replace(self) -> None:
        """Start another process where one has ended."""
        self._account()
        self.worker = self._start()

    def _account(self) -> None:
        self.worker.kill()  # it has ended; what it wrote is read to the end
        code = self.worker.process.returncode
        young = code == -signal.SIGTERM and not self.worker.said("ready")
        if code not in _EXPECTED and not young:
            self.faults.append(f"a worker ended with {code}; see {self._log.name}")
        self.seen.update(line["event"] for line in self.worker.said("event"))
        self.told.update(
            (UUID(id), state) for line in self.worker.said("end") for id, state in [line["end"]]
        )
        self.seen["process.end"] += 1

    def terminate(self) -> None:
        """Stop its process in order, and wait until it has ended."""
        worker, began = self.worker, time.monotonic()
        worker.terminate()
        try:
            worker.process.wait(STOP_WITHIN)
            self.slowest_stop = max(self.slowest_stop, time.monotonic() - began)
        except subprocess.TimeoutExpired:
            self.faults.append(f"a worker did not stop within {STOP_WITHIN:g} s")
            worker.kill()

    def end(self) -> None:
        """Stop for good."""
        self.worker.thaw()
        self.terminate()
        self._account()
        self._log.close()

    def kill(self) -> None:
        """End at once, whatever there is."""
        with suppress(OSError):
            self.worker.kill()
        self._log.close()


class Fleet:
    """Posts, and the thread that keeps them filled."""

    def __init__(self, ways: Sequence[str], settings: dict[str, Any], logs: Path) -> None:
        self.posts: list[Post] = []
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        for number, conninfo in enumerate(ways):
            log = logs / f"worker-{number}.log"
            self.posts.append(Post({**settings, "conninfo": conninfo}, log))
        self._keeper.start()

    def _keep(self) -> None:
        while not self._over.wait(_GLANCE):
            for post in self.posts:
                try:
                    if post.worker.process.poll() is not None:
                        post.replace()
                except Exception as error:
                    post.faults.append(f"a worker cannot be replaced: {error!r}")

    def pick(self, rng: random.Random) -> Post:
        """Return a post that is struck next."""
        return rng.choice(self.posts)

    def seen(self) -> Counter[str]:
        """Return how often the processes that have ended told of what."""
        return sum((post.seen for post in self.posts), Counter())

    def told(self) -> Counter[tuple[UUID, str]]:
        """Return how often they told that which job has come to which end."""
        return sum((post.told for post in self.posts), Counter())

    def faults(self) -> list[str]:
        """Return what was wrong with the processes themselves."""
        return [fault for post in self.posts for fault in post.faults]

    def end(self) -> None:
        """Stop all in order."""
        self._over.set()
        self._keeper.join()
        enders = [threading.Thread(target=post.end) for post in self.posts]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join()

    def kill(self) -> None:
        """End all at once; after `end` this does nothing."""
        self._over.set()
        self._keeper.join()
        for post in self.posts:
            post.kill()
