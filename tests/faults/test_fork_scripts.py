"""Forks that are better tried in a process of their own: from many threads, by multiprocessing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FORKING = """
import os, sys, threading
import gaffer
from gaffer_driver_memory import MemoryDriver, Storage

storages = [Storage() for _ in range(100)]
g = gaffer.Gaffer(MemoryDriver())
queue = g.ensure_queue("q", worker=lambda job: None, prune={"interval": None})
codes = []

def fork_often():
    for _ in range(40):
        pid = os.fork()
        if not pid:
            queue.insert("child")
            os._exit(0)
        codes.append(os.waitpid(pid, 0)[1])

sys.setswitchinterval(1e-6)
forkers = [threading.Thread(target=fork_often) for _ in range(3)]
for thread in forkers:
    thread.start()
for _ in range(200):
    queue.insert("parent")
for thread in forkers:
    thread.join()
queue.flush(10)
print(codes == [0] * 120, queue.stats()["completed"].count)
print(any(storage.lock.locked() for storage in storages))
"""


def test_forks_from_threads_at_once_leave_the_parent_working(tmp_path: Path) -> None:
    """F39."""
    ended = _run(tmp_path, FORKING)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["True 200", "False"]


SCRIPT = """
import multiprocessing, sys, threading
import gaffer

def child(queue):
    gaffer.ensure_queue(queue, worker=lambda job: None)
    job = gaffer.insert(queue, 1)
    gaffer.start()
    gaffer.flush(queue, 5)

if __name__ == "__main__":
    gaffer.ensure_queue("parent", worker=lambda job: None)
    gaffer.insert("parent", 1)
    gaffer.flush("parent", 5)
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=child, args=[name]) for name in ("parent", "other")]
    for process in children:
        process.start()
    for process in children:
        process.join(20)
    print([process.exitcode for process in children])
    gaffer.insert("parent", 2)
    gaffer.flush("parent", 5)
    print("parent works")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_children_work_their_own_queues(tmp_path: Path, method: str) -> None:
    """F39."""
    ended = _run(tmp_path, SCRIPT, method)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == ["[0, 0]", "parent works"]


def _run(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(text)
    try:
        return subprocess.run(
            [sys.executable, "-W", "ignore", script, *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail("the script hangs")
