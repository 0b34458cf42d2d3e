"""What a new user does in the first hour, from an empty directory: the page is followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.first_hour import Terminal, follow
from tests.rig.databases import database

PAGES = [
    Path(__file__).parent.parent / "docs" / "tutorial" / name
    for name in ("first-hour.md", "two-processes.md")
]


def test_the_terminal_tells_what_was_printed_and_how_it_ended(tmp_path: Path) -> None:
    with Terminal(tmp_path, {"COLOUR": "blue"}) as terminal:
        assert terminal.type("paper=white; echo $COLOUR") == (0, "blue\n")
        assert terminal.type("printf '%s' $paper; (exit 3)") == (3, "white")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_new_user_gets_what_the_page_tells(page: Path, server: str, tmp_path: Path) -> None:
    with database(server) as url:
        follow(page, tmp_path, {"GAFFER_DRIVER": url})


PAGE_OF_STEPS = """
<!-- in an empty environment -->
```sh
exit 1
```

<!-- file: a.txt -->
```python
1
```

```sh
cat a.txt {others}
```

```text
1 ... {seen}
```
"""


@pytest.mark.parametrize(("seen", "fits"), [("3", True), ("4", False)])
def test_a_page_is_followed_as_long_as_what_it_shows_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: str, fits: bool
) -> None:
    monkeypatch.setattr("tests.first_hour.PATIENCE", 0.5)
    page = tmp_path / "page.md"
    page.write_text(PAGE_OF_STEPS.format(others="<(printf '2\\n  3\\n')", seen=seen))
    if fits:
        follow(page, tmp_path, {})
    else:
        with pytest.raises(AssertionError, match=r"page\.md:13 prints\n1\n2\n  3\n\nand not\n1"):
            follow(page, tmp_path, {})
