"""Which libraries are compared, in which versions, with which settings, and on how many jobs.

The versions stand here and nowhere else. A profile's *jobs* is how many one drain takes: few for
slow libraries, so that each takes some five seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["LIBRARIES", "Library", "Profile", "with_best"]

PSYCOPG = "psycopg[binary,pool]==3.3.9"
REDIS = "redis==8.1.0"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Settings of a library, and for which modes they are of use."""

    meaning: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 0
    modes: tuple[str, ...] = ("drain", "payload")


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library: *packages* is empty for what the running interpreter has.

    *python* is the least version that it needs, *inserts* how many jobs a bulk insert is measured
    with.
    """

    profiles: Mapping[str, Profile]
    packages: tuple[str, ...] = ()
    store: str = "postgres"
    python: tuple[int, int] = (3, 11)
    inserts: int = 20_000


ALL = ("insert", "insert1", "drain", "processes", "latency", "payload", "idle", "memory")
DRAINS = ("drain", "processes", "payload")
PLAIN = tuple(mode for mode in ALL if mode != "processes")
INSERTS = ("insert",)

FORMS = {
    f"{held} held, {name}, {end}": Profile(
        meaning=f"at most {held} claimed and not yet recorded; {name}; a job ends by {end}",
        settings={"held": held, "trips": trips, "end": end},
        jobs=20_000,
        modes=("drain",),
    )
    for held in (10, 100)
    for trips, name in ((1, "one statement"), (2, "two trips"))
    for end in ("update", "delete")
}

LIBRARIES: dict[str, Library] = {
    "gaffer": Library(
        profiles={
            "default": Profile(
                meaning="all defaults, but max_workers=10",
                settings={"max_workers": 10},
                jobs=20_000,
                modes=ALL,
            ),
            "hundred": Profile(
                meaning="max_workers=100", settings={"max_workers": 100}, jobs=20_000,
                modes=("drain",),
            ),
            "best": Profile(
                meaning="max_workers=200", settings={"max_workers": 200}, jobs=20_000, modes=DRAINS
            ),
            "quiet": Profile(
                meaning="insert_many(returning=False)", settings={"quiet": True}, modes=INSERTS
            ),
            "io": Profile(
                meaning="max_workers=50", settings={"max_workers": 50}, jobs=20_000, modes=("io",)
            ),
        },
    ),
    "floor": Library(
        profiles={
            "unnest": Profile(
                meaning="INSERT ... SELECT FROM unnest", settings={"way": "unnest"}, modes=INSERTS
            ),
            "unnest returning": Profile(
                meaning="the same, with RETURNING *", settings={"way": "returning"}, modes=INSERTS
            ),
            "copy": Profile(meaning="COPY", settings={"way": "copy"}, modes=INSERTS),
            "single": Profile(meaning="INSERT of one row", modes=("insert1",)),
            **FORMS,
        },
    ),
    "pgqueuer": Library(
        packages=("pgqueuer==1.6.0", "asyncpg==0.32.0", PSYCOPG),
        profiles={
            "default": Profile(
                meaning="async jobs; batch 5, at most 10 held",
                settings={"batch": 5, "cap": 10},
                jobs=10_000,
                modes=ALL,
            ),
            "stock": Profile(
                meaning="the defaults: batch 10, no cap on what is held",
                settings={"batch": 10, "cap": None},
                jobs=15_000,
                modes=("drain",),
            ),
            "best": Profile(
                meaning="batch 250, no cap", settings={"batch": 250, "cap": None}, jobs=20_000,
                modes=DRAINS,
            ),
            "io": Profile(
                meaning="batch 25, at most 50 held", settings={"batch": 25, "cap": 50},
                jobs=10_000, modes=("io",),
            ),
        },
    ),
    "procrastinate": Library(
        packages=("procrastinate==3.10.0", PSYCOPG),
        profiles={
            "default": Profile(
                meaning="sync task (in a thread), concurrency 10",
                settings={"concurrency": 10, "delete": "never"},
                jobs=3_000,
                modes=ALL,
            ),
            "best": Profile(
                meaning="async task, concurrency 10, delete_jobs=always",
                settings={"concurrency": 10, "delete": "always", "coroutine": True},
                jobs=3_000,
                modes=("drain", "payload"),
            ),
            "io": Profile(
                meaning="sync task, concurrency 50",
                settings={"concurrency": 50, "delete": "never"},
                jobs=3_000,
                modes=("io",),
            ),
        },
    ),
    "chancy": Library(
        packages=("chancy==0.26.0", PSYCOPG),
        inserts=10_000,
        profiles={
            "default": Profile(
                meaning="ThreadedExecutor, concurrency 10, eager_polling",
                settings={"executor": "Threaded", "concurrency": 10},
                jobs=4_000,
                modes=PLAIN,
            ),
            "best": Profile(
                meaning="AsyncExecutor, concurrency 500, eager_polling",
                settings={"executor": "Async", "concurrency": 500},
                jobs=10_000,
            ),
            "io": Profile(
                meaning="ThreadedExecutor, concurrency 50, eager_polling",
                settings={"executor": "Threaded", "concurrency": 50},
                jobs=4_000,
                modes=("io",),
            ),
        },
    ),
    "oban": Library(
        packages=("oban==0.7.0", PSYCOPG),
        inserts=10_000,
        python=(3, 12),
        profiles={
            "default": Profile(
                meaning="async job, limit 10", settings={"limit": 10}, jobs=4_000, modes=PLAIN
            ),
            "best": Profile(meaning="async job, limit 500", settings={"limit": 500}, jobs=6_000),
            "io": Profile(
                meaning="async job, limit 50", settings={"limit": 50}, jobs=4_000, modes=("io",)
            ),
        },
    ),
    "dramatiq": Library(
        packages=("dramatiq[redis]==2.2.1", REDIS),
        inserts=10_000,
        store="redis",
        profiles={
            "default": Profile(
                meaning="10 threads", settings={"threads": 10}, jobs=10_000, modes=PLAIN
            ),
            "best": Profile(
                meaning="10 threads, prefetch 1000", settings={"threads": 10, "prefetch": 1000},
                jobs=10_000,
            ),
            "io": Profile(
                meaning="50 threads", settings={"threads": 50}, jobs=10_000, modes=("io",)
            ),
        },
    ),
    "rq": Library(
        packages=("rq==3.0.0", REDIS),
        store="redis",
        profiles={
            "default": Profile(
                meaning="SimpleWorker: one job at a time, no fork", jobs=1_000, modes=PLAIN
            ),
        },
    ),
    "huey": Library(
        packages=("huey==3.5.4", REDIS),
        store="redis",
        profiles={
            "default": Profile(
                meaning="10 threads; at most once", settings={"threads": 10}, jobs=10_000,
                modes=PLAIN,
            ),
            "io": Profile(
                meaning="50 threads; at most once", settings={"threads": 50}, jobs=10_000,
                modes=("io",),
            ),
        },
    ),
    "celery": Library(
        packages=("celery[redis]==5.7.0", REDIS),
        inserts=5_000,
        store="redis",
        profiles={
            "default": Profile(
                meaning="10 threads, acks_late", settings={"threads": 10, "late": True},
                jobs=4_000, modes=PLAIN,
            ),
            "io": Profile(
                meaning="50 threads, acks_late", settings={"threads": 50, "late": True},
                jobs=4_000, modes=("io",),
            ),
        },
    ),
}  # fmt: skip


def with_best(workers: int) -> None:
    """Let gaffer's profile ``best`` have *workers* workers."""
    profiles = dict(LIBRARIES["gaffer"].profiles)
    profiles["best"] = replace(
        profiles["best"], meaning=f"max_workers={workers}", settings={"max_workers": workers}
    )
    LIBRARIES["gaffer"] = replace(LIBRARIES["gaffer"], profiles=profiles)
