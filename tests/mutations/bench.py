"""Where mutants are run: copies of this checkout, and pytest in processes that see one of them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gaffer_driver_postgres.harness import VARIABLE
from tests.mutations.mutant import Mutant, mutated

__all__ = ["Bench", "Run"]

ROOT = Path(__file__).parent.parent.parent
SOURCES = [".", "gaffer_driver_memory/src", "gaffer_driver_postgres/src"]
LIMIT = 120.0
"""Seconds for the tests of one mutant; who waits for ever has noticed, too."""

_GUARD = """
import importlib, pathlib, sys
for name in ("gaffer", "gaffer_driver_memory", "gaffer_driver_postgres", "tests.rig"):
    place = pathlib.Path(importlib.import_module(name).__file__).resolve()
    if not place.is_relative_to(sys.argv[1]):
        sys.exit(f"{name} is imported from {place}, not from the copy in {sys.argv[1]}")
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of the tests: those that turned red, and the output."""

    red: Sequence[str]
    green: bool
    seconds: float
    output: str


class Bench:
    """Copies below *place*; the tests use the PostgreSQL server at *dsn*."""

    def __init__(self, place: Path, dsn: str) -> None:
        self._place = place
        self._base = place / "base"
        self._environment = {**os.environ, VARIABLE: dsn}
        self._environment.pop("PYTEST_ADDOPTS", None)

    def set_up(self) -> None:
        """Copy the tracked files, as they are now; raise if something else would be imported."""
        for name in _tracked():
            target = self._base / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        self._guard(self._base)

    def _guard(self, root: Path) -> None:
        subprocess.run(
            [sys.executable, "-c", _GUARD, str(root.resolve())],
            cwd=root,
            env=self._seeing(root),
            check=True,
        )

    def _seeing(self, root: Path) -> dict[str, str]:
        # Before the editable installation, which stands at the end of the path.
        return {**self._environment, "PYTHONPATH": os.pathsep.join(str(root / s) for s in SOURCES)}

    def sound(self, tests: Iterable[str], options: Sequence[str]) -> Run:
        """Run *tests* without a mutant; they also leave their bytecode for the others."""
        return self._run(self._base, list(tests), options, 5 * LIMIT)

    def spoilt(self, mutant: Mutant) -> Run:
        """Run the tests of *mutant* with it, until they are red."""
        root = self._place / re.sub(r"\W+", "-", mutant.name)
        shutil.copytree(self._base, root)
        try:
            # A file of the same size and second would be taken for the one that was compiled.
            for compiled in (root / mutant.path).parent.glob("__pycache__/*.pyc"):
                compiled.unlink()
            (root / mutant.path).write_text(mutated(mutant, root), "utf-8")
            self._guard(root)
            run = self._run(root, mutant.tests, ["-x", *mutant.options], LIMIT)
            for _ in range(mutant.tries - 1):
                if not run.green:
                    break
                again = self._run(root, mutant.tests, ["-x", *mutant.options], LIMIT)
                run = Run(again.red, again.green, run.seconds + again.seconds, again.output)
            return run
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _run(self, root: Path, tests: Sequence[str], options: Sequence[str], limit: float) -> Run:
        command = [sys.executable, "-m", "pytest", "-q", "-rfE", "--tb=short", "-p"]
        command += ["no:cacheprovider", *options, *tests]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=root,
            env=self._seeing(root),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=limit)
            hung = False
        except subprocess.TimeoutExpired:
            output, hung = _end(process), True
        red = re.findall(r"^(?:FAILED|ERROR) \S*?::(\w+)", output, re.MULTILINE)
        if hung:
            red.append("(no end)")
        elif process.returncode < 0 and not red:
            red.append(f"(died of {signal.Signals(-process.returncode).name})")
        # 1 is red; what is above could not be run at all.
        assert process.returncode <= 1, output
        return Run(list(dict.fromkeys(red)), not red, time.monotonic() - began, output)


def _end(process: subprocess.Popen[str]) -> str:
    """End a session with all that it has started, and return what it said."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def _tracked() -> list[str]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run(
        [*command, "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
