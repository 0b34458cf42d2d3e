"""The primary is gone for good, and a while later a standby takes its place.

The standby has whatever the primary said to be committed, and all know both from the beginning: it
has to be like an outage. Until the standby is promoted it takes connections, and nothing but
reading.
"""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.rig.fleet import fleet
from tests.rig.server import own_server, standby_of
from tests.trials.figures import Figure, Trial
from tests.trials.outage import lived_through


def run(seconds: float, processes: int, waiting: int, lease: float) -> list[Figure]:
    """Promote the standby *seconds* after the primary is gone, while *processes* run jobs."""
    with own_server() as primary, standby_of(primary) as standby:
        ports = [conninfo_to_dict(one.conninfo)["port"] for one in (primary, standby)]
        both = make_conninfo(
            primary.conninfo,
            host="127.0.0.1,127.0.0.1",
            port=",".join(map(str, ports)),
            target_session_attrs="read-write",
        )
        with fleet(both, lease=lease, beat_interval=lease / 4) as nodes:
            return lived_through(
                nodes,
                lambda: primary.stop("immediate"),
                standby.promote,
                seconds=seconds,
                processes=processes,
                waiting=waiting,
            )


TRIAL = Trial(
    run=run,
    full={"seconds": 35.0, "processes": 3, "waiting": 500, "lease": 2.0},
    short={"seconds": 1.5, "processes": 2, "waiting": 50, "lease": 2.0},
)
