"""What a run has found: a value for each round, of each case of each library in each profile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from versus.arithmetic import Series, Spread
from versus.errors import Missing
from versus.measures import Figure

__all__ = ["Key", "Results", "Row"]


class Key(NamedTuple):
    """What is measured, of whom."""

    mode: str
    case: str
    peer: str
    profile: str


@dataclass
class Row:
    """The values of a key, by round, and the jobs that were lost or ran too often in all rounds."""

    unit: str
    values: dict[int, float] = field(default_factory=dict)
    lost: int = 0
    extra: int = 0


@dataclass
class Results:
    """The rows in the order in which they were first measured; *absent* says what is not there.

    *failed* says what went wrong: it makes the run worthless, as a lost job does.
    """

    head: list[str] = field(default_factory=list)
    rows: dict[Key, Row] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, number: int, mode: str, peer: str, profile: str, figure: Figure) -> None:
        """Keep a figure of round *number*."""
        key = Key(mode, figure.case, peer, profile)
        row = self.rows.setdefault(key, Row(figure.unit))
        row.values[number] = figure.value
        row.lost += figure.lost
        row.extra += figure.extra

    def series(self, mode: str, case: str, peer: str, profile: str) -> Series:
        """Return the values of a case by round: none if it was not measured."""
        row = self.rows.get(Key(mode, case, peer, profile))
        return row.values if row else {}

    def spread(self, mode: str, case: str, peer: str, profile: str) -> Spread | None:
        """Return the spread of a case; `None` if it was not measured."""
        return Spread.of(self.series(mode, case, peer, profile).values())

    def of(self, mode: str) -> Iterator[tuple[Key, Row]]:
        """Yield the rows of a mode, case by case."""
        found = [(key, row) for key, row in self.rows.items() if key.mode == mode]
        cases = list(dict.fromkeys(key.case for key, _ in found))
        yield from sorted(found, key=lambda item: cases.index(item[0].case))

    def trouble(self, who: str, error: Exception) -> None:
        """Keep, and tell, that something is not to be had, or that it failed."""
        kept = self.absent if isinstance(error, Missing) else self.failed
        kept[who] = (str(error).strip() or repr(error)).splitlines()[0]
        print(f"    {who}: {error}", flush=True)

    def sound(self) -> bool:
        """Tell whether nothing failed, no job was lost and none ran twice."""
        return not self.failed and not any(row.lost or row.extra for row in self.rows.values())

    def plain(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        rows = [{**key._asdict(), **asdict(row)} for key, row in self.rows.items()]
        return {"head": self.head, "rows": rows, "absent": self.absent, "failed": self.failed}
