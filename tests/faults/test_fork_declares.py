"""A forked child that declares queues of its own: it still works only when it is told to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, sys, threading
import gaffer
from gaffer_driver_memory import MemoryDriver

app = gaffer.Gaffer(MemoryDriver())
app.ensure_queue("old", worker=lambda job: None)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
for name in ("old", "new"):
    app.ensure_queue(name, worker=lambda job: None, prune={"interval": None}).insert(1)
names = {thread.name for thread in threading.enumerate()}
assert names == {"MainThread"}, names
app.start()
for name in ("old", "new"):
    app.flush(name, 5)
    assert app.stats(name)[gaffer.JobState.COMPLETED].count == 1
app.stop()
os._exit(0)
"""


def test_a_child_that_declares_queues_works_them_only_after_start(tmp_path: Path) -> None:
    """F39."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    ended = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
