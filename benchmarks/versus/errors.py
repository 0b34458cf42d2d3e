"""What may go wrong, in the runner and in the processes that it starts.

::

    Missing       something is not there, and what needs it is left out
    HandFailed    a process failed, and with it the run
"""

from __future__ import annotations

__all__ = ["HandFailed", "Missing"]


class Missing(Exception):
    """Something that is needed is not there, or cannot do what is asked; the message says what."""


class HandFailed(Exception):
    """A process ended, or fell silent, before it said what it should."""
