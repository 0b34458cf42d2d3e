"""Keys pressed on a terminal, without waiting for the end of the line."""

from __future__ import annotations

import os
import select
import sys
from threading import Event
from types import TracebackType
from typing import Self

try:
    import termios
    import tty
except ImportError:  # no POSIX terminal: keys are not read there
    termios = None  # type: ignore[assignment]

__all__ = ["Keys"]


class Keys:
    """Reads single keys of stdin within its block, if that is a terminal."""

    def __enter__(self) -> Self:
        self._before = None
        if termios is not None and sys.stdin.isatty():
            self._number = sys.stdin.fileno()
            self._before = termios.tcgetattr(self._number)
            tty.setcbreak(self._number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            termios.tcsetattr(self._number, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Wait up to *seconds* for a key, and return it, or ``""``."""
        if self._before is None:
            Event().wait(seconds)
            return ""
        ready, _, _ = select.select([self._number], [], [], seconds)
        return os.read(self._number, 1).decode(errors="replace") if ready else ""
