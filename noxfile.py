"""What is checked, and how. `nox -l` lists the sessions; `nox` runs those for every change.

All but two install this checkout and its drivers in editable form; `wheels` and `newcomer` prove
what somebody gets who has no checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nox

ROOT = Path(__file__).parent
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
SUPPORTED = ["3.11", "3.12", "3.13", "3.14"]
DRIVERS = ["memory", "postgres"]
DISTRIBUTIONS = [".", *(f"./gaffer_driver_{name}" for name in DRIVERS)]
SUITE = ["-p", "gaffer.testing.plugin", "--pyargs", "gaffer.testing.suite"]


def interpreter(version: str) -> str | None:
    """Return the path of a Python of *version* that starts, or `None`."""
    if version == RUNNING:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    managed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    for path in [shutil.which(f"python{version}"), *map(str, managed)]:
        # A version manager's shim may be on the path and lead nowhere.
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    return None


PYTHONS = {version: path for version in SUPPORTED if (path := interpreter(version))}
OTHERS = [version for version in PYTHONS if version != RUNNING]

nox.options.sessions = ["lint", "types", f"tests({RUNNING})", "docs"]
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True


def install(session: nox.Session) -> None:
    """Install all distributions of this checkout in editable form, and the tools."""
    drivers = [argument for path in DISTRIBUTIONS[1:] for argument in ("-e", path)]
    session.install("-e", ".[dev]", *drivers)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and form: ruff."""
    install(session)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict."""
    install(session)
    session.run("mypy", *session.posargs)


@nox.session
@nox.parametrize("python", [nox.param(path, id=version) for version, path in PYTHONS.items()])
def tests(session: nox.Session) -> None:
    """All tests, or those that are named after `--`, on each Python at hand."""
    install(session)
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[OTHERS[-1]] if OTHERS else None)
def other(session: nox.Session) -> None:
    """The conformance suite on the newest Python at hand beside the running one."""
    if not OTHERS:
        session.skip(f"no Python at hand beside {RUNNING}")
    install(session)
    session.run("pytest", "-q", "tests/test_conformance.py", *session.posargs)


@nox.session
@nox.parametrize("driver", [nox.param(name, id=name) for name in DRIVERS])
def conformance(session: nox.Session, driver: str) -> None:
    """The conformance suite on one driver; a number after `--` sets how many examples it tries."""
    install(session)
    numbers = [argument for argument in session.posargs if argument.isdigit()]
    others = [argument for argument in session.posargs if argument not in numbers]
    session.run(
        "pytest",
        f"--driver={driver}",
        "tests/test_conformance.py",
        *others,
        env={"GAFFER_EXAMPLES": numbers[-1]} if numbers else {},
    )


@nox.session
def trials(session: nox.Session) -> None:
    """The promises as figures: those named after `--`, else all. In full it takes an hour."""
    install(session)
    session.run("python", "-m", "tests.trials", *session.posargs)


@nox.session
def mutations(session: nox.Session) -> None:
    """Whether the tests notice when a line is gone that a promise hangs on: four minutes."""
    install(session)
    session.run("python", "-m", "tests.mutations", *session.posargs)


@nox.session
def chaos(session: nox.Session) -> None:
    """Everything fails while queues are worked: `nox -s chaos -- --minutes 20 --seed 7`."""
    install(session)
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session(venv_backend="none")
def older(session: nox.Session) -> None:
    """The PostgreSQL driver on the oldest server at hand; uses the environment that nox is in."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    if not found:
        session.skip("no binaries of PostgreSQL at hand")
    tests = session.posargs or ["tests/test_conformance.py", "tests/postgres"]
    with _server(session, found[0]) as dsn:
        command = [sys.executable, "-m", "pytest", "-q", "--driver=postgres"]
        session.run(*command, f"--postgres-dsn={dsn}", *tests, external=True)


@contextmanager
def _server(session: nox.Session, binaries: Path) -> Iterator[str]:
    """Give the DSN of a new server, which ends with the block."""
    # It refuses to run as root; the Debian package made a user for it.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    run = partial(session.run, *user, external=True, silent=True)
    with tempfile.TemporaryDirectory(prefix="gaffer-older-") as place:
        if user:
            shutil.chown(place, "postgres")
        data = f"{place}/data"
        run(f"{binaries}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
        settings = f"-h '' -k {place} -c max_connections=200"
        control = [f"{binaries}/pg_ctl", "-D", data, "-w"]
        run(*control, "-l", f"{data}/log", "-o", settings, "start")
        try:
            yield f"host={place} user=postgres dbname=postgres"
        finally:
            run(*control, "-m", "fast", "stop")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build the wheels, install them where no checkout is, and run the suite from them."""
    with tempfile.TemporaryDirectory(prefix="gaffer-wheels-") as name:
        place = Path(name)
        built = _build(session, place / "dist")
        for wheel in built:
            _check_typed(session, wheel)
        python = _empty_environment(session, place / "venv")
        run = partial(session.run, python, "-m", external=True)
        wanted = [f"{wheel}[testing]" for wheel in built]
        run("pip", "install", "--quiet", "--find-links", str(place / "dist"), *wanted)
        (place / "elsewhere").mkdir()
        session.chdir(place / "elsewhere")
        for driver in DRIVERS:
            run("pytest", "-q", *SUITE, f"--driver={driver}", *session.posargs)
        session.chdir(ROOT)
        _follow(session, place / "dist")


@nox.session
def newcomer(session: nox.Session) -> None:
    """The first hour of a new user, from its page and the wheels; `wheels` ends with it, too."""
    with tempfile.TemporaryDirectory(prefix="gaffer-wheels-") as name:
        _build(session, Path(name))
        _follow(session, Path(name))


def _build(session: nox.Session, place: Path) -> list[Path]:
    """Build the wheels into *place*, and return them."""
    session.install("build")
    for path in DISTRIBUTIONS:
        # By way of the source distribution, so that nothing stale of the checkout gets in.
        session.run("python", "-m", "build", "-q", "--outdir", str(place), path)
    return sorted(place.glob("*.whl"))


def _follow(session: nox.Session, dist: Path) -> None:
    """Do what the page tells; who types is the Python that runs nox, and has what tests need."""
    command = [sys.executable, "-m", "tests.first_hour", "docs/tutorial/first-hour.md"]
    session.run(*command, env={"PIP_FIND_LINKS": str(dist)}, external=True)


def _check_typed(session: nox.Session, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {name.split("/")[0] for name in names if name.endswith(".py")}
    missing = [package for package in packages if f"{package}/py.typed" not in names]
    if missing or not packages:
        session.error(f"{wheel.name}: no py.typed in {', '.join(missing) or 'an empty wheel'}")
    session.log(f"{wheel.name}: py.typed is in {', '.join(sorted(packages))}")


def _empty_environment(session: nox.Session, place: Path) -> str:
    session.run("python", "-m", "venv", str(place))
    return str(place / ("Scripts" if os.name == "nt" else "bin") / "python")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, into docs/_build/html; a warning is an error."""
    install(session)
    session.run(
        "sphinx-build", "-W", "-n", "--keep-going", "-b", "html", "docs", "docs/_build/html"
    )
