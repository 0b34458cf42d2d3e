"""A mutant: one change of the source, and the tests that are there to notice it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """*old* in *path* becomes *new*; at least one of *tests* must turn red.

    A race may be won by chance: then the tests are run up to *tries* times. *options* are for
    pytest.
    """

    name: str
    path: str
    old: str
    new: str
    tests: Sequence[str]
    options: Sequence[str] = ()
    tries: int = 1


def mutated(mutant: Mutant, root: Path) -> str:
    """Return the text of the mutant's file below *root*, changed; `LookupError` if it has moved."""
    text = (root / mutant.path).read_text("utf-8")
    times = text.count(mutant.old)
    if times != 1:
        raise LookupError(
            f"{mutant.name}: the text stands {times} times in {mutant.path}, not once; "
            f"adapt the mutant:\n{mutant.old}"
        )
    return text.replace(mutant.old, mutant.new)
