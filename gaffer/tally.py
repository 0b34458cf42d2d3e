"""What has become of a queue's attempts in this process, for those who watch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gaffer.failures import in_a_line
from gaffer.job import JobError
from gaffer.step import Step

__all__ = ["Tally"]

_LONGEST = 120
"""Characters, about, of an error that all processes are told with each beat."""


@dataclass(slots=True)
class Tally:
    """*ended*: steps that were written, nearly all of which are ends of attempts.

    *failed*: those of them that added an error, and *last* the newest of these.
    """

    ended: int = 0
    failed: int = 0
    last: JobError | None = None

    def count(self, written: Sequence[Step]) -> None:
        """Take in steps that were just written."""
        self.ended += len(written)
        failed = [s for s in written if s.after.errors and s.after.errors is not s.before.errors]
        if failed:
            self.failed += len(failed)
            self.last = failed[-1].after.errors[0]

    @property
    def last_error(self) -> str | None:
        """The newest error in a line."""
        return None if self.last is None else in_a_line(self.last.error, _LONGEST)
