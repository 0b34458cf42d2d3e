"""An outcome that the server refuses for its content: it waits, and holds up no other."""

from __future__ import annotations

from collections import Counter

import psycopg

from gaffer import Gaffer, Job, JobCompleted, RunnerFailed
from gaffer_driver_postgres import PostgresDriver
from tests.rig.waiting import KEEP, Recorder, until

# Stands for whatever a server may have against one value: a trigger or a check of the user's, a
# limit, an extension.
_REFUSE = """
CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'completed' AND NEW.result::text = '"poison"' THEN
        RAISE EXCEPTION 'not this one' USING ERRCODE = '22P05';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON {s}.jobs
FOR EACH ROW EXECUTE FUNCTION {s}.refuse();
"""


def test_one_outcome_that_the_server_refuses_holds_up_no_other_and_is_kept(
    driver: PostgresDriver, admin: psycopg.Connection, schema: str
) -> None:
    """F37."""
    admin.execute(_REFUSE.replace("{s}", f'"{schema}"').encode())
    seen = Recorder()

    def work(job: Job) -> str:
        return "poison" if job.payload == 50 else "fine"

    with Gaffer(driver, hooks=[seen]) as g:
        queue = g.ensure_queue("q", worker=work, max_workers=10, prune=KEEP)
        jobs = queue.insert_many(range(100))

        seen.wait(JobCompleted, 99)
        [failed] = {type(event.error) for event in seen.wait(RunnerFailed)}
        left = queue.list(state="incomplete")
        admin.execute(f'DROP TRIGGER refuse ON "{schema}".jobs'.encode())
        until(lambda: queue.get(jobs[50].id).state == "completed")

        assert [job.payload for job in left] == [50]
        assert failed.__name__ == "DriverError"
        assert Counter(job.result for job in queue.list()) == {"fine": 99, "poison": 1}
        assert len(seen.of(JobCompleted)) == 100
