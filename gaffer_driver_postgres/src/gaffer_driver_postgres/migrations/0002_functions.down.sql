DROP FUNCTION IF EXISTS {schema}.stats_1(text);
DROP FUNCTION IF EXISTS {schema}.ready_1(text[]);
DROP FUNCTION IF EXISTS {schema}.delete_queue_1(text, boolean);
DROP FUNCTION IF EXISTS {schema}.some_jobs_1(integer, integer);
DROP FUNCTION IF EXISTS {schema}.prune_incomplete_1(integer, text, timestamptz, integer);
DROP FUNCTION IF EXISTS {schema}.prune_1(text, text[], timestamptz[], integer);
DROP FUNCTION IF EXISTS {schema}.delete_1(uuid);
DROP FUNCTION IF EXISTS {schema}.settle_and_write_1(
    uuid[], integer[], text[], integer[], timestamptz[], timestamptz[], text[], text[], boolean,
    json
);
DROP FUNCTION IF EXISTS {schema}.write_1(json);
DROP FUNCTION IF EXISTS {schema}.settle_and_claim_1(
    uuid[], integer[], text[], integer[], timestamptz[], timestamptz[], text[], text[], boolean,
    text, integer, integer, text, timestamptz, boolean, integer[], timestamptz[]
);
DROP FUNCTION IF EXISTS {schema}.lock_write_1(uuid[], json);
DROP FUNCTION IF EXISTS {schema}.settle_1(
    uuid[], integer[], text[], integer[], timestamptz[], timestamptz[], text[], text[], boolean
);
DROP FUNCTION IF EXISTS {schema}.chain_lets_1(integer, text, uuid);
DROP FUNCTION IF EXISTS {schema}.pause_1(text, boolean);
DROP FUNCTION IF EXISTS {schema}.claim_1(
    text, integer, integer, text, timestamptz, boolean, integer[], timestamptz[],
    boolean
);
DROP FUNCTION IF EXISTS {schema}.ready_since_1(
    integer, integer, timestamptz, integer[], timestamptz[]
);
DROP FUNCTION IF EXISTS {schema}.free_chains_1(uuid[]);
DROP FUNCTION IF EXISTS {schema}.free_chain_1(integer, text);
DROP FUNCTION IF EXISTS {schema}.lock_chains_1(uuid[]);
DROP FUNCTION IF EXISTS {schema}.clock();
