"""Everything at once on two queues that forward to each other: no deadlock for the server to break.

It looks for deadlocks after 10 ms. Claims under a global limit, settlements in any order, each job
also taken for lost by somebody else, chains, forwards both ways, cancels, deletes, prunes, pauses,
and inserts with and without a transaction of the caller's.
"""

from __future__ import annotations

import random

from gaffer import Gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.rig.crowd import WHAT, Crowd, deadlocks, forwarding
from tests.rig.server import own_server
from tests.trials.figures import Figure, Trial, at_least, exactly


def run(seconds: float, least: int, seed: int | None = None) -> list[Figure]:
    """Do all for *seconds*, and each thing at least so often."""
    seed = random.randrange(2**32) if seed is None else seed
    with own_server({"deadlock_timeout": "10ms"}) as server:
        drivers = [PostgresDriver(server.conninfo, max_connections=8) for _ in range(2)]
        try:
            for driver in drivers:
                driver.start()
            with Gaffer(drivers[0], work=False) as g:
                forwarding(g)
                crowd = Crowd(g, drivers, server.conninfo, random.Random(seed))
                crowd.run(seconds)
        finally:
            for driver in drivers:
                driver.stop()  # a session reports at its end at the latest
        return [
            Figure("the seed", str(seed), "any", True),
            exactly("deadlocks", deadlocks(server.conninfo), 0),
            *[at_least(what, crowd.did[what], least) for what in WHAT],
        ]


TRIAL = Trial(
    run=run,
    full={"seconds": 60.0, "least": 500},
    short={"seconds": 3.0, "least": 1},
)
