"""Worker processes for the tests, and what they say."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.rig.waiting import PATIENCE

PROGRAM = Path(__file__).with_name("_worker.py")
ROOT = Path(__file__).parents[2]

Line = dict[str, Any]


class Worker:
    """A process of `_worker`, or of another *program*: its lines so far, and calls of its Gaffer.

    What it writes beside its lines goes to the file *errors*, else where ours goes.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        program: Sequence[str] = (str(PROGRAM),),
        errors: IO[str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            text=True,
        )
        self._lines: list[Line] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self._lines.append(json.loads(line))
                self._more.notify_all()

    def said(self, key: str, value: Any = None) -> list[Line]:
        """Return the lines so far that have *key*, and *value* there if one is given."""
        with self._more:
            return [
                line
                for line in self._lines
                if key in line and (value is None or line[key] == value)
            ]

    def wait(
        self, key: str, value: Any = None, number: int = 1, timeout: float = PATIENCE
    ) -> list[Line]:
        """Wait for *number* lines that have *key*, and *value* there; return them."""
        with self._more:
            came = self._more.wait_for(
                lambda: len(self.said(key, value)) >= number or self.process.poll() is not None,
                timeout,
            )
            lines = self.said(key, value)
        assert came, f"waited in vain for {number} {key}={value}"
        assert len(lines) >= number, f"the process ended with {self.process.returncode}"
        return lines

    def jobs(self, event: str) -> list[str]:
        """Return the jobs of all events of one kind so far."""
        return [job for line in self.said("event", event) for job in line["jobs"]]

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def wait_ready(self) -> int:
        """Wait until its queues are declared; return its process id."""
        [line] = self.wait("ready")
        return int(line["ready"])

    def call(self, name: str, *values: Any, **options: Any) -> Any:
        """Call a method of its Gaffer; return the answer, or the name of the error."""
        number = len(self.said("answer")) + 1
        self._tell({"call": name, "with": values, "options": options})
        return self.wait("answer", number=number)[-1]["answer"]

    def go(self) -> None:
        """Let its jobs that hold go on."""
        self._tell({"go": True})

    def hold(self) -> None:
        """Let its jobs to come hold again."""
        self._tell({"go": False})

    def _tell(self, line: Line) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def freeze(self) -> None:
        """Stop it where it stands."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it stood."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask it to end, as whoever deploys it does."""
        self.process.terminate()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        self.process.kill()
        self._reap()

    def end(self) -> int:
        """Close its input and wait for its end; return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._reap()
        return self.process.returncode

    def _reap(self) -> None:
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
