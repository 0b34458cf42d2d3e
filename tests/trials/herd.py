"""Many processes find the server gone and back: they do not come back in step, and soon all do.

Each that is kept waiting looks again after a pause of its own. What counts is how many of them
claim again in the same tenth of a second, and how many connections the server is asked for in the
busiest second, while all come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import inf

from tests.rig.fleet import fleet
from tests.rig.server import Server, own_server
from tests.rig.waiting import until
from tests.trials.figures import Figure, Trial, at_most, exactly
from tests.trials.outage import Outage

TENTH, SECOND = 0.1, 1.0
CONNECTIONS = 6
"""The most that a process has."""


def densest(moments: Sequence[float], seconds: float) -> int:
    """Return how many of *moments* fall into so many seconds at most."""
    return max((sum(at <= t < at + seconds for t in moments) for at in moments), default=0)


def connections(server: Server) -> list[float]:
    """Return when the server was asked for a connection since its last start, by its log."""
    lines = server.log().splitlines()
    since = max(number for number, line in enumerate(lines) if "ready to accept" in line)
    asked = [line for line in lines[since:] if "connection received" in line]
    return [float(line.split()[0]) for line in asked]


def run(processes: int, seconds: float, most: int) -> list[Figure]:
    """Have the server away for *seconds*; at most *most* of *processes* may come at once."""
    settings = {"log_connections": "on", "log_line_prefix": "%n "}
    with own_server(settings) as server, fleet(server.conninfo) as nodes:
        queue = nodes.g.ensure_queue("q")
        for worker in [nodes.work(q={"max_workers": 2}) for _ in range(processes)]:
            worker.wait_ready()
        jobs = queue.insert_many([0.1] * (processes * 200))
        until(lambda: len({line["process"] for line in nodes.said("began")}) == processes)
        outage = Outage(nodes, jobs)

        outage.pass_by(lambda: server.stop("immediate"), server.start, seconds)

        with suppress(AssertionError):  # the figures say how many did not
            until(lambda: len(outage.first_claims()) == processes)
        firsts = outage.first_claims()
        asked = densest(connections(server), SECOND)
        return [
            exactly("processes that claimed again", len(firsts), processes),
            at_most("the last of them after", max(firsts, default=inf), 5.0, " s"),
            at_most("of them in a tenth of a second", densest(firsts, TENTH), most),
            at_most("connections in the busiest second", asked, processes * CONNECTIONS),
        ]


TRIAL = Trial(
    run=run,
    full={"processes": 20, "seconds": 30.0, "most": 7},
    short={"processes": 4, "seconds": 2.0, "most": 4},
)
