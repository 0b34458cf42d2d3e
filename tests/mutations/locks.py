"""The mutants of locks, and of what is read under them."""

from __future__ import annotations

from tests.mutations.mutant import Mutant
from tests.mutations.places import (
    CALLERS_NEIGHBOURS,
    CHAIN_RACES,
    DEADLOCKS,
    DRIVER,
    FUNCTIONS,
    MEMORY_THREADS,
    ON_POSTGRES,
    PARTITIONS,
    PLANS,
    POOLS,
    SEMANTICS,
    STORAGE,
    SUITE,
)

__all__ = ["MUTANTS"]

MUTANTS = [
    Mutant(
        name="the global limit takes no lock",
        path=FUNCTIONS,
        old="    IF p_most IS NOT NULL OR v_chained THEN\n",
        new="    IF v_chained THEN\n",
        tests=[
            f"{SUITE}::test_claims_at_once_do_not_exceed_the_global_limit",
            f"{SUITE}::test_the_global_limit_holds_at_every_instant",
        ],
        options=ON_POSTGRES,
        tries=3,
    ),
    Mutant(
        name="the global limit counts in the statement that locks",
        path=FUNCTIONS,
        old=(
            "    IF p_most IS NOT NULL OR v_chained THEN\n"
            "        PERFORM pg_advisory_xact_lock({lock}, v_queue);\n"
            "    END IF;\n"
            "    IF p_most IS NOT NULL THEN\n"
            "        SELECT least(coalesce(p_limit, p_most), p_most - count(*)) INTO v_limit\n"
            "        FROM {schema}.jobs j WHERE j.queue_id = v_queue AND j.state = 'executing';\n"
        ),
        new=(
            "    IF p_most IS NULL AND v_chained THEN\n"
            "        PERFORM pg_advisory_xact_lock({lock}, v_queue);\n"
            "    END IF;\n"
            "    IF p_most IS NOT NULL THEN\n"
            "        WITH l AS MATERIALIZED (SELECT pg_advisory_xact_lock({lock}, v_queue))\n"
            "        SELECT least(coalesce(p_limit, p_most), p_most - (\n"
            "            SELECT count(*) FROM {schema}.jobs j\n"
            "            WHERE j.queue_id = v_queue AND j.state = 'executing'\n"
            "        )) INTO v_limit FROM l;\n"
        ),
        tests=[
            f"{SUITE}::test_claims_at_once_do_not_exceed_the_global_limit",
            f"{SUITE}::test_the_global_limit_holds_at_every_instant",
        ],
        options=ON_POSTGRES,
        tries=3,
    ),
    Mutant(
        name="a claim from chains takes no lock",
        path=FUNCTIONS,
        old="    IF p_most IS NOT NULL OR v_chained THEN\n",
        new="    IF p_most IS NOT NULL THEN\n",
        tests=[CHAIN_RACES],
        tries=3,
    ),
    Mutant(
        name="the end of a chain's attempt takes no lock",
        path=FUNCTIONS,
        old="    IF p_chained THEN\n        PERFORM {schema}.lock_chains_1(p_ids);\n    END IF;\n",
        new="",
        tests=[CHAIN_RACES],
        tries=3,
    ),
    Mutant(
        name="a claim waits for the rows of others",
        path=FUNCTIONS,
        old="            LIMIT v_limit FOR NO KEY UPDATE SKIP LOCKED\n",
        new="            LIMIT v_limit FOR NO KEY UPDATE\n",
        tests=[f"{SEMANTICS}::test_a_claim_that_has_not_committed_holds_up_no_claim"],
    ),
    Mutant(
        name="a claim takes rows unlocked",
        path=FUNCTIONS,
        old="            LIMIT v_limit FOR NO KEY UPDATE SKIP LOCKED\n",
        new="            LIMIT v_limit\n",
        tests=[f"{SUITE}::test_each_job_is_claimed_once"],
        options=ON_POSTGRES,
        tries=3,
    ),
    Mutant(
        name="an insert does not hold its queue",
        path=f"{DRIVER}/statements.py",
        old="%s::uuid, (SELECT q.id FROM {{s}}.queues q WHERE q.name = %s FOR KEY SHARE),",
        new="%s::uuid, (SELECT q.id FROM {{s}}.queues q WHERE q.name = %s),",
        tests=[
            f"{CALLERS_NEIGHBOURS}::test_a_queue_is_not_deleted_under_a_job_that_is_about_to_be_committed"
        ],
    ),
    Mutant(
        name="ends and other rows are locked in two turns",
        path=f"{DRIVER}/writing.py",
        old="if batch.ends and any(job.revision for job in batch.others):",
        new="if False:",
        tests=[f"{DEADLOCKS}::test_rows_are_locked_in_one_order_whatever_is_written_with_the_ends"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="a claim of meanwhile is forgotten with the one before",
        path=f"{DRIVER}/writing.py",
        old="if before is not None and before.revision < job.revision:",
        new="if before is not None:",
        tests=[f"{DEADLOCKS}::test_a_job_claimed_again_is_not_forgotten_for_what_befell_it_before"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="a plan for an empty table settles the jobs of a full one",
        path=FUNCTIONS,
        old="WHERE j.id = ANY (p_ids) AND j.id = w.id",
        new="WHERE j.id = w.id",
        tests=[f"{PLANS}::test_the_end_of_an_attempt_reads_its_own_row"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="READ COMMITTED is not forced",
        path=f"{DRIVER}/sessions.py",
        old="    ('default_transaction_isolation', 'read committed'),\n",
        new="    ('default_transaction_isolation', NULL),\n",
        tests=[
            f"{POOLS}::test_claims_at_once_neither_fail_nor_exceed_a_limit_whatever_the_default_isolation"
        ],
    ),
    Mutant(
        name="silent calls are not cut off",
        path=f"{DRIVER}/guard.py",
        old="late = [call for call in self._calls if call.deadline <= monotonic()]",
        new="late: list[_Call] = []",
        tests=[f"{PARTITIONS}::test_every_call_into_silence_ends_at_its_deadline"],
    ),
    Mutant(
        name="the memory driver takes no lock",
        path=STORAGE,
        old="        with self.lock:\n            try:\n                made = make()\n",
        new="        if True:\n            try:\n                made = make()\n",
        tests=[f"{SUITE}::test_each_job_is_claimed_once", MEMORY_THREADS],
        tries=3,
    ),
    Mutant(
        name="the deletion of a queue waits for no insert",
        path=FUNCTIONS,
        old="FROM {schema}.queues q WHERE q.name = p_name FOR UPDATE;",
        new="FROM {schema}.queues q WHERE q.name = p_name;",
        tests=[
            f"{CALLERS_NEIGHBOURS}::test_a_queue_is_not_deleted_under_a_job_that_is_about_to_be_committed"
        ],
    ),
    Mutant(
        name="migrations take no lock",
        path=f"{DRIVER}/migrations.py",
        old='"SELECT pg_advisory_xact_lock(%s)", [self._key()]',
        new='"SELECT %s::bigint", [self._key()]',
        tests=[f"{POOLS}::test_migrations_at_once_are_applied_once_whatever_the_default_isolation"],
        tries=3,
    ),
    Mutant(
        name="a pause is obeyed by the claims only that begin after it",
        path=FUNCTIONS,
        old="        IF v_paused THEN\n            RETURN;\n",
        new="        IF false THEN\n            RETURN;\n",
        tests=[
            "tests/postgres/test_pauses.py::"
            "test_a_job_inserted_after_a_pause_is_not_claimed_by_a_claim_that_began_before"
        ],
    ),
    Mutant(
        name="a pause does not wait for the claims that have not seen it",
        path=FUNCTIONS,
        old="    IF FOUND AND p_paused THEN\n",
        new="    IF false THEN\n",
        tests=[
            "tests/postgres/test_pauses.py::"
            "test_a_pause_returns_behind_the_claims_that_did_not_see_it"
        ],
    ),
    Mutant(
        name="two jobs may hold one key",
        path=f"{DRIVER}/migrations/0001_tables.up.sql",
        old="CREATE UNIQUE INDEX IF NOT EXISTS jobs_unique",
        new="CREATE INDEX IF NOT EXISTS jobs_unique",
        tests=[
            "tests/postgres/test_unique.py::test_of_many_threads_that_insert_one_key_one_inserts"
        ],
    ),
    Mutant(
        name="keys are looked at before the rows are there",
        path=f"{DRIVER}/migrations/0003_keys.up.sql",
        old="""    PERFORM {schema}.write_1(p_jobs);
    PERFORM {schema}.take_keys_1(p_jobs);""",
        new="""    PERFORM {schema}.take_keys_1(p_jobs);
    PERFORM {schema}.write_1(p_jobs);""",
        tests=[f"{SUITE}::test_of_many_that_insert_end_and_prune_one_gets_the_key_in_its_time"],
        options=ON_POSTGRES,
    ),
]
