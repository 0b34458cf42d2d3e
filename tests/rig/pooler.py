"""A real pgbouncer in transaction mode, in front of the tests' server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.rig.waiting import free_port, until

__all__ = ["pgbouncer", "program"]

_CONFIG = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
logfile = {place}/log
pidfile = {place}/pid
{more}
"""


def program() -> str | None:
    """Return the path of pgbouncer, if there is one."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(server: str, place: Path, *, size: int = 2, more: str = "") -> Iterator[str]:
    """Give a conninfo that goes through a pgbouncer with *size* connections to *server*."""
    target = conninfo_to_dict(server)
    database = target.pop("dbname", "postgres")
    target.setdefault("user", "postgres")
    port = free_port()
    config = place / "pgbouncer.ini"
    names = {"host": "host", "port": "port", "user": "user", "password": "password"}
    keywords = " ".join(f"{names[key]}={value}" for key, value in target.items() if key in names)
    config.write_text(_CONFIG.format(server=keywords, port=port, size=size, place=place, more=more))
    found = program()
    assert found is not None
    command = [found, str(config)]
    if os.geteuid() == 0:  # as root it refuses to run
        user = _who_may(str(target.get("host", "")))
        _open_to(place, user)
        command = [found, "-u", user, str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        through = make_conninfo(
            host="127.0.0.1", port=port, dbname=database, user=target["user"], sslmode="disable"
        )
        try:
            until(lambda: _answers(through))
            yield through
        finally:
            running.terminate()


def _who_may(host: str) -> str:
    """Return the user who owns the server's socket, or one who owns nothing."""
    return pwd.getpwuid(os.stat(host).st_uid).pw_name if host.startswith("/") else "nobody"


def _open_to(place: Path, user: str) -> None:
    account = pwd.getpwnam(user)
    for path in [place, *place.iterdir()]:
        os.chown(path, account.pw_uid, account.pw_gid)
    for parent in place.parents:
        parent.chmod(parent.stat().st_mode | 0o005 | 0o050)


def _answers(conninfo: str) -> bool:
    try:
        with psycopg.connect(conninfo, connect_timeout=2, prepare_threshold=None) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
