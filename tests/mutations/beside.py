"""The mutants of what is written and claimed in one go."""

from __future__ import annotations

from tests.mutations.mutant import Mutant
from tests.mutations.places import (
    DEADLOCKS,
    DRIVER,
    FUNCTIONS,
    ON_POSTGRES,
    SETTLE_AND_CLAIM,
    SUITE,
)

__all__ = ["MUTANTS"]

NO_WAIT = "test_a_claim_beside_a_write_does_not_wait_for_who_waits_for_its_rows"
SLOT = "test_a_slot_is_free_again_only_when_the_end_of_its_job_is_written"

MUTANTS = [
    Mutant(
        name="a claim beside a write takes its lock after rows",
        path=FUNCTIONS,
        old=(
            "    IF v_lock THEN\n"
            "        PERFORM pg_advisory_xact_lock({lock}, v_queue);\n"
            "    END IF;\n"
        ),
        new="",
        tests=[f"{DEADLOCKS}::{NO_WAIT}"],
    ),
    Mutant(
        name="a claim beside a write looks for chains again",
        path=FUNCTIONS,
        old="        v_lock\n",
        new="        true\n",
        tests=[f"{DEADLOCKS}::{NO_WAIT}"],
    ),
    Mutant(
        name="a claim beside a write sees no chain",
        path=FUNCTIONS,
        old="        v_lock\n",
        new="        false\n",
        tests=[f"{SUITE}::test_the_next_of_a_chain_can_be_claimed_when_one_ends"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="only ends are written beside a claim",
        path=f"{DRIVER}/writing.py",
        old="if not batch.ends or batch.others or alien:",
        new="if not batch.ends or alien:",
        tests=[f"{SUITE}::test_what_is_forwarded_is_written_in_the_same_go"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="a claim beside a write is never in doubt",
        path="gaffer/claims.py",
        old="        self._doubt = True\n        try:\n            jobs = call",
        new="        try:\n            jobs = call",
        tests=[
            f"{SETTLE_AND_CLAIM}::test_when_the_answer_is_lost_each_job_still_ends_once",
            f"{SETTLE_AND_CLAIM}::test_an_error_of_another_kind_leaves_no_claimed_job_behind",
        ],
    ),
    Mutant(
        name="what is written counts as free twice",
        path="gaffer/intake.py",
        old="len(self._outbox) + settled",
        new="len(self._outbox) + 2 * settled",
        tests=[f"{SETTLE_AND_CLAIM}::{SLOT}"],
    ),
    Mutant(
        name="who frees a place under the global limit has it again",
        path="gaffer/intake.py",
        old="if self._ledger.conf.global_max_workers is not None:",
        new="if False:",
        tests=[
            f"{SETTLE_AND_CLAIM}::"
            "test_a_place_under_the_global_limit_is_not_claimed_by_the_write_that_frees_it"
        ],
    ),
    Mutant(
        name="the slot of an end that waits counts as free",
        path="gaffer/writing.py",
        old="self._claiming(len(self._pending), both)",
        new="self._claiming(len(self._pending) + len(self.stuck), both)",
        tests=[f"{SETTLE_AND_CLAIM}::{SLOT}"],
    ),
    Mutant(
        name="what was claimed beside a write begins after the hooks",
        path="gaffer/intake.py",
        old=(
            "        self._begin(jobs, limit)\n"
            "        self._untold += jobs\n"
            "        return True\n"
            "\n"
            "    def tell(self) -> None:\n"
            '        """Tell the hooks what was claimed beside a write."""\n'
            "        jobs, self._untold = self._untold, []\n"
        ),
        new=(
            "        self._untold += jobs\n"
            "        return True\n"
            "\n"
            "    def tell(self) -> None:\n"
            "        jobs, self._untold = self._untold, []\n"
            "        if jobs:\n"
            "            self._begin(jobs, len(jobs))\n"
        ),
        tests=[
            f"{SETTLE_AND_CLAIM}::"
            "test_a_hook_that_claims_gets_none_of_the_jobs_that_were_claimed_beside"
        ],
    ),
]
