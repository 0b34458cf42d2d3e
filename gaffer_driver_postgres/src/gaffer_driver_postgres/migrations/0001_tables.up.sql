-- Queues, jobs and nodes. docs/explanation/postgres-schema.md has the reasons and the figures.
-- compatible: 1

CREATE TABLE IF NOT EXISTS {schema}.queues (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    paused boolean NOT NULL DEFAULT false
);

-- A domain: a check of the table would be read anew by each statement that writes.
DO $$
BEGIN
    CREATE DOMAIN {schema}.job_state AS text COLLATE "C" CONSTRAINT jobs_state_known CHECK (
        VALUE IN (
            'available', 'scheduled', 'chained', 'executing', 'completed', 'failed', 'cancelled'
        )
    );
EXCEPTION WHEN duplicate_object THEN
    NULL;
END $$;

-- What the API calls available is kept in three states, so that the index `ready` holds those jobs
-- only that a claim may take: `scheduled` waits for its time, `chained` for others of its chain.
-- No foreign key to queues: an insert locks the queue's row once for all its jobs instead.
CREATE TABLE IF NOT EXISTS {schema}.jobs (
    id uuid PRIMARY KEY,
    created_at timestamptz NOT NULL,
    scheduled_at timestamptz,
    attempted_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    cancelled_at timestamptz,
    unique_until timestamptz,
    timeout double precision NOT NULL,
    shutdown_timeout double precision NOT NULL,
    queue_id integer NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    revision integer NOT NULL DEFAULT 0,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 1,
    hops integer NOT NULL DEFAULT 0,
    state {schema}.job_state NOT NULL DEFAULT 'available',
    kind text,
    chain text COLLATE "C",
    node text COLLATE "C",
    unique_key text COLLATE "C",
    backoff text NOT NULL,
    payload json NOT NULL,
    result json,
    errors json,
    CONSTRAINT jobs_max_attempts_positive CHECK (max_attempts >= 1),
    CONSTRAINT jobs_attempt_in_range CHECK (attempt >= 0 AND attempt <= max_attempts)
);

-- The claim's order; the other indexes are as small as what is under way.
CREATE INDEX IF NOT EXISTS jobs_ready
    ON {schema}.jobs (queue_id, priority DESC, created_at, id) WHERE state = 'available';
CREATE INDEX IF NOT EXISTS jobs_scheduled
    ON {schema}.jobs (queue_id, scheduled_at) WHERE state = 'scheduled';
CREATE INDEX IF NOT EXISTS jobs_executing
    ON {schema}.jobs (queue_id, chain) WHERE state = 'executing';
CREATE INDEX IF NOT EXISTS jobs_ended
    ON {schema}.jobs (queue_id, state, (coalesce(completed_at, failed_at, cancelled_at, created_at)))
    WHERE state IN ('completed', 'failed', 'cancelled');
-- For chains only: the chains that a claim may look at, and the line of jobs in each chain.
CREATE INDEX IF NOT EXISTS jobs_chain_candidates
    ON {schema}.jobs (queue_id)
    WHERE state IN ('available', 'scheduled') AND chain IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_chain_lines
    ON {schema}.jobs (queue_id, chain, priority DESC, created_at, id)
    WHERE state IN ('available', 'scheduled', 'chained') AND chain IS NOT NULL;
-- One job for each key of a queue; that it is one for all states alike makes it exact.
CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique
    ON {schema}.jobs (queue_id, unique_key)
    WHERE unique_key IS NOT NULL AND state IN ('available', 'scheduled', 'chained', 'executing');

-- Each job leaves two or three dead rows: do not wait for a fifth of the table.
ALTER TABLE {schema}.jobs SET (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

-- One row for each process that works jobs; it is updated in place at every beat.
CREATE TABLE IF NOT EXISTS {schema}.nodes (
    name text COLLATE "C" PRIMARY KEY,
    beat_at timestamptz NOT NULL,
    about text
) WITH (fillfactor = 50);
