"""A small disk for the jobs: a tablespace on a file system in memory, which can be full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Disk", "small_disk"]

_SIZE = 512 * 2**20
_ROOM = 64 * 2**10
"""Bytes left free on a full disk: a table grows by more."""


class Disk:
    """What is mounted at *place*; what lies there stays when it is full."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self) -> None:
        """Leave no room: the file system becomes as small as what is on it."""
        found = os.statvfs(self.place)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._resize(used + _ROOM)

    def clear(self) -> None:
        """Give it its room again."""
        self._resize(_SIZE)

    def _resize(self, size: int) -> None:
        command = ["mount", "-o", f"remount,size={size}", str(self.place)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(place: Path) -> Iterator[Disk | None]:
    """Give a disk that belongs to whom *place*'s folder belongs; `None` where none can be made."""
    owner = place.parent.stat()
    place.mkdir()
    options = f"size={_SIZE},mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
    command = ["mount", "-t", "tmpfs", "-o", options, "gaffer-chaos", str(place)]
    try:
        made = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except OSError:  # no such program
        made = False
    if not made:
        yield None
        return
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)
