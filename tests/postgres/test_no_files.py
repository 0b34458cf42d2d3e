"""A process that may open no more files: it has no connection, which is an outage and no end."""

from __future__ import annotations

import json
import subprocess
import sys

from gaffer_driver_postgres import PostgresDriver

SCRIPT = """
import json, resource, sys
import gaffer
from gaffer_driver_postgres import PostgresDriver

conninfo, schema = sys.argv[1:]
driver = PostgresDriver(conninfo, schema=schema, migrate=False, notify=False, timeout=1.0)
said = []
with gaffer.Gaffer(driver) as g:
    queue = g.ensure_queue("q", worker=lambda job: "done", prune={"interval": None})
    queue.insert("before")
    queue.flush(timeout=60)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    # Its connections are gone, and there is none to be had.
    driver._connections._own.drain()
    driver._pulse.drop()
    try:
        said.append(driver.queue_list())
    except gaffer.DriverUnavailable:
        said.append("unavailable")
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    queue.insert("after")
    queue.flush(timeout=60)
    said += sorted(job.payload for job in queue.list(state="completed"))
print(json.dumps(said))
"""


def test_a_process_that_may_open_no_file_says_so_and_goes_on_when_it_may(
    driver: PostgresDriver, server: str, schema: str
) -> None:
    """F44."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, server, schema],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["unavailable", "after", "before"], done.stderr
