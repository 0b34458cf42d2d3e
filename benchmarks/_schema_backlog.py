"""Jobs that stand in front of those which may run: scheduled ones, and those of a chain."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from _schema_claim import claim_function
from _schema_report import Figures, Stopwatch
from _schema_room import Bench, Room, claimed, fields, settlement
from _schema_tables import Design

__all__ = ["chains", "schedules"]

SCHEDULED = 300_000
CHAINED = 100_000

DUE = (
    "UPDATE jobs SET state = 'available' WHERE id = ANY (ARRAY(SELECT id FROM jobs"
    " WHERE queue_id = p_queue AND state = 'scheduled' AND scheduled_at <= p_now"
    " ORDER BY scheduled_at LIMIT 1000 FOR UPDATE SKIP LOCKED));"
)
COME = "(scheduled_at IS NULL OR scheduled_at <= %(now)s)"
FIRST = (
    "NOT EXISTS (SELECT 1 FROM jobs e WHERE e.queue_id = jobs.queue_id AND e.chain = jobs.chain"
    " AND e.state IN ('available', 'executing') AND e.chain IS NOT NULL"
    " AND (e.created_at, e.id) < (jobs.created_at, jobs.id))"
)
RELEASE = (
    "WITH done AS ({settle} RETURNING jobs.queue_id, jobs.chain), due AS MATERIALIZED"
    " (SELECT n.id FROM done CROSS JOIN LATERAL (SELECT id FROM jobs"
    " WHERE queue_id = done.queue_id AND chain = done.chain AND state = 'chained'"
    " ORDER BY created_at, id LIMIT 1) n WHERE done.chain IS NOT NULL)"
    " UPDATE jobs SET state = 'available' FROM due WHERE jobs.id = due.id"
)


def schedules(bench: Bench) -> None:
    """Compare scheduled jobs among the available ones with a state of their own."""
    naive, own, blind = (bench.room() for _ in range(3))
    later = "now() + interval '1 day' + n * interval '1 second'"
    naive.fill("available", SCHEDULED, queue=1, scheduled_at=later)
    for room in (own, blind):
        room.fill("scheduled", SCHEDULED, queue=1, scheduled_at=later)
    for room in (naive, own, blind):
        room.tidy()
    design = Design()
    cases = {
        "own state, promoted by the claim": partial(
            scheduled, own, claim_function(own, before=DUE), due="scheduled"
        ),
        "own state, not promoted": partial(scheduled, blind, claim_function(blind)),
        "naive": partial(scheduled, naive, design.claim(design.picked(only=COME)), due="available"),
    }
    bench.compare(f"9. {SCHEDULED:,} scheduled jobs in the queue", cases, most=5)


def scheduled(room: Room, claim: str, due: str | None = None) -> Figures:
    """Claim by 10, when none and when ten more jobs have become due, in the state *due*."""
    room.do(room.design.insert(), fields(room, 200))
    watch = Stopwatch()
    for _ in range(5):
        _claim(room, claim, watch, "claim 10, none due")
    if due is not None:
        for _ in range(5):
            when = "now() - interval '1 minute'"
            room.fill(due, 10, queue=1, scheduled_at=when)
            _claim(room, claim, watch, "claim 10, 10 due")
    room.do(
        "DELETE FROM jobs WHERE queue_id = 1 AND (scheduled_at IS NULL OR scheduled_at < now())"
    )
    room.tidy()
    return watch.medians()


def _claim(room: Room, claim: str, watch: Stopwatch, name: str) -> None:
    values = {"queue": 1, "limit": 10, "now": datetime.now(UTC), "node": "node"}
    with watch(name):
        jobs = room.rows(claim, values)
    assert len(jobs) == 10


def chains(bench: Bench) -> None:
    """Compare a check of each candidate's chain with a state for jobs that are not first."""
    naive, own = bench.room(), bench.room()
    order = "(queue_id, chain, created_at, id)"
    naive.do(
        f"CREATE INDEX chains ON jobs {order} WHERE chain IS NOT NULL"
        " AND state IN ('available', 'executing')"
    )
    own.do(f"CREATE INDEX chains ON jobs {order} WHERE state = 'chained'")
    since = "now() - interval '1 hour' + n * interval '1 microsecond'"
    naive.fill("available", CHAINED, queue=1, chain="'c'", created_at=since)
    own.fill("chained", CHAINED - 1, queue=1, chain="'c'", created_at=since)
    own.fill("available", 1, queue=1, chain="'c'")
    for room in (naive, own):
        room.tidy()
    design = Design()
    release = RELEASE.format(settle=design.settle())
    cases = {
        "own state, released by the settlement": partial(chained, own, design.claim(), release),
        "naive": partial(chained, naive, design.claim(design.picked(only=FIRST)), design.settle()),
    }
    bench.compare(f"10. A chain of {CHAINED:,} jobs in front of the queue", cases, most=5)


def chained(room: Room, claim: str, settle: str) -> Figures:
    """Claim by 10, one of them of the chain, and settle them."""
    room.do(room.design.insert(), fields(room, 100))
    watch = Stopwatch()
    values = {"queue": 1, "limit": 10, "now": datetime.now(UTC), "node": "node"}
    for _ in range(3):
        with watch("claim 10"):
            jobs = room.rows(claim, values)
        assert sum(job[18] is not None for job in jobs) == 1, len(jobs)
        given = settlement(claimed(jobs))
        with watch("settle 10"):
            room.do(settle, given)
    room.do("DELETE FROM jobs WHERE queue_id = 1 AND (chain IS NULL OR state = 'completed')")
    room.tidy()
    return watch.medians()
