DROP TABLE IF EXISTS {schema}.nodes;
DROP TABLE IF EXISTS {schema}.jobs;
DROP TABLE IF EXISTS {schema}.queues;
DROP DOMAIN IF EXISTS {schema}.job_state;
