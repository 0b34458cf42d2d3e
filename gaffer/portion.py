"""How many jobs go to storage at once."""

from __future__ import annotations

__all__ = ["Portion"]


class Portion:
    """At most *most* at once, and fewer after a call that storage did not answer.

    It may have been too much for the time that a call has: jobs can be large, and networks slow.
    The same again would fail again, for good. Used by one thread at a time.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = most

    def failed(self, size: int) -> None:
        """Note that storage did not answer a call with *size* jobs."""
        self.size = max(1, min(self.size, size) // 2)

    def succeeded(self) -> None:
        """Note that it did answer one."""
        self.size = min(self._most, self.size * 2)
