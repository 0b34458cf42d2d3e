"""The command line of the trials."""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.trials.figures import Figure, Trial

HERE = Path(__file__).parent
OTHERS = {"__init__", "__main__", "figures"}


def names() -> list[str]:
    """Return the names of all trials."""
    return sorted(
        path.stem
        for path in HERE.glob("[a-z]*.py")
        if path.stem not in OTHERS and not path.stem.startswith("test_")
    )


def trial(name: str) -> Trial:
    """Return a trial by its name."""
    found = import_module(f"tests.trials.{name}").TRIAL
    assert isinstance(found, Trial)
    return found


def table(figures: list[Figure]) -> str:
    """Return the figures as lines."""
    wide = max(len(figure.what) for figure in figures)
    return "\n".join(
        f"    {'kept  ' if figure.kept else 'BROKEN'}  {figure.what:<{wide}}  {figure.value}"
        f"  ({figure.bound})"
        for figure in figures
    )


def main() -> int:
    """Run what is named, or list what there is; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.trials", description=__doc__)
    parser.add_argument("name", nargs="*", help="the trials to run; none: list them")
    parser.add_argument("--short", action="store_true", help="in seconds, as the tests do")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    errors = logging.StreamHandler()
    errors.setLevel(logging.ERROR)  # of the faults that trials make there would be many warnings
    logging.getLogger().addHandler(errors)
    if not options.name:
        print("\n".join(f"{name}: {trial(name).full}" for name in names()))
        return 0
    changes = {key: json.loads(value) for key, _, value in (s.partition("=") for s in options.set)}
    kept, told = True, {}
    for name in options.name:
        one = trial(name)
        settings = {**(one.short if options.short else one.full), **changes}
        print(f"{name} {settings} on Python {platform.python_version()}", flush=True)
        figures = list(one.run(**settings))
        print(table(figures), flush=True)
        kept &= all(figure.kept for figure in figures)
        told[name] = {"settings": settings, "figures": [asdict(figure) for figure in figures]}
    if options.json:
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
