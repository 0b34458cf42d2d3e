"""A process of `act`, from the side of whoever has started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from versus.errors import HandFailed, Missing

__all__ = ["Hand"]

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
"""Seconds to wait for an answer."""


class Hand:
    """A process that does *task* once it is told to `go`; the reading thread writes `facts`."""

    def __init__(self, python: str, news: threading.Event, task: dict[str, Any]) -> None:
        self.facts: dict[str, Any] = {"count": 0}
        self._news = news
        self._what = f"{task['peer']}, {task['act']}"
        self._heard = threading.Condition()
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        dropped = ("PYTHON", "GAFFER_", "PG")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        self._process = subprocess.Popen(
            [python, "-P", "-m", "versus.act", json.dumps(task)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._noise, text=True,
            env={**kept, "PYTHONPATH": str(ROOT)}, cwd=tempfile.gettempdir(),
            start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        with suppress(ProcessLookupError):  # the group: a library may have children
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10)
        for stream in (self._process.stdin, self._process.stdout, self._noise):
            with suppress(BrokenPipeError):  # what it was sent and has not read
                if stream is not None:
                    stream.close()

    def go(self) -> Self:
        """Let it act; return when it has begun to."""
        self.expect("ready")
        self.say()
        return self

    def say(self) -> None:
        """Send the line that it waits for."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise HandFailed(f"{self._what}: ended\n{self._complaints()}") from None

    def expect(self, fact: str, patience: float = PATIENCE) -> Any:
        """Wait for it to say *fact*, and return its value; `Missing` if it cannot do its task."""
        until = time.monotonic() + patience
        with self._heard:
            while fact not in self.facts:
                if "missing" in self.facts:
                    raise Missing(self.facts["missing"])
                if "end" in self.facts or not self._heard.wait(until - time.monotonic()):
                    raise HandFailed(f"{self._what}: no {fact!r}\n{self._complaints()}")
            return self.facts[fact]

    def check(self) -> None:
        """Raise `HandFailed` if it has ended."""
        if "end" in self.facts:
            raise HandFailed(f"{self._what}: ended\n{self._complaints()}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                facts = json.loads(line)
            except ValueError:
                continue  # a library's banner
            if isinstance(facts, dict):
                self._hear(facts)
        self._hear({"end": True})

    def _hear(self, facts: dict[str, Any]) -> None:
        with self._heard:
            self.facts.update(facts)
            self._heard.notify_all()
        self._news.set()

    def _complaints(self) -> str:
        self._noise.seek(0)
        return self._noise.read().decode(errors="replace")[-2000:]
