"""A small disk: a file system in memory that can be full, and have room again."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Disk", "small_disk"]

_ROOM = 64 * 2**10
"""Bytes left free on a full disk: a table grows by more."""


class Disk:
    """A disk of *size* bytes, mounted at *place*; what lies there stays when it is full."""

    def __init__(self, place: Path, size: int) -> None:
        self.place = place
        self._size = size

    def fill(self) -> None:
        """Leave no room: the file system becomes as small as what is on it."""
        found = os.statvfs(self.place)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize + _ROOM)

    def clear(self) -> None:
        """Give it its room again."""
        self._resize(self._size)

    def _resize(self, size: int) -> None:
        command = ["mount", "-o", f"remount,size={size}", str(self.place)]
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk | None]:
    """Give a disk, or `None` where we may not mount any."""
    size = megabytes * 2**20
    with tempfile.TemporaryDirectory(prefix="gaffer-disk-", ignore_cleanup_errors=True) as place:
        if os.geteuid() != 0 or not _mount(place, size):
            yield None
            return
        try:
            yield Disk(Path(place), size)
        finally:
            # At once if nobody is there any more, else as soon as that is so.
            subprocess.run(["umount", "-l", place], check=True, capture_output=True)


def _mount(place: str, size: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "gaffer-disk", place]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
