"""Scripts that are run under each Python at hand, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PYTHONS", "Ended", "environment", "has_postgres", "run"]

ROOT = Path(__file__).parents[2]
OTHERS = {"3.11": "3.11.7", "3.12": "3.12.1", "3.13": "3.13.0"}
PYTHONS = {"this": Path(sys.executable)} | {
    name: path
    for name, version in OTHERS.items()
    if (path := Path.home() / ".pyenv/versions" / version / "bin/python").exists()
    and name != f"{sys.version_info.major}.{sys.version_info.minor}"
}
"""The interpreters at hand; the others are for the continuous integration."""

LONGEST = 60.0
"""Seconds after which a script is taken to hang."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended: *code* is `None` if it had to be killed."""

    code: int | None
    out: str
    noise: str
    seconds: float
    last: float
    """Seconds from the line that it was written to its end."""


def environment() -> dict[str, str]:
    """Return an environment in which every Python finds this checkout."""
    drivers = [ROOT / f"gaffer_driver_{name}" / "src" for name in ("memory", "postgres")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, *drivers]))}


@cache
def has_postgres(python: Path) -> bool:
    """Return whether the PostgreSQL driver can be used under *python*."""
    asked = [str(python), "-c", "import psycopg, psycopg_pool"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def run(
    python: Path, script: Path, *arguments: str, then: Callable[[], object] = lambda: None
) -> Ended:
    """Run *script*; when it has written its first line, do *then*, and write it one."""
    began = time.monotonic()
    noise = script.with_suffix(".err")
    with (
        noise.open("w") as errors,
        subprocess.Popen(
            [python, "-X", "dev", "-W", "ignore", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        killer = threading.Timer(LONGEST, process.kill)
        killer.start()
        out = process.stdout.readline()
        then()
        last = time.monotonic()
        with suppress(BrokenPipeError):
            process.stdin.write("go\n")
            process.stdin.close()
        out += process.stdout.read()
        code = process.wait()
        now = time.monotonic()
        hung = not killer.is_alive()
        killer.cancel()
        said = noise.read_text()
        return Ended(None if hung else code, out, said, now - began, now - last)
