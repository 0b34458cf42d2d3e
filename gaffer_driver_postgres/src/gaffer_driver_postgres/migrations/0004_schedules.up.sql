-- The last slot of each schedule: whoever moves it on inserts the jobs of the next.
-- compatible: 1

CREATE TABLE IF NOT EXISTS {schema}.schedules (
    queue_id integer NOT NULL REFERENCES {schema}.queues (id) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (queue_id, name)
);
