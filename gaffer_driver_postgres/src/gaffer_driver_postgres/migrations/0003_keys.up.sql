-- Keys that hold for a time, whatever becomes of the jobs; see docs/explanation/postgres-schema.md.
-- compatible: 2

CREATE TABLE IF NOT EXISTS {schema}.keys (
    queue_id integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    job_id uuid NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (queue_id, key)
);
-- For the prune, which deletes those whose time has gone by.
CREATE INDEX IF NOT EXISTS keys_until ON {schema}.keys (queue_id, until);

-- Sees to the keys of jobs that were written just before, in this transaction. Only now: whoever
-- has inserted another job with one of them has committed, since the index `jobs_unique` had these
-- wait for it, and is seen by the snapshot of this statement.
--
-- The snapshot of a stricter transaction may be older. There each key is written, held or not: what
-- the snapshot does not show then fails as a serialization failure.
CREATE OR REPLACE FUNCTION {schema}.take_keys_1(p_jobs json) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
DECLARE
    v_now timestamptz := {schema}.clock();
    v_strict boolean := current_setting('transaction_isolation') <> 'read committed';
BEGIN
    PERFORM 1
    FROM json_to_recordset(p_jobs) AS w (
        id uuid, queue text, state text, revision integer, unique_key text
    )
    JOIN {schema}.queues q ON q.name = w.queue
    JOIN {schema}.keys k ON k.queue_id = q.id AND k.key = w.unique_key
    WHERE w.state IN ('available', 'scheduled', 'chained', 'executing')
        AND k.until > v_now AND (k.job_id <> w.id OR w.revision = 0);
    IF FOUND THEN
        RAISE EXCEPTION 'another job holds the key' USING ERRCODE = 'GFK01';
    END IF;

    INSERT INTO {schema}.keys AS k (queue_id, key, job_id, until)
    SELECT q.id, w.unique_key, w.id, coalesce(w.unique_until, v_now)
    FROM json_to_recordset(p_jobs) AS w (
        id uuid, queue text, state text, revision integer, unique_key text, unique_until timestamptz
    )
    JOIN {schema}.queues q ON q.name = w.queue
    WHERE w.state IN ('available', 'scheduled', 'chained', 'executing') AND w.revision = 0
        AND w.unique_key IS NOT NULL AND (w.unique_until IS NOT NULL OR v_strict)
    ORDER BY 1, 2
    ON CONFLICT (queue_id, key) DO UPDATE
    SET job_id = excluded.job_id, until = excluded.until WHERE k.until <= v_now;
END $$;

-- `write_1` of jobs some of which have keys.
CREATE OR REPLACE FUNCTION {schema}.write_keyed_1(p_jobs json) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.write_1(p_jobs);
    PERFORM {schema}.take_keys_1(p_jobs);
END $$;

-- `settle_and_write_1` where some of p_jobs have keys.
CREATE OR REPLACE FUNCTION {schema}.settle_and_write_keyed_1(
    p_ids uuid[],
    p_revisions integer[],
    p_states text[],
    p_attempts integer[],
    p_scheduled timestamptz[],
    p_ended timestamptz[],
    p_results text[],
    p_errors text[],
    p_chained boolean,
    p_jobs json
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.settle_and_write_1(
        p_ids, p_revisions, p_states, p_attempts, p_scheduled, p_ended, p_results, p_errors,
        p_chained, p_jobs
    );
    PERFORM {schema}.take_keys_1(p_jobs);
END $$;

-- Inserts new jobs some of which have keys in the transaction of a caller: without the locks of
-- chains, which would last as long as that transaction.
CREATE OR REPLACE FUNCTION {schema}.insert_keyed_1(p_jobs json) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    PERFORM 1 FROM {schema}.queues q
    WHERE q.name IN (SELECT w.queue FROM json_to_recordset(p_jobs) AS w (queue text))
    ORDER BY q.id FOR KEY SHARE;
    INSERT INTO {schema}.jobs (
        id, queue_id, kind, chain, payload, state, max_attempts, priority, timeout, backoff,
        shutdown_timeout, hops, created_at, scheduled_at, unique_key, unique_until
    )
    SELECT
        w.id, (SELECT q.id FROM {schema}.queues q WHERE q.name = w.queue), w.kind, w.chain,
        w.payload::json, CASE w.state WHEN 'chained' THEN 'available' ELSE w.state END,
        w.max_attempts, w.priority, w.timeout, w.backoff, w.shutdown_timeout, w.hops,
        w.created_at, w.scheduled_at, w.unique_key, w.unique_until
    FROM json_to_recordset(p_jobs) AS w (
        id uuid, queue text, kind text, chain text, payload text, state text,
        max_attempts integer, priority integer, timeout double precision, backoff text,
        shutdown_timeout double precision, hops integer, created_at timestamptz,
        scheduled_at timestamptz, unique_key text, unique_until timestamptz
    );
    PERFORM {schema}.take_keys_1(p_jobs);
END $$;
