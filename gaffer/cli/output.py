"""What commands print: tables and lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

__all__ = ["Output"]

_WIDEST = 60


class Output:
    """Prints to *stream*: with *as_json* a JSON value for each call, else text."""

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self.as_json = as_json

    def say(self, text: str, value: Mapping[str, Any]) -> None:
        """Print one line: *text*, or *value* as JSON. At once, for whoever follows."""
        print(_dumped(value) if self.as_json else text, file=self._stream, flush=True)

    def document(self, text: str, value: Mapping[str, Any]) -> None:
        """Print a page of text, or *value* as JSON on several lines."""
        print(json.dumps(value, indent=2, default=str) if self.as_json else text, file=self._stream)

    def rows(self, columns: Sequence[str], rows: Iterable[tuple[Sequence[Any], Any]]) -> None:
        """Print a table of the first halves of *rows*, or the second halves as JSON lines."""
        if self.as_json:
            for _, value in rows:
                print(_dumped(value), file=self._stream)
            return
        cells = [[_cell(value) for value in row] for row, _ in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for line in [list(columns), *cells]:
            print(_aligned(line, widths), file=self._stream)


def _dumped(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _cell(value: Any) -> str:
    text = "-" if value is None else " ".join(str(value).split())
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
