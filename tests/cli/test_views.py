"""How errors are shown."""

from __future__ import annotations

from typing import Any

import pytest

from gaffer import failures
from gaffer.cli.views import said, whole

RAISED = {
    "type": "ValueError",
    "message": "bad",
    "traceback": "Traceback\n  ...\nValueError: bad\n",
}


@pytest.mark.parametrize(
    ("error", "line", "page"),
    [
        (RAISED, "ValueError: bad", "Traceback\n  ...\nValueError: bad"),
        (failures.lost(2), *["lost: the node that ran it was silent for 2 s"] * 2),
        ({"type": "odd", "message": "of course", "traceback": ""}, *["odd: of course"] * 2),
        ({"type": "odd"}, "odd", "odd"),
        ("no paper", "no paper", "no paper"),
    ],
)
def test_an_error_is_told_in_a_line_and_on_a_page(error: Any, line: str, page: str) -> None:
    assert said(error) == line
    assert whole(error) == page
