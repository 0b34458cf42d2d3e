"""What is settled once, among threads, by whoever comes first.

Taking and deciding are one step of the interpreter each (`list.pop`, `dict.setdefault`), so no lock
is held while it happens, and nothing that interrupts a thread can lose one.
"""

from __future__ import annotations

__all__ = ["Token", "Verdict"]


class Token:
    """There to be taken, once."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = [True]

    def take(self) -> bool:
        """Take it; return whether it was there."""
        try:
            return self._held.pop()
        except IndexError:
            return False

    def give_back(self) -> None:
        """Put it there again; only who has taken it may."""
        self._held.append(True)


class Verdict:
    """Open, until somebody decides; then it stays."""

    __slots__ = ("_decided",)

    def __init__(self) -> None:
        self._decided: dict[None, str] = {}

    def decide(self, verdict: str) -> bool:
        """Decide, unless it is decided; return whether *verdict* is what holds."""
        return self._decided.setdefault(None, verdict) == verdict

    @property
    def decided(self) -> str | None:
        """What holds, or `None` while it is open."""
        return self._decided.get(None)
