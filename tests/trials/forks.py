"""A process may fork at any moment: the child inserts at once and ends, the parent notices nothing.

On PostgreSQL, by a process of its own: idle, with four threads that hammer, within jobs, and while
jobs run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.rig.server import own_server
from tests.trials.figures import Figure, Trial, at_least, at_most, exactly

PROGRAM = Path(__file__).parents[1] / "rig" / "_forker.py"
STATES = 4


def run(forks: int, insert: float) -> Sequence[Figure]:
    """Fork so many times; a child's insert may take *insert* seconds."""
    with own_server() as server:
        settings = json.dumps({"conninfo": server.conninfo, "forks": forks // STATES})
        ended = subprocess.run(
            [sys.executable, str(PROGRAM), settings],
            capture_output=True,
            text=True,
            timeout=60 + 10 * forks,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    children = found["children"]
    number = forks // STATES * STATES
    hung = [one["state"] for one in children if one["code"] is None]
    lost = Counter(one["state"] for one in children for _ in range(one["lost"]))
    return [
        exactly("children that ended with 0", sum(one["code"] == 0 for one in children), number),
        exactly(f"children that hung {', '.join(hung)}".rstrip(), len(hung), 0),
        at_most("a child's insert, the slowest", max(found["inserts"]), insert, " s"),
        exactly("jobs of children, worked by the parent", found["inserted by children"], number),
        at_least("the parent's sessions", found["sessions"], 4),
        exactly(f"the parent's sessions that ended {dict(lost) or ''}".rstrip(), lost.total(), 0),
        exactly("jobs not completed", found["not completed"], 0),
        exactly("jobs that lost an attempt", found["attempts lost"], 0),
    ]


TRIAL = Trial(run=run, full={"forks": 200, "insert": 2.0}, short={"forks": 16, "insert": 20.0})
