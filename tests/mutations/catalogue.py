"""The mutants, each with the tests that notice it soonest."""

from __future__ import annotations

from tests.mutations.mutant import Mutant

__all__ = ["MUTANTS"]

DRIVER = "gaffer_driver_postgres/src/gaffer_driver_postgres"
FUNCTIONS = f"{DRIVER}/migrations/0002_functions.up.sql"
STORAGE = "gaffer_driver_memory/src/gaffer_driver_memory/storage.py"
SUITE = "tests/test_conformance.py"
ON_POSTGRES = ["--driver=postgres"]

_OF_WRITES = [
    Mutant(
        name="settle asks for no revision",
        path=FUNCTIONS,
        old=(
            "scheduled_at, ended_at, result, errors)\n"
            "    WHERE j.id = w.id AND j.revision = w.revision - 1;"
        ),
        new="scheduled_at, ended_at, result, errors)\n    WHERE j.id = w.id;",
        tests=["tests/postgres/test_races.py::test_of_two_writes_of_one_revision_one_counts_and_all_of_it"],
    ),
    Mutant(
        name="write asks for no revision",
        path=FUNCTIONS,
        old="    FROM w WHERE j.id = w.id AND j.revision = w.revision - 1;",
        new="    FROM w WHERE j.id = w.id;",
        tests=[f"{SUITE}::test_a_revision_that_is_not_the_next_changes_nothing"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="settle takes half a batch",
        path=FUNCTIONS,
        old="    IF v_count <> cardinality(p_ids) THEN",
        new="    IF v_count = 0 THEN",
        tests=["tests/postgres/test_races.py::test_of_two_writes_of_one_revision_one_counts_and_all_of_it"],
    ),
    Mutant(
        name="the memory driver asks for no revision",
        path=STORAGE,
        old="if key in seen or (old.revision if old else -1) != job.revision - 1:",
        new="if key in seen:",
        tests=[f"{SUITE}::test_a_revision_that_is_not_the_next_changes_nothing"],
    ),
    Mutant(
        name="an insert is not tried again",
        path="gaffer/writing.py",
        old="for pause in (*_PAUSES, None):",
        new="for pause in (None,):",
        tests=["tests/faults/test_lost_answers.py::test_an_insert_whose_answer_was_lost_is_stored_once_and_told_once"],
    ),
    Mutant(
        name="what an insert finds under its id is never its own",
        path="gaffer/writing.py",
        old="if pause == _PAUSES[0] or not all(_inserted(driver, job) for job in jobs):",
        new="if True:",
        tests=["tests/faults/test_lost_answers.py::test_an_insert_whose_answer_was_lost_is_stored_once_and_told_once"],
    ),
    Mutant(
        name="what has landed counts as late",
        path="gaffer/writing.py",
        old="landed = self._driver.job_get(step.after.id) == step.after",
        new="landed = False",
        tests=["tests/faults/test_lost_answers.py::test_a_settled_attempt_whose_answer_was_lost_is_recorded_once"],
    ),
]

_OF_LOCKS = [
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
        tests=["tests/postgres/test_chain_races.py"],
        tries=3,
    ),
    Mutant(
        name="the end of a chain's attempt takes no lock",
        path=FUNCTIONS,
        old="    IF p_chained THEN\n        PERFORM {schema}.lock_chains_1(p_ids);\n    END IF;\n",
        new="",
        tests=["tests/postgres/test_chain_races.py"],
        tries=3,
    ),
    Mutant(
        name="a claim waits for the rows of others",
        path=FUNCTIONS,
        old="            LIMIT v_limit FOR NO KEY UPDATE SKIP LOCKED\n",
        new="            LIMIT v_limit FOR NO KEY UPDATE\n",
        tests=["tests/postgres/test_semantics.py::test_a_claim_that_has_not_committed_holds_up_no_claim"],
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
        tests=["tests/postgres/test_callers_neighbours.py::test_a_queue_is_not_deleted_under_a_job_that_is_about_to_be_committed"],
    ),
    Mutant(
        name="ends of attempts are written in any order",
        path=f"{DRIVER}/writing.py",
        old="ends = sorted(ends, key=lambda pair: pair[1].id.int)",
        new="ends = list(ends)",
        tests=[f"{SUITE}::test_batches_that_cross_do_not_block_each_other", "tests/postgres/test_deadlocks.py"],
        options=ON_POSTGRES,
        tries=3,
    ),
    Mutant(
        name="READ COMMITTED is not forced",
        path=f"{DRIVER}/sessions.py",
        old="    ('default_transaction_isolation', 'read committed'),\n",
        new="    ('default_transaction_isolation', current_setting('default_transaction_isolation')),\n",
        tests=["tests/postgres/test_pools.py::test_claims_at_once_neither_fail_nor_exceed_a_limit_whatever_the_default_isolation"],
    ),
    Mutant(
        name="silent calls are not cut off",
        path=f"{DRIVER}/guard.py",
        old="late = [call for call in self._calls if call.deadline <= monotonic()]",
        new="late: list[_Call] = []",
        tests=["tests/postgres/test_partitions.py::test_every_call_into_silence_ends_at_its_deadline"],
    ),
    Mutant(
        name="the memory driver takes no lock",
        path=STORAGE,
        old="        with self.lock:\n            try:\n                made = make()\n",
        new="        if True:\n            try:\n                made = make()\n",
        tests=[f"{SUITE}::test_each_job_is_claimed_once", "tests/faults/test_memory_threads.py"],
        tries=3,
    ),
]

_OF_NODES = [
    # Short, for the condition may grow.
    Mutant(
        name="everybody may rescue at once",
        path="gaffer/heartbeat.py",
        old="if self._last is None or self._last - self._since < self._lease:",
        new="if self._last is None:",
        tests=["tests/test_heartbeat.py"],
    ),
    Mutant(
        name="a jump of the storage's clock is not noticed",
        path="gaffer/heartbeat.py",
        old="if gap or jumped:",
        new="if gap:",
        tests=["tests/test_heartbeat.py"],
    ),
    Mutant(
        name="a lost claim is never reconciled",
        path="gaffer/claims.py",
        old="        if self._doubt:\n",
        new="        if False:\n",
        tests=["tests/faults/test_lost_answers.py::test_a_claim_whose_answer_was_lost_is_released_by_the_node_itself"],
    ),
    Mutant(
        name="jobs that run are taken for those of a lost claim",
        path="gaffer/claims.py",
        old="self._reconcile({*known(), *self._held})",
        new="self._reconcile(set())",
        tests=["tests/faults/test_lost_answers.py::test_jobs_that_run_are_not_released_with_those_of_a_lost_claim"],
    ),
]

_OF_THREADS = [
    Mutant(
        name="a shot does not take the token",
        path="gaffer/interrupt.py",
        old="        if self._token.take():\n            if self._thread:\n",
        new="        if True:\n            if self._thread:\n",
        tests=["tests/faults/test_interrupt.py::test_an_uninterruptible_block_is_never_torn"],
    ),
    Mutant(
        name="a job that ends does not wait for its shot",
        path="gaffer/interrupt.py",
        old="                if not self._token.take():\n                    self._await_shot()\n                break\n",
        new="                break\n",
        tests=["tests/faults/test_interrupt.py::test_no_shot_escapes_from_thousands_of_attempts_that_end_about_when_they_are_shot"],
    ),
    Mutant(
        name="calls of gaffer are not shielded",
        path="gaffer/execution.py",
        old="        with execution.uninterruptible():\n            return call(*args, **kwargs)\n",
        new="        return call(*args, **kwargs)\n",
        tests=["tests/faults/test_interrupted_jobs.py::test_calls_of_gaffer_from_shot_jobs_are_whole"],
        tries=3,
    ),
    Mutant(
        name="a verdict can be changed",
        path="gaffer/token.py",
        old="        return self._decided.setdefault(None, verdict) == verdict\n",
        new="        self._decided[None] = verdict\n        return True\n",
        tests=["tests/test_timeouts.py"],
    ),
    Mutant(
        name="a token can be taken twice",
        path="gaffer/token.py",
        old="            return self._held.pop()\n",
        new="            return self._held[-1]\n",
        tests=["tests/faults/test_interrupt.py::test_an_uninterruptible_block_is_never_torn"],
    ),
]

MUTANTS = [*_OF_WRITES, *_OF_LOCKS, *_OF_NODES, *_OF_THREADS]
