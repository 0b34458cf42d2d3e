-- What takes more than one statement, each in one round trip and one transaction.
-- compatible: 2
--
-- The names carry a version: a release that needs another behaviour adds functions, so that nodes
-- of the release before go on with theirs. Every statement in them takes a snapshot of its own
-- (READ COMMITTED): what is looked at after a lock is as new as the lock. The SET clauses pin the
-- plans: a queue is empty and full within seconds, faster than statistics follow.

-- The one clock.
CREATE OR REPLACE FUNCTION {schema}.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE AS 'SELECT clock_timestamp()';

-- Serialises what must be exact over all processes: finite limits, and chains. In its own
-- statement, since a snapshot taken before the lock is too old. Locks of several queues are taken
-- in the order of their ids, and before any row's.
CREATE OR REPLACE FUNCTION {schema}.lock_chains_1(p_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_queue integer;
BEGIN
    FOR v_queue IN
        SELECT DISTINCT j.queue_id FROM {schema}.jobs j
        WHERE j.id = ANY (p_ids) AND j.chain IS NOT NULL ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock({lock}, v_queue);
    END LOOP;
END $$;

-- Makes the first job of a chain that has none executing claimable, if it waits for the chain
-- alone. The caller holds the queue's lock.
CREATE OR REPLACE FUNCTION {schema}.free_chain_1(p_queue integer, p_chain text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    v_head record;
BEGIN
    PERFORM 1 FROM {schema}.jobs j
    WHERE j.queue_id = p_queue AND j.chain = p_chain AND j.state = 'executing';
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT j.id, j.state INTO v_head FROM {schema}.jobs j
    WHERE j.queue_id = p_queue AND j.chain = p_chain AND j.chain IS NOT NULL
        AND j.state IN ('available', 'scheduled', 'chained')
    ORDER BY j.priority DESC, j.created_at, j.id LIMIT 1;
    IF v_head.state = 'chained' THEN
        UPDATE {schema}.jobs j
        SET state =
            CASE WHEN j.scheduled_at > {schema}.clock() THEN 'scheduled' ELSE 'available' END
        WHERE j.id = v_head.id;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION {schema}.free_chains_1(p_ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_line record;
BEGIN
    FOR v_line IN
        SELECT DISTINCT j.queue_id, j.chain FROM {schema}.jobs j
        WHERE j.id = ANY (p_ids) AND j.chain IS NOT NULL ORDER BY 1, 2
    LOOP
        PERFORM {schema}.free_chain_1(v_line.queue_id, v_line.chain);
    END LOOP;
END $$;

-- The first jobs that may be claimed, chains apart, of a queue in whose index there is much that
-- was claimed long ago, and that a snapshot somebody holds does not let go. Of each of p_priorities,
-- in descending order, only the jobs made since the instant beside it are looked at: where a scan of
-- the index can start. The bounds are a guess; what they hide the next claim without them finds.
CREATE OR REPLACE FUNCTION {schema}.ready_since_1(
    p_queue integer,
    p_limit integer,
    p_now timestamptz,
    p_priorities integer[],
    p_since timestamptz[]
) RETURNS uuid[]
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
    v_ids uuid[] := '{}';
    v_below bigint;
    v_above bigint;
BEGIN
    FOR i IN 0 .. cardinality(p_priorities) LOOP
        IF i > 0 THEN
            v_ids := v_ids || ARRAY(
                SELECT j.id FROM {schema}.jobs j
                WHERE j.queue_id = p_queue AND j.state = 'available' AND j.chain IS NULL
                    AND j.priority = p_priorities[i] AND j.created_at >= p_since[i]
                    AND (j.scheduled_at IS NULL OR j.scheduled_at <= p_now)
                ORDER BY j.priority DESC, j.created_at, j.id
                LIMIT p_limit - cardinality(v_ids) FOR NO KEY UPDATE SKIP LOCKED
            );
            EXIT WHEN cardinality(v_ids) >= p_limit;
        END IF;
        v_below := coalesce(p_priorities[i], 2147483648);
        v_above := coalesce(p_priorities[i + 1], -2147483649);
        v_ids := v_ids || ARRAY(
            SELECT j.id FROM {schema}.jobs j
            WHERE j.queue_id = p_queue AND j.state = 'available' AND j.chain IS NULL
                AND j.priority < v_below AND j.priority > v_above
                AND (j.scheduled_at IS NULL OR j.scheduled_at <= p_now)
            ORDER BY j.priority DESC, j.created_at, j.id
            LIMIT p_limit - cardinality(v_ids) FOR NO KEY UPDATE SKIP LOCKED
        );
        EXIT WHEN cardinality(v_ids) >= p_limit;
    END LOOP;
    RETURN v_ids;
END $$;

-- Claims jobs. In any order: the caller sorts. Without p_chains none of a chain, and no lock is
-- taken for them.
--
-- A look at the whole index that took long is told by a last row without an id, whose timeout are
-- the seconds. With p_priorities and p_since the look begins there, see `ready_since_1`, unless jobs
-- have just become due: these may be older, and the look at the whole is told.
CREATE OR REPLACE FUNCTION {schema}.claim_1(
    p_queue text,
    p_limit integer,
    p_most integer,
    p_node text,
    p_now timestamptz,
    p_even_paused boolean,
    p_priorities integer[],
    p_since timestamptz[],
    p_chains boolean DEFAULT true
) RETURNS TABLE (
    id uuid, kind text, chain text, payload json, revision integer, attempt integer,
    max_attempts integer, priority integer, timeout double precision, backoff text,
    shutdown_timeout double precision, hops integer, created_at timestamp, scheduled_at timestamp,
    result json, errors json, unique_key text, unique_until timestamp
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_began timestamptz;
    v_took double precision := 0;
    v_due boolean;
    v_queue integer;
    v_paused boolean;
    v_chained boolean;
    v_limit integer := p_limit;
    v_ids uuid[] := '{}';
    v_job record;
    v_set_aside integer := 0;
BEGIN
    SELECT q.id, q.paused INTO v_queue, v_paused FROM {schema}.queues q WHERE q.name = p_queue;
    IF NOT FOUND OR (v_paused AND NOT p_even_paused) OR p_limit <= 0 THEN
        RETURN;
    END IF;

    -- The lock first, then rows: the other way round two of these could wait for each other.
    v_chained := p_chains AND EXISTS (
        SELECT FROM {schema}.jobs j
        WHERE j.queue_id = v_queue AND j.state IN ('available', 'scheduled')
            AND j.chain IS NOT NULL
    );
    IF p_most IS NOT NULL OR v_chained THEN
        PERFORM pg_advisory_xact_lock({lock}, v_queue);
    END IF;
    IF p_most IS NOT NULL THEN
        SELECT least(coalesce(p_limit, p_most), p_most - count(*)) INTO v_limit
        FROM {schema}.jobs j WHERE j.queue_id = v_queue AND j.state = 'executing';
        IF v_limit <= 0 THEN
            RETURN;
        END IF;
    END IF;

    -- Those whose time has come; of very many at once the longest due.
    PERFORM 1 FROM {schema}.jobs j
    WHERE j.queue_id = v_queue AND j.state = 'scheduled' AND j.scheduled_at <= p_now LIMIT 1;
    v_due := FOUND;
    IF v_due THEN
        v_ids := ARRAY(
            SELECT j.id FROM {schema}.jobs j
            WHERE j.queue_id = v_queue AND j.state = 'scheduled' AND j.scheduled_at <= p_now
                AND (v_chained OR j.chain IS NULL)
            ORDER BY j.scheduled_at LIMIT 2000 FOR NO KEY UPDATE SKIP LOCKED
        );
        UPDATE {schema}.jobs j SET state = 'available' WHERE j.id = ANY (v_ids);
        v_ids := '{}';
    END IF;

    IF NOT v_chained AND NOT v_due AND cardinality(p_priorities) > 0 THEN
        v_ids := {schema}.ready_since_1(v_queue, v_limit, p_now, p_priorities, p_since);
    ELSIF NOT v_chained THEN
        v_began := clock_timestamp();
        v_ids := ARRAY(
            SELECT j.id FROM {schema}.jobs j
            WHERE j.queue_id = v_queue AND j.state = 'available' AND j.chain IS NULL
                AND (j.scheduled_at IS NULL OR j.scheduled_at <= p_now)
            ORDER BY j.priority DESC, j.created_at, j.id
            LIMIT v_limit FOR NO KEY UPDATE SKIP LOCKED
        );
        v_took := extract(epoch FROM clock_timestamp() - v_began);
    ELSE
        -- One by one, in order. Those that are not their chain's first, or whose chain has one
        -- executing, are set aside until `free_chain_1` finds them.
        FOR v_job IN
            SELECT j.id, j.chain FROM {schema}.jobs j
            WHERE j.queue_id = v_queue AND j.state = 'available'
                AND (j.scheduled_at IS NULL OR j.scheduled_at <= p_now)
            ORDER BY j.priority DESC, j.created_at, j.id
            FOR NO KEY UPDATE SKIP LOCKED
        LOOP
            IF v_job.chain IS NOT NULL
                AND NOT {schema}.chain_lets_1(v_queue, v_job.chain, v_job.id)
            THEN
                UPDATE {schema}.jobs j SET state = 'chained' WHERE j.id = v_job.id;
                v_set_aside := v_set_aside + 1;
                EXIT WHEN v_set_aside >= 20000;
            ELSE
                v_ids := v_ids || v_job.id;
                EXIT WHEN cardinality(v_ids) >= v_limit;
            END IF;
        END LOOP;
    END IF;
    -- A pause may have come since the look at it above, and jobs after that. The lock last: behind
    -- it nothing waits, and a pause, which waits for it, does so for a commit only.
    IF NOT p_even_paused AND cardinality(v_ids) > 0 THEN
        PERFORM pg_advisory_xact_lock_shared({lock}, -v_queue);
        SELECT q.paused INTO v_paused FROM {schema}.queues q WHERE q.id = v_queue;
        IF v_paused THEN
            RETURN;
        END IF;
    END IF;
    -- By an array: a join's plan, made when the queue was empty, would read the whole table.
    RETURN QUERY
    UPDATE {schema}.jobs j
    SET state = 'executing', revision = j.revision + 1, attempted_at = p_now, node = p_node
    WHERE j.id = ANY (v_ids)
    RETURNING j.id, j.kind, j.chain, j.payload, j.revision, j.attempt, j.max_attempts,
        j.priority, j.timeout, j.backoff, j.shutdown_timeout, j.hops,
        j.created_at AT TIME ZONE 'UTC', j.scheduled_at AT TIME ZONE 'UTC',
        j.result, j.errors, j.unique_key, j.unique_until AT TIME ZONE 'UTC';
    IF v_took > 0.001 + 0.00002 * cardinality(v_ids)
        OR (v_due AND NOT v_chained AND cardinality(p_priorities) > 0)
    THEN
        timeout := v_took;
        RETURN NEXT;
    END IF;
END $$;

-- Pauses or resumes a queue; whether that was a change, NULL without such a queue. When it is
-- committed, so are the claims that did not see the pause: they hold the lock.
CREATE OR REPLACE FUNCTION {schema}.pause_1(p_queue text, p_paused boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_queue integer;
BEGIN
    -- The row first: waiting for that with the lock would have all claims wait, too.
    UPDATE {schema}.queues q SET paused = p_paused
    WHERE q.name = p_queue AND q.paused <> p_paused RETURNING q.id INTO v_queue;
    IF FOUND AND p_paused THEN
        PERFORM pg_advisory_xact_lock({lock}, -v_queue);
    END IF;
    IF v_queue IS NOT NULL THEN
        RETURN true;
    END IF;
    PERFORM 1 FROM {schema}.queues q WHERE q.name = p_queue;
    RETURN CASE WHEN FOUND THEN false END;
END $$;

-- Whether a job is the first of its chain, and none of the chain executes.
CREATE OR REPLACE FUNCTION {schema}.chain_lets_1(p_queue integer, p_chain text, p_id uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_first uuid;
BEGIN
    PERFORM 1 FROM {schema}.jobs j
    WHERE j.queue_id = p_queue AND j.chain = p_chain AND j.state = 'executing';
    IF FOUND THEN
        RETURN false;
    END IF;
    SELECT j.id INTO v_first FROM {schema}.jobs j
    WHERE j.queue_id = p_queue AND j.chain = p_chain AND j.chain IS NOT NULL
        AND j.state IN ('available', 'scheduled', 'chained')
    ORDER BY j.priority DESC, j.created_at, j.id LIMIT 1;
    RETURN v_first = p_id;
END $$;

-- Writes the ends of attempts: only what these change. All or none; the ids ascend, so that two
-- batches never wait for each other. A NULL in p_errors leaves the errors as they are.
--
-- Rows are found by an array, and hashed: for the sake of a plan that was made while the table held
-- a row or two. A nested loop may then read the whole of it, however much there is by now. The hash
-- stays in memory, where it keeps the order.
CREATE OR REPLACE FUNCTION {schema}.settle_1(
    p_ids uuid[],
    p_revisions integer[],
    p_states text[],
    p_attempts integer[],
    p_scheduled timestamptz[],
    p_ended timestamptz[],
    p_results text[],
    p_errors text[],
    p_chained boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off
SET enable_mergejoin = off SET hash_mem_multiplier = 1000 AS $$
DECLARE
    v_count integer;
BEGIN
    IF p_chained THEN
        PERFORM {schema}.lock_chains_1(p_ids);
    END IF;
    UPDATE {schema}.jobs j
    SET state =
            CASE WHEN w.state = 'available' AND j.chain IS NOT NULL THEN 'chained' ELSE w.state END,
        revision = w.revision,
        attempt = w.attempt,
        node = NULL,
        scheduled_at = w.scheduled_at,
        completed_at = CASE w.state WHEN 'completed' THEN w.ended_at END,
        failed_at = CASE w.state WHEN 'failed' THEN w.ended_at END,
        cancelled_at = CASE w.state WHEN 'cancelled' THEN w.ended_at END,
        result = w.result::json,
        errors = coalesce(w.errors::json, j.errors)
    FROM unnest(
        p_ids, p_revisions, p_states, p_attempts, p_scheduled, p_ended, p_results, p_errors
    ) AS w (id, revision, state, attempt, scheduled_at, ended_at, result, errors)
    WHERE j.id = ANY (p_ids) AND j.id = w.id AND j.revision = w.revision - 1;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count <> cardinality(p_ids) THEN
        RAISE EXCEPTION 'storage holds other revisions' USING ERRCODE = 'GFC01';
    END IF;
    IF p_chained THEN
        PERFORM {schema}.free_chains_1(p_ids);
    END IF;
END $$;

-- Both at once, for ends of attempts of the queue that is claimed from: half of the commits.
--
-- First the lock that either may need, then rows; a chain that comes in between is left to the next
-- claim, which can take the lock. The claim comes last, in a snapshot of its own: it may have to
-- wait for rows that another worker settles, and of two that hold what they have settled only the
-- one whose snapshot is older can meet the other's. So no two wait for each other.
CREATE OR REPLACE FUNCTION {schema}.settle_and_claim_1(
    p_ids uuid[],
    p_revisions integer[],
    p_states text[],
    p_attempts integer[],
    p_scheduled timestamptz[],
    p_ended timestamptz[],
    p_results text[],
    p_errors text[],
    p_chained boolean,
    p_queue text,
    p_limit integer,
    p_most integer,
    p_node text,
    p_now timestamptz,
    p_even_paused boolean,
    p_priorities integer[],
    p_since timestamptz[]
) RETURNS TABLE (
    id uuid, kind text, chain text, payload json, revision integer, attempt integer,
    max_attempts integer, priority integer, timeout double precision, backoff text,
    shutdown_timeout double precision, hops integer, created_at timestamp, scheduled_at timestamp,
    result json, errors json, unique_key text, unique_until timestamp
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_queue integer;
    v_lock boolean;
BEGIN
    SELECT q.id INTO v_queue FROM {schema}.queues q WHERE q.name = p_queue;
    v_lock := p_chained OR p_most IS NOT NULL OR EXISTS (
        SELECT FROM {schema}.jobs j
        WHERE j.queue_id = v_queue AND j.state IN ('available', 'scheduled')
            AND j.chain IS NOT NULL
    );
    IF v_lock THEN
        PERFORM pg_advisory_xact_lock({lock}, v_queue);
    END IF;
    PERFORM {schema}.settle_1(
        p_ids, p_revisions, p_states, p_attempts, p_scheduled, p_ended, p_results, p_errors,
        p_chained
    );
    RETURN QUERY SELECT * FROM {schema}.claim_1(
        p_queue, p_limit, p_most, p_node, p_now, p_even_paused, p_priorities, p_since,
        v_lock
    );
END $$;

-- Takes what a write needs, in the one order that all keep: queues against their deletion, queues
-- whose chains are concerned, and only then rows.
CREATE OR REPLACE FUNCTION {schema}.lock_write_1(p_ids uuid[], p_jobs json) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
DECLARE
    v_queue integer;
BEGIN
    PERFORM 1 FROM {schema}.queues q
    WHERE q.name IN (
        SELECT w.queue FROM json_to_recordset(p_jobs) AS w (queue text, revision integer)
        WHERE w.revision = 0
    ) ORDER BY q.id FOR KEY SHARE;
    FOR v_queue IN
        SELECT q.id
        FROM json_to_recordset(p_jobs) AS w (queue text, chain text)
        JOIN {schema}.queues q ON q.name = w.queue WHERE w.chain IS NOT NULL
        UNION
        SELECT j.queue_id FROM {schema}.jobs j WHERE j.id = ANY (p_ids) AND j.chain IS NOT NULL
        ORDER BY 1
    LOOP
        PERFORM pg_advisory_xact_lock({lock}, v_queue);
    END LOOP;
END $$;

-- Writes any jobs whole: those at revision 0 are inserted, the others replaced. All or none. A
-- NULL payload is left as it is.
CREATE OR REPLACE FUNCTION {schema}.write_1(p_jobs json) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_nestloop = off
SET enable_mergejoin = off SET hash_mem_multiplier = 1000 AS $$
DECLARE
    v_count integer;
BEGIN
    PERFORM {schema}.lock_write_1('{}', p_jobs);

    -- Rows that are there first, as where ends are settled and what they become is inserted.
    WITH w AS MATERIALIZED (
        SELECT * FROM json_to_recordset(p_jobs) AS w (
            id uuid, queue text, kind text, chain text, payload text, state text, revision integer,
            attempt integer, max_attempts integer, priority integer, timeout double precision,
            backoff text, shutdown_timeout double precision, hops integer, created_at timestamptz,
            scheduled_at timestamptz, attempted_at timestamptz, completed_at timestamptz,
            failed_at timestamptz, cancelled_at timestamptz, result text, errors text
        ) WHERE w.revision > 0
    )
    UPDATE {schema}.jobs j
    SET kind = w.kind, payload = coalesce(w.payload::json, j.payload), state = w.state,
        revision = w.revision, attempt = w.attempt, max_attempts = w.max_attempts,
        priority = w.priority, timeout = w.timeout, backoff = w.backoff,
        shutdown_timeout = w.shutdown_timeout, hops = w.hops, scheduled_at = w.scheduled_at,
        attempted_at = w.attempted_at, completed_at = w.completed_at, failed_at = w.failed_at,
        cancelled_at = w.cancelled_at, result = w.result::json, errors = w.errors::json,
        node = CASE WHEN w.state = 'executing' THEN j.node END
    FROM w
    WHERE j.id = ANY (ARRAY(SELECT w.id FROM w))
        AND j.id = w.id AND j.revision = w.revision - 1;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    IF v_count <> (
        SELECT count(*) FROM json_to_recordset(p_jobs) AS w (revision integer) WHERE w.revision > 0
    ) THEN
        RAISE EXCEPTION 'storage holds other revisions' USING ERRCODE = 'GFC01';
    END IF;

    WITH w AS MATERIALIZED (SELECT * FROM json_to_recordset(p_jobs) AS w (
            id uuid, queue text, kind text, chain text, payload text, state text, revision integer,
            attempt integer, max_attempts integer, priority integer, timeout double precision,
            backoff text, shutdown_timeout double precision, hops integer, created_at timestamptz,
            scheduled_at timestamptz, attempted_at timestamptz, completed_at timestamptz,
            failed_at timestamptz, cancelled_at timestamptz, result text, errors text,
            unique_key text, unique_until timestamptz
        ))
    INSERT INTO {schema}.jobs (
        id, queue_id, kind, chain, payload, state, revision, attempt, max_attempts, priority,
        timeout, backoff, shutdown_timeout, hops, created_at, scheduled_at, attempted_at,
        completed_at, failed_at, cancelled_at, result, errors, unique_key,
        unique_until
    )
    SELECT
        w.id, (SELECT q.id FROM {schema}.queues q WHERE q.name = w.queue), w.kind, w.chain,
        w.payload::json, w.state, 0, w.attempt, w.max_attempts, w.priority, w.timeout, w.backoff,
        w.shutdown_timeout, w.hops, w.created_at, w.scheduled_at, w.attempted_at, w.completed_at,
        w.failed_at, w.cancelled_at, w.result::json, w.errors::json,
        w.unique_key, w.unique_until
    FROM w WHERE w.revision = 0;

    PERFORM {schema}.free_chains_1(ARRAY(
        SELECT w.id FROM json_to_recordset(p_jobs) AS w (id uuid, chain text)
        WHERE w.chain IS NOT NULL
    ));
END $$;

-- Both at once: ends of attempts, and what these are forwarded to.
CREATE OR REPLACE FUNCTION {schema}.settle_and_write_1(
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
    PERFORM {schema}.lock_write_1(p_ids, p_jobs);
    PERFORM {schema}.settle_1(
        p_ids, p_revisions, p_states, p_attempts, p_scheduled, p_ended, p_results, p_errors,
        p_chained
    );
    PERFORM {schema}.write_1(p_jobs);
END $$;

CREATE OR REPLACE FUNCTION {schema}.delete_1(p_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_job record;
BEGIN
    SELECT j.queue_id, j.chain, j.unique_key, j.unique_until INTO v_job
    FROM {schema}.jobs j WHERE j.id = p_id;
    IF v_job.chain IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock({lock}, v_job.queue_id);
    END IF;
    DELETE FROM {schema}.jobs j WHERE j.id = p_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF v_job.unique_until IS NOT NULL THEN
        DELETE FROM {schema}.keys k
        WHERE k.queue_id = v_job.queue_id AND k.key = v_job.unique_key AND k.job_id = p_id;
    END IF;
    IF v_job.chain IS NOT NULL THEN
        PERFORM {schema}.free_chain_1(v_job.queue_id, v_job.chain);
    END IF;
    RETURN true;
END $$;

-- Deletes up to p_limit jobs in the states given, entered before the instant given with each
-- (NULL: all). Waits for nobody: what is locked is left for the next time.
CREATE OR REPLACE FUNCTION {schema}.prune_1(
    p_queue text, p_states text[], p_before timestamptz[], p_limit integer
) RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_now timestamptz := {schema}.clock();
    v_queue integer;
    v_left integer := p_limit;
    v_count integer;
    v_ids uuid[];
BEGIN
    SELECT q.id INTO v_queue FROM {schema}.queues q WHERE q.name = p_queue;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- The keys whose time has gone by. They hold nothing any more.
    DELETE FROM {schema}.keys k WHERE k.ctid = ANY (ARRAY(
        SELECT o.ctid FROM {schema}.keys o
        WHERE o.queue_id = v_queue AND o.until <= v_now
        ORDER BY o.queue_id, o.until LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    FOR i IN 1 .. cardinality(p_states) LOOP
        IF p_states[i] IN ('completed', 'failed', 'cancelled') THEN
            v_ids := ARRAY(
                SELECT j.id FROM {schema}.jobs j
                WHERE j.queue_id = v_queue AND j.state = p_states[i]
                    AND j.state IN ('completed', 'failed', 'cancelled')
                    AND coalesce(j.completed_at, j.failed_at, j.cancelled_at, j.created_at)
                        < coalesce(p_before[i], 'infinity')
                ORDER BY j.queue_id, j.state,
                    coalesce(j.completed_at, j.failed_at, j.cancelled_at, j.created_at)
                LIMIT v_left FOR UPDATE SKIP LOCKED
            );
            RETURN QUERY DELETE FROM {schema}.jobs j WHERE j.id = ANY (v_ids) RETURNING j.id;
        ELSE
            RETURN QUERY
            SELECT {schema}.prune_incomplete_1(v_queue, p_states[i], p_before[i], v_left);
        END IF;
        GET DIAGNOSTICS v_count = ROW_COUNT;
        v_left := v_left - v_count;
        EXIT WHEN v_left <= 0;
    END LOOP;
END $$;

-- The same for what has not ended; rarely asked for, and never by default.
CREATE OR REPLACE FUNCTION {schema}.prune_incomplete_1(
    p_queue integer, p_state text, p_before timestamptz, p_limit integer
) RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    v_chains text[];
    v_ids uuid[];
    v_chain text;
BEGIN
    PERFORM pg_advisory_xact_lock({lock}, p_queue);
    WITH old AS MATERIALIZED (
        SELECT j.id FROM {schema}.jobs j
        WHERE j.queue_id = p_queue
            AND CASE WHEN p_state = 'available'
                THEN j.state IN ('available', 'scheduled', 'chained')
                ELSE j.state = 'executing' END
            AND coalesce(CASE WHEN p_state = 'executing' THEN j.attempted_at END, j.created_at)
                < coalesce(p_before, 'infinity')
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM {schema}.jobs j USING old WHERE j.id = old.id RETURNING j.id, j.chain
    )
    SELECT array_agg(gone.id), array_agg(DISTINCT gone.chain) FILTER (WHERE gone.chain IS NOT NULL)
    INTO v_ids, v_chains FROM gone;
    FOREACH v_chain IN ARRAY coalesce(v_chains, '{}') LOOP
        PERFORM {schema}.free_chain_1(p_queue, v_chain);
    END LOOP;
    RETURN QUERY SELECT unnest(v_ids);
END $$;

-- Some jobs of a queue, in whatever state. Each state by its index; all in one snapshot, since a
-- job may change from one state to another meanwhile.
CREATE OR REPLACE FUNCTION {schema}.some_jobs_1(p_queue integer, p_limit integer)
RETURNS TABLE (id uuid)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT a.id FROM {schema}.jobs a WHERE a.queue_id = p_queue AND a.state = 'executing'
    UNION ALL
    SELECT a.id FROM {schema}.jobs a WHERE a.queue_id = p_queue AND a.state = 'available'
    UNION ALL
    SELECT a.id FROM {schema}.jobs a WHERE a.queue_id = p_queue AND a.state = 'scheduled'
    UNION ALL
    SELECT a.id FROM {schema}.jobs a
    WHERE a.queue_id = p_queue AND a.state = 'chained' AND a.chain IS NOT NULL
    UNION ALL
    SELECT a.id FROM {schema}.jobs a
    WHERE a.queue_id = p_queue AND a.state IN ('completed', 'failed', 'cancelled')
    LIMIT p_limit;
END $$;

-- Deletes a queue, and its jobs if p_jobs.
CREATE OR REPLACE FUNCTION {schema}.delete_queue_1(p_name text, p_jobs boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_queue integer;
    v_ids uuid[];
BEGIN
    -- Waits for the inserts under way; those that come later find no queue.
    SELECT q.id INTO v_queue FROM {schema}.queues q WHERE q.name = p_name FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such queue' USING ERRCODE = 'GFQ01';
    END IF;
    PERFORM pg_advisory_xact_lock({lock}, v_queue);
    LOOP
        v_ids := ARRAY(SELECT o.id FROM {schema}.some_jobs_1(v_queue, 10000) o ORDER BY o.id);
        EXIT WHEN cardinality(v_ids) = 0;
        IF NOT p_jobs THEN
            RAISE EXCEPTION 'the queue has jobs' USING ERRCODE = 'GFJ01';
        END IF;
        PERFORM 1 FROM {schema}.jobs j WHERE j.id = ANY (v_ids) ORDER BY j.id FOR UPDATE;
        DELETE FROM {schema}.jobs j WHERE j.id = ANY (v_ids);
    END LOOP;
    DELETE FROM {schema}.keys k WHERE k.queue_id = v_queue;
    DELETE FROM {schema}.queues q WHERE q.id = v_queue;
END $$;

-- Which of these queues have jobs that a claim might take now.
CREATE OR REPLACE FUNCTION {schema}.ready_1(p_queues text[]) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off
SET enable_mergejoin = off AS $$
DECLARE
    v_now timestamptz := {schema}.clock();
BEGIN
    -- Not by EXISTS: for that a plan may read all that wait, of all queues, into a hash.
    RETURN QUERY
    SELECT q.name FROM {schema}.queues q
    WHERE q.name = ANY (p_queues) AND NOT q.paused AND coalesce(
        (SELECT true FROM {schema}.jobs j
            WHERE j.queue_id = q.id AND j.state = 'available' LIMIT 1),
        (SELECT true FROM {schema}.jobs j
            WHERE j.queue_id = q.id AND j.state = 'scheduled' AND j.scheduled_at <= v_now LIMIT 1),
        false
    );
END $$;

-- How many jobs of a queue are in each state, and when the first and last of them entered it; and
-- since when one is due. By its creation, if a claim has found it to be due, or it waits for others
-- of its chain: for more, the table would have to be read.
CREATE OR REPLACE FUNCTION {schema}.stats_1(p_queue text)
RETURNS TABLE (
    state text, number bigint, oldest timestamp, newest timestamp, waiting timestamp
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := {schema}.clock();
    v_queue integer;
BEGIN
    SELECT q.id INTO v_queue FROM {schema}.queues q WHERE q.name = p_queue;
    RETURN QUERY
    SELECT s.state, s.number, s.oldest AT TIME ZONE 'UTC', s.newest AT TIME ZONE 'UTC',
        s.waiting AT TIME ZONE 'UTC'
    FROM (
        SELECT 'available' AS state, count(*) AS number,
            min(j.created_at) AS oldest, max(j.created_at) AS newest, min(j.created_at) AS waiting
        FROM {schema}.jobs j WHERE j.queue_id = v_queue AND j.state = 'available'
        UNION ALL
        SELECT 'scheduled', count(*), min(j.created_at), max(j.created_at), (
            SELECT d.scheduled_at FROM {schema}.jobs d
            WHERE d.queue_id = v_queue AND d.state = 'scheduled' AND d.scheduled_at <= v_now
            ORDER BY d.queue_id, d.scheduled_at LIMIT 1
        )
        FROM {schema}.jobs j WHERE j.queue_id = v_queue AND j.state = 'scheduled'
        UNION ALL
        SELECT 'chained', count(*), min(j.created_at), max(j.created_at),
            min(j.created_at) FILTER (WHERE j.scheduled_at IS NULL OR j.scheduled_at <= v_now)
        FROM {schema}.jobs j
        WHERE j.queue_id = v_queue AND j.state = 'chained' AND j.chain IS NOT NULL
        UNION ALL
        SELECT 'executing', count(*), min(coalesce(j.attempted_at, j.created_at)),
            max(coalesce(j.attempted_at, j.created_at)), NULL
        FROM {schema}.jobs j WHERE j.queue_id = v_queue AND j.state = 'executing'
        UNION ALL
        (SELECT j.state, count(*),
            min(coalesce(j.completed_at, j.failed_at, j.cancelled_at, j.created_at)),
            max(coalesce(j.completed_at, j.failed_at, j.cancelled_at, j.created_at)), NULL
        FROM {schema}.jobs j
        WHERE j.queue_id = v_queue AND j.state IN ('completed', 'failed', 'cancelled')
        GROUP BY j.state)
    ) s;
END $$;
