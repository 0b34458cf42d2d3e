"""Pictures of how fast the PostgreSQL driver is: measured in one step, drawn in another.

`measure` writes figures into a file, one section for each picture, and leaves its other sections
as they are. `draw` makes SVG of the sections in all files that it is given, among which may be one
of `postgres_snapshot.py`; the same figures give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _plots_draw import draw
from _plots_measure import SECTIONS, section
from _plots_pictures import pictures
from measure import EMBEDDED, machine

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure", help="write figures into a file")
    names = ", ".join(SECTIONS)
    measure.add_argument("sections", nargs="*", metavar="section", help=f"{names} (default: all)")
    measure.add_argument("--json", type=Path, required=True, metavar="FILE")
    measure.add_argument("--driver", default=EMBEDDED, help=f"a URL (default: {EMBEDDED})")
    for name, number, what in (
        ("runs", 3, "how often each case is measured"),
        ("jobs", 20_000, "jobs of a case, at the most"),
        ("waiting", 1_000_000, "the largest backlog"),
        ("processes", 4, "the most processes, up to 8"),
    ):
        text = f"{what} (default: {number:,})"
        measure.add_argument(f"--{name}", type=int, default=number, help=text)
    drawing = commands.add_parser("draw", help="draw what files of figures hold")
    drawing.add_argument("files", nargs="+", type=Path, metavar="FILE")
    drawing.add_argument("--folder", type=Path, default=IMAGES, help="where the pictures go")
    options = parser.parse_args()
    if options.command == "measure" and (unknown := {*options.sections} - {*SECTIONS}):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {names}")
    return options


def read(*files: Path) -> dict[str, Any]:
    """Return the sections of all files; of two with one name, the later one's."""
    found: dict[str, Any] = {}
    for file in files:
        found |= json.loads(file.read_text())
    return found


def write(file: Path, figures: dict[str, Any]) -> None:
    """Keep *figures*, whatever was measured first in the same order."""
    file.write_text(json.dumps(dict(sorted(figures.items())), indent=1) + "\n")


def main() -> None:
    """Do what was asked for."""
    assert __doc__ is not None
    options = arguments()
    if options.command == "draw":
        options.folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures(read(*options.files)):
            print(draw(picture, options.folder))
        return
    print(f"{__doc__.splitlines()[0]}\n{machine()}; driver {options.driver}\n")
    for name in options.sections or SECTIONS:
        figures = read(options.json) if options.json.exists() else {}
        write(options.json, {**figures, name: section(name, options)})


if __name__ == "__main__":
    main()
