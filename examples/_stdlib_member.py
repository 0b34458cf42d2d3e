"""One worker process of `index_stdlib --processes`, as its parent sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from _stdlib_tally import Tally

__all__ = ["Member", "Plan"]

_END = 30.0
"""Seconds within which a process has to end when it is dismissed."""
_ENDS = ("completed", "failed", "retried", "cancelled", "released", "late")
"""The kinds of events that end an attempt in the process that made it."""


@dataclass(frozen=True)
class Plan:
    """What all processes of a run have to know.

    *workers* is `max_workers` of `index`, *most* its `global_max_workers`; *suspend*: whether a
    process is suspended, after one was killed.
    """

    driver: str
    workers: int
    most: int | None
    processes: int
    suspend: bool


class Member:
    """A process of `_stdlib_worker`, and what it has told about `index`.

    What it tells is added to *everything*, too.
    """

    def __init__(self, number: int, plan: Plan, everything: Tally) -> None:
        self.number = number
        self.killed = False
        self.suspended = False
        self._begun = threading.Event()  # or ended
        self._ready = False  # written by the reader
        self._tally, self._everything = Tally(), everything
        self._running: set[UUID] = set()  # written by the reader
        warned = [f"-W{option}" for option in sys.warnoptions]
        script = str(Path(__file__).with_name("_stdlib_worker.py"))
        self.process = subprocess.Popen(
            [sys.executable, *warned, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # then it is not alive, either
            self.process.stdin.write(json.dumps(asdict(plan)) + "\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                match line.split():
                    case [queue, kind, id]:
                        self._told(queue, kind, UUID(id))
                    case ["ready"]:
                        self._ready = True
                        self._begun.set()
        self._begun.set()

    def _told(self, queue: str, kind: str, id: UUID) -> None:
        self._tally.add(queue, kind)
        self._everything.add(queue, kind)
        if kind == "claimed":
            self._running.add(id)
        elif kind in _ENDS:
            self._running.discard(id)

    def wait(self, seconds: float) -> bool:
        """Wait until it works; return whether it does within so many seconds."""
        return self._begun.wait(seconds) and self._ready

    def __getitem__(self, kind: str) -> int:
        """Return to how many jobs of `index` a kind of event happened here."""
        return self._tally["index", kind]

    def __str__(self) -> str:
        return f"process {self.number} (pid {self.process.pid})"

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def running(self) -> set[UUID]:
        """The jobs that it executes, by what it has told; none if it has ended."""
        return self._running.copy() if self.alive else set()

    @property
    def failed(self) -> int:
        """How many attempts failed here."""
        return self["failed"] + self["retried"] - self["rescued"]

    @property
    def fate(self) -> str:
        """What became of it."""
        code = self.process.poll()
        if code is None:
            return "suspended" if self.suspended else "works"
        if self.killed and code == -signal.SIGKILL:
            return "killed"
        return "ended" if code == 0 else f"ended with {code}"

    def kill(self) -> None:
        """End it without a word."""
        self.killed = True
        self.process.kill()
        self.process.wait()

    def suspend(self) -> None:
        """Have it do nothing, not even beat or notice the end of its parent, until resumed."""
        self.suspended = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on where it was."""
        self.suspended = False
        self.process.send_signal(signal.SIGCONT)

    def dismiss(self) -> None:
        """Have it stop in order."""
        if self.suspended:
            self.resume()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def join(self) -> None:
        """Wait for its end, and for all that it has told."""
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()  # which is not the end that was meant for it: see `fate`
            self.process.wait()
        self._reader.join()
