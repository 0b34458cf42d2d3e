"""A virtual environment for each peer, made once and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from versus.errors import Missing
from versus.plan import LIBRARIES, Library

__all__ = ["cache", "described", "python_of"]


def cache() -> Path:
    """Return where environments are kept unless the command says otherwise."""
    place = os.environ.get("XDG_CACHE_HOME")
    return (Path(place) if place else Path.home() / ".cache") / "gaffer-versus"


def python_of(name: str, folder: Path) -> str:
    """Return the interpreter that has the library *name*, made at need; or raise `Missing`."""
    library = LIBRARIES[name]
    if not library.packages:
        return sys.executable
    base = _interpreter(library.python)
    version = subprocess.run(
        [base, "-c", "import platform; print(platform.python_version())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    mark = hashlib.sha256(repr((library.packages, base, version)).encode()).hexdigest()[:8]
    place = folder / f"{name}-py{version}-{mark}"
    if not (place / "complete").exists():
        print(f"making an environment for {name} ...", flush=True)
        _make(base, place, library)
    return str(place / "bin" / "python")


def described(name: str, python: str) -> str:
    """Return the versions of the library *name* and of its interpreter."""
    library = LIBRARIES[name]
    if name == "gaffer":
        what = f"gaffer {metadata.version('gaffer-queue')}{_commit()}"
    else:
        what = (library.packages or (f"floor: psycopg=={metadata.version('psycopg')}",))[0]
    told = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return f"{what.replace('==', ' ')} ({told.stdout.strip()})"


def _commit() -> str:
    """Return the commit of this checkout; nothing if it is none."""
    command = ["git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        told = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return f", commit {told.stdout.strip()}" if told.returncode == 0 else ""


def _interpreter(least: tuple[int, int]) -> str:
    """Return a Python of at least that version: the running one if it will do."""
    if sys.version_info[:2] >= least:
        return sys.executable
    for minor in range(least[1], least[1] + 4):
        version = f"{least[0]}.{minor}"
        pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
        managed = sorted(map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}")))
        for path in [shutil.which(f"python{version}"), *managed]:
            # A version manager's shim may be on the path and lead nowhere.
            if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
                return path
    raise Missing(f"needs Python {least[0]}.{least[1]} or later")


def _make(base: str, place: Path, library: Library) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    # By the pip of this interpreter: not every Python comes with one for its environments.
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python")]
    steps = [
        [base, "-m", "venv", "--without-pip", str(place)],
        [*pip, "install", "--quiet", *library.packages],
    ]
    for step in steps:
        ran = subprocess.run(step, capture_output=True, text=True, check=False)
        if ran.returncode:
            reason = ran.stderr.strip().splitlines() or ["no reason given"]
            raise Missing(f"cannot be installed: {reason[-1]}")
    (place / "complete").touch()
