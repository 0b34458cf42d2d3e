"""The SQL that the driver sends, for one schema: pure text.

What has more steps is a function of the schema: see the migrations.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COLUMNS", "Statements", "quoted"]

COLUMNS = """
    j.id, q.name, j.kind, j.chain, j.payload::text, j.state, j.revision, j.attempt,
    j.max_attempts, j.priority, j.timeout, j.backoff, j.shutdown_timeout, j.hops,
    j.created_at AT TIME ZONE 'UTC', j.scheduled_at AT TIME ZONE 'UTC',
    j.attempted_at AT TIME ZONE 'UTC', j.completed_at AT TIME ZONE 'UTC',
    j.failed_at AT TIME ZONE 'UTC', j.cancelled_at AT TIME ZONE 'UTC',
    j.result::text, j.errors::text, j.unique_key, j.unique_until AT TIME ZONE 'UTC'
"""
"""What `rows.job_of` takes. Named one by one: a later release may add columns. Instants without a
time zone: what a session is set to does not matter then."""

_NEW = """
    id, queue_id, kind, chain, payload, state, max_attempts, priority, timeout, backoff,
    shutdown_timeout, hops, created_at, scheduled_at
"""


def quoted(schema: str) -> str:
    """Return a checked name of a schema as SQL takes it."""
    return f'"{schema}"'


@dataclass(frozen=True)
class Statements:
    """The statements for *schema*, a quoted name."""

    schema: str

    def __post_init__(self) -> None:
        """Fill the schema in."""
        for name, text in _TEXTS.items():
            filled = text.replace("{s}", self.schema).replace("{columns}", COLUMNS)
            object.__setattr__(self, name, " ".join(filled.split()))

    clock: str = ""
    queue_insert: str = ""
    queue_exists: str = ""
    queue_list: str = ""
    queue_delete: str = ""
    queue_pause: str = ""
    queue_paused: str = ""
    insert_plain: str = ""
    insert_one: str = ""
    insert_many: str = ""
    insert_alike: str = ""
    settle: str = ""
    settle_and_claim: str = ""
    write: str = ""
    settle_and_write: str = ""
    write_keyed: str = ""
    settle_and_write_keyed: str = ""
    insert_keyed: str = ""
    revisions: str = ""
    known_queues: str = ""
    key_holders: str = ""
    past_holders: str = ""
    jobs_of: str = ""
    job_get: str = ""
    job_ended: str = ""
    job_delete: str = ""
    job_stats: str = ""
    job_claim: str = ""
    job_prune: str = ""
    node_beat: str = ""
    node_leave: str = ""
    node_tell: str = ""
    node_list: str = ""
    ahead: str = ""
    schedule_last: str = ""
    schedule_advance: str = ""
    chain_ahead: str = ""
    orphans: str = ""
    ready: str = ""
    health: str = ""


_ARRAYS = (
    "%s::uuid[], %s::int[], %s::text[], %s::int[], %s::timestamptz[], %s::timestamptz[], "
    "%s::text[], %s::text[], %s::boolean"
)
_CLAIMED = """
    c.id, c.kind, c.chain, c.payload::text, c.revision, c.attempt, c.max_attempts, c.priority,
    c.timeout, c.backoff, c.shutdown_timeout, c.hops, c.created_at, c.scheduled_at,
    c.result::text, c.errors::text, c.unique_key, c.unique_until
"""  # cast here: within the functions large payloads are only pointed at
_CLAIM = "%s, %s::int, %s::int, %s, %s::timestamptz, %s::boolean, %s::int[], %s::timestamptz[]"

_TEXTS = {
    "clock": "SELECT {s}.clock() AT TIME ZONE 'UTC'",
    # Looks first: a conflict would use up a number of the sequence each time.
    "queue_insert": """
        INSERT INTO {s}.queues (name)
        SELECT %(name)s WHERE NOT EXISTS (SELECT FROM {s}.queues q WHERE q.name = %(name)s)
        ON CONFLICT (name) DO NOTHING
    """,
    "queue_exists": "SELECT EXISTS (SELECT FROM {s}.queues q WHERE q.name = %s)",
    "queue_list": "SELECT q.name FROM {s}.queues q ORDER BY q.name",
    "queue_delete": "SELECT {s}.delete_queue_1(%s, %s)",
    "queue_pause": "SELECT {s}.pause_1(%s, %s)",
    "queue_paused": "SELECT q.paused FROM {s}.queues q WHERE q.name = %s",
    # The queue's row is locked against its deletion until the job is committed; other inserts,
    # claims and a pause go on. No such queue: queue_id is NULL, and the statement fails.
    #
    # Most jobs are plain: few parameters, and in binary, since each takes its time.
    "insert_plain": """
        INSERT INTO {s}.jobs (
            queue_id, id, kind, payload, max_attempts, priority, timeout, backoff,
            shutdown_timeout, created_at
        ) VALUES (
            (SELECT q.id FROM {s}.queues q WHERE q.name = %s FOR KEY SHARE), %s::uuid, %s,
            %s::json, %s::int, %s::int, %s::float8, %s, %s::float8, %s::timestamptz
        )
    """,
    "insert_one": f"""
        INSERT INTO {{s}}.jobs ({_NEW}) VALUES (
            %s::uuid, (SELECT q.id FROM {{s}}.queues q WHERE q.name = %s FOR KEY SHARE),
            %s, %s, %s::json, %s, %s::int, %s::int, %s::float8, %s, %s::float8, %s::int,
            %s::timestamptz, %s::timestamptz
        )
    """,
    "insert_many": f"""
        WITH q AS MATERIALIZED (
            SELECT q.id, q.name FROM {{s}}.queues q
            WHERE q.name = ANY (%s::text[]) ORDER BY q.id FOR KEY SHARE
        )
        INSERT INTO {{s}}.jobs ({_NEW})
        SELECT w.id, (SELECT q.id FROM q WHERE q.name = w.queue), w.kind, w.chain, w.payload,
            w.state, w.max_attempts, w.priority, w.timeout, w.backoff, w.shutdown_timeout, w.hops,
            w.created_at, w.scheduled_at
        FROM unnest(
            %s::uuid[], %s::text[], %s::text[], %s::text[], %s::json[], %s::text[], %s::int[],
            %s::int[], %s::float8[], %s::text[], %s::float8[], %s::int[], %s::timestamptz[],
            %s::timestamptz[]
        ) AS w (
            id, queue, kind, chain, payload, state, max_attempts, priority, timeout, backoff,
            shutdown_timeout, hops, created_at, scheduled_at
        )
    """,
    # Jobs that differ in little: what they share is sent, and read, once.
    "insert_alike": f"""
        INSERT INTO {{s}}.jobs ({_NEW})
        SELECT w.id, q.id, %s, %s, w.payload, %s, %s::int, %s::int, %s::float8, %s, %s::float8,
            %s::int, %s::timestamptz, %s::timestamptz
        FROM (SELECT (SELECT q.id FROM {{s}}.queues q WHERE q.name = %s FOR KEY SHARE) AS id) q,
            unnest(%s::uuid[], %s::json[]) AS w (id, payload)
    """,
    "settle": f"SELECT {{s}}.settle_1({_ARRAYS})",
    "settle_and_claim": f"SELECT {_CLAIMED} FROM {{s}}.settle_and_claim_1({_ARRAYS}, {_CLAIM}) c",
    "write": "SELECT {s}.write_1(%s::json)",
    "settle_and_write": f"SELECT {{s}}.settle_and_write_1({_ARRAYS}, %s::json)",
    "write_keyed": "SELECT {s}.write_keyed_1(%s::json)",
    "settle_and_write_keyed": f"SELECT {{s}}.settle_and_write_keyed_1({_ARRAYS}, %s::json)",
    "insert_keyed": "SELECT {s}.insert_keyed_1(%s::json)",
    "revisions": "SELECT j.id, j.revision FROM {s}.jobs j WHERE j.id = ANY (%s::uuid[])",
    "known_queues": "SELECT q.name FROM {s}.queues q WHERE q.name = ANY (%s::text[])",
    # Who holds keys, among them those that are asked for.
    "key_holders": """
        SELECT {columns} FROM {s}.jobs j JOIN {s}.queues q ON q.id = j.queue_id
        WHERE q.name = ANY (%s::text[]) AND j.unique_key = ANY (%s::text[])
            AND j.unique_key IS NOT NULL
            AND j.state IN ('available', 'scheduled', 'chained', 'executing')
    """,
    "past_holders": """
        SELECT q.name, k.key, k.job_id FROM {s}.keys k JOIN {s}.queues q ON q.id = k.queue_id
        WHERE q.name = ANY (%s::text[]) AND k.key = ANY (%s::text[]) AND k.until > {s}.clock()
    """,
    "jobs_of": """
        SELECT {columns} FROM {s}.jobs j JOIN {s}.queues q ON q.id = j.queue_id
        WHERE j.id = ANY (%s::uuid[])
    """,
    "job_get": """
        SELECT {columns} FROM {s}.jobs j JOIN {s}.queues q ON q.id = j.queue_id
        WHERE j.id = %s::uuid
    """,
    # OFFSET 0: by the primary key, one job after the other, whatever the statistics say. Of what
    # has not ended, nothing is sent, and no payload read.
    "job_ended": """
        SELECT w.id, {columns} FROM unnest(%s::uuid[]) AS w (id)
        LEFT JOIN LATERAL (SELECT * FROM {s}.jobs j WHERE j.id = w.id OFFSET 0) j ON true
        LEFT JOIN {s}.queues q ON q.id = j.queue_id
        WHERE j.id IS NULL OR j.state IN ('completed', 'failed', 'cancelled')
    """,
    "job_delete": "SELECT {s}.delete_1(%s::uuid)",
    "job_stats": "SELECT s.state, s.number, s.oldest, s.newest, s.waiting FROM {s}.stats_1(%s) s",
    "job_claim": f"SELECT {_CLAIMED} FROM {{s}}.claim_1({_CLAIM}) c",
    "job_prune": "SELECT {s}.prune_1(%s, %s::text[], %s::timestamptz[], %s::int)",
    "node_beat": """
        INSERT INTO {s}.nodes AS n (name, beat_at) VALUES (%s, {s}.clock())
        ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at
        RETURNING {s}.clock() AT TIME ZONE 'UTC'
    """,
    "node_leave": """
        DELETE FROM {s}.nodes n
        WHERE n.name = %s OR n.beat_at < {s}.clock() - interval '1 day'
    """,
    "node_tell": "UPDATE {s}.nodes n SET about = %s WHERE n.name = %s",
    "node_list": """
        SELECT n.name, n.beat_at AT TIME ZONE 'UTC', n.about FROM {s}.nodes n ORDER BY n.name
    """,
    "schedule_last": """
        SELECT c.last_at AT TIME ZONE 'UTC' FROM {s}.schedules c
        JOIN {s}.queues q ON q.id = c.queue_id WHERE q.name = %s AND c.name = %s
    """,
    # Of two at once one waits for the other's row, and then finds another slot in it.
    "schedule_advance": """
        INSERT INTO {s}.schedules AS c (queue_id, name, last_at)
        SELECT q.id, %(name)s, %(slot)s FROM {s}.queues q
        WHERE q.name = %(queue)s AND (%(expected)s::timestamptz IS NULL OR EXISTS (
            SELECT FROM {s}.schedules e WHERE e.queue_id = q.id AND e.name = %(name)s
        ))
        ON CONFLICT (queue_id, name) DO UPDATE SET last_at = excluded.last_at
        WHERE c.last_at = %(expected)s::timestamptz
        RETURNING 1
    """,
    "ahead": """
        SELECT count(*) FROM {s}.jobs j
        WHERE j.queue_id = (SELECT q.id FROM {s}.queues q WHERE q.name = %(queue)s)
            AND j.state IN ('available', 'scheduled', 'chained') AND j.id <> %(id)s
            AND (j.scheduled_at IS NULL OR j.scheduled_at <= %(now)s)
            AND (-j.priority::bigint, j.created_at, j.id)
                < (-%(priority)s::bigint, %(created_at)s, %(id)s)
    """,
    "chain_ahead": """
        SELECT {columns} FROM {s}.jobs j JOIN {s}.queues q ON q.id = j.queue_id
        WHERE q.name = %(queue)s AND j.chain = %(chain)s AND j.id <> %(id)s
            AND (j.state = 'executing' OR j.state IN ('available', 'scheduled', 'chained')
                AND (-j.priority::bigint, j.created_at, j.id)
                    < (-%(priority)s::bigint, %(created_at)s, %(id)s))
        ORDER BY j.state <> 'executing', j.priority DESC, j.created_at, j.id LIMIT 1
    """,
    # A beat far ahead is one that a clock has left behind when it was set back.
    "orphans": """
        SELECT {columns} FROM {s}.jobs j JOIN {s}.queues q ON q.id = j.queue_id
        WHERE j.state = 'executing' AND (%(queue)s::text IS NULL OR q.name = %(queue)s)
            AND NOT EXISTS (
                SELECT FROM {s}.nodes n WHERE n.name = j.node
                    AND n.beat_at > {s}.clock() - %(lease)s::float8 * interval '1 second'
                    AND n.beat_at <= {s}.clock() + %(lease)s::float8 * interval '1 second'
            )
        ORDER BY j.created_at, j.id
    """,
    # Of a transaction of somebody else, without the right to see it, nothing is told.
    "health": """
        SELECT {s}.clock() AT TIME ZONE 'UTC', (
            SELECT extract(epoch FROM max(clock_timestamp() - a.xact_start))::float8
            FROM pg_stat_activity a
            WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        ), (SELECT t.n_live_tup FROM pg_stat_all_tables t WHERE t.relid = %(jobs)s::regclass),
        (SELECT t.n_dead_tup FROM pg_stat_all_tables t WHERE t.relid = %(jobs)s::regclass)
    """,
    "ready": "SELECT r FROM {s}.ready_1(%s::text[]) r",
}
