"""The right to do something once, among threads: whoever takes it has it, and no one else.

Taking is one step of the interpreter (`list.pop`), so no lock is held while it happens, and nothing
that interrupts a thread can lose one.
"""

from __future__ import annotations

__all__ = ["Token"]


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

    @property
    def taken(self) -> bool:
        """Whether somebody has it."""
        return not self._held
