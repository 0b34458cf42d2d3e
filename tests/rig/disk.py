"""A small disk: a file system in memory that fills up."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["small_disk"]


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """Give the place where a small disk is mounted, or `None` where we may not mount any."""
    with tempfile.TemporaryDirectory(prefix="gaffer-disk-", ignore_cleanup_errors=True) as place:
        if os.geteuid() != 0 or not _mount(place, megabytes):
            yield None
            return
        try:
            yield Path(place)
        finally:
            # At once if nobody is there any more, else as soon as that is so.
            subprocess.run(["umount", "-l", place], check=True, capture_output=True)


def _mount(place: str, megabytes: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", place]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
