"""The mutants, each with the tests that notice it soonest."""

from __future__ import annotations

from tests.mutations import beside, locks
from tests.mutations.mutant import Mutant
from tests.mutations.places import (
    FUNCTIONS,
    HEARTBEAT,
    INTERRUPT,
    INTERRUPTED_JOBS,
    LOST_ANSWERS,
    MANY_PROCESSES,
    MULTI_INSTANCE,
    NODES,
    ON_POSTGRES,
    RACES,
    REFUSED_OUTCOMES,
    RETRY,
    STORAGE,
    SUITE,
    TIMEOUTS,
    TOKEN,
)

__all__ = ["MUTANTS"]

_OF_WRITES = [
    Mutant(
        name="settle asks for no revision",
        path=FUNCTIONS,
        old=(
            "scheduled_at, ended_at, result, errors)\n"
            "    WHERE j.id = ANY (p_ids) AND j.id = w.id AND j.revision = w.revision - 1;"
        ),
        new=(
            "scheduled_at, ended_at, result, errors)\n    WHERE j.id = ANY (p_ids) AND j.id = w.id;"
        ),
        tests=[f"{RACES}::test_of_two_writes_of_one_revision_one_counts_and_all_of_it"],
    ),
    Mutant(
        name="write asks for no revision",
        path=FUNCTIONS,
        old="(SELECT w.id FROM w))\n        AND j.id = w.id AND j.revision = w.revision - 1;",
        new="(SELECT w.id FROM w))\n        AND j.id = w.id;",
        tests=[f"{SUITE}::test_a_revision_that_is_not_the_next_changes_nothing"],
        options=ON_POSTGRES,
    ),
    Mutant(
        name="settle takes half a batch",
        path=FUNCTIONS,
        old="    IF v_count <> cardinality(p_ids) THEN",
        new="    IF v_count = 0 THEN",
        tests=[f"{SUITE}::test_one_end_that_comes_too_late_spoils_the_batch"],
        options=ON_POSTGRES,
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
        tests=[
            f"{LOST_ANSWERS}::test_an_insert_whose_answer_was_lost_is_stored_once_and_told_once"
        ],
    ),
    Mutant(
        name="what an insert finds under its id is never its own",
        path="gaffer/writing.py",
        old="if pause == _PAUSES[0] or not all(_inserted(driver, job) for job in jobs):",
        new="if True:",
        tests=[
            f"{LOST_ANSWERS}::test_an_insert_whose_answer_was_lost_is_stored_once_and_told_once"
        ],
    ),
    Mutant(
        name="what has landed counts as late",
        path="gaffer/writing.py",
        old="landed = self._driver.job_get(step.after.id) == step.after",
        new="landed = False",
        tests=[f"{LOST_ANSWERS}::test_a_settled_attempt_whose_answer_was_lost_is_recorded_once"],
    ),
]

_OF_NODES = [
    # Their texts are short, so that they hold when what is around them changes.
    Mutant(
        name="everybody may rescue at once",
        path="gaffer/heartbeat.py",
        old="if self._last is None or self._last - self._since < self._lease:",
        new="if self._last is None:",
        tests=[HEARTBEAT],
    ),
    Mutant(
        name="a jump of the storage's clock is not noticed",
        path="gaffer/heartbeat.py",
        old="if first or gap or abs(ahead) > self._lease / 2:",
        new="if first or gap:",
        tests=[HEARTBEAT],
    ),
    Mutant(
        name="a lost claim is never reconciled",
        path="gaffer/claims.py",
        old="        if self._doubt or self._let_go or again:\n",
        new="        if False:\n",
        tests=[
            f"{LOST_ANSWERS}::test_a_claim_whose_answer_was_lost_is_released_by_the_node_itself"
        ],
    ),
    Mutant(
        name="jobs that run are taken for those of a lost claim",
        path="gaffer/claims.py",
        old="True, False\n            self._reconcile({*known(), *self._held})",
        new="True, False\n            self._reconcile(set())",
        tests=[f"{LOST_ANSWERS}::test_jobs_that_run_are_not_released_with_those_of_a_lost_claim"],
    ),
    Mutant(
        name="jobs that were lost twice run beside each other",
        path="gaffer/suspects.py",
        old="                free = False\n",
        new="                free = True\n",
        tests=["tests/test_suspects.py"],
    ),
    Mutant(
        name="an attempt whose job was claimed again is forgotten",
        path="gaffer/roster.py",
        old="            self._displaced.add(older)\n",
        new="",
        tests=["tests/test_claimed_again.py"],
    ),
    Mutant(
        name="a gap between beats is not noticed",
        path="gaffer/heartbeat.py",
        old="if first or gap or abs(ahead) > self._lease / 2:",
        new="if first or abs(ahead) > self._lease / 2:",
        tests=[HEARTBEAT],
    ),
    Mutant(
        name="a silence of one lease is not noticed",
        path="gaffer/heartbeat.py",
        old="return not first and (gap or ahead > self._lease)",
        new="return False",
        tests=[HEARTBEAT],
    ),
    Mutant(
        name="jobs that others have taken are not told",
        path="gaffer/claims.py",
        old="self._taken(UUID(int=number) for number, _ in known - set(map(mark, held)))",
        new="self._taken([])",
        tests=[
            f"{MANY_PROCESSES}"
            "::test_a_process_that_was_suspended_tells_the_jobs_that_others_have_taken"
        ],
    ),
    Mutant(
        name="a process rescues what it does not serve",
        path="gaffer/process.py",
        old="found = [job for job in orphans if job.queue == conf.name]",
        new="found = [*orphans]",
        tests=[
            f"{MULTI_INSTANCE}"
            "::test_a_process_that_does_not_serve_a_queue_leaves_its_jobs_to_one_that_does"
        ],
    ),
    Mutant(
        name="a node is called like its life before",
        path="gaffer/process.py",
        old='{os.getpid()}-{uuid4().hex[:12]}"',
        new='0"',
        tests=[NODES],
    ),
    Mutant(
        name="nodes come back in step",
        path="gaffer/retry.py",
        old=" * (0.5 + random() / 2)",
        new="",
        tests=[RETRY],
    ),
]

_OF_THREADS = [
    Mutant(
        name="a shot does not take the token",
        path="gaffer/interrupt.py",
        old="        if self._token.take():\n            if self._thread:\n",
        new="        if True:\n            if self._thread:\n",
        tests=[f"{INTERRUPT}::test_a_shot_during_an_uninterruptible_block_is_raised_at_its_end"],
    ),
    Mutant(
        name="a job that ends does not wait for its shot",
        path="gaffer/interrupt.py",
        old=(
            "                if not self._token.take():\n"
            "                    self._await_shot()\n"
            "                break\n"
        ),
        new="                break\n",
        tests=[
            f"{INTERRUPT}::test_no_shot_escapes_from_thousands_of_attempts_that_end_about_when_they_are_shot"
        ],
    ),
    Mutant(
        name="calls of gaffer are not shielded",
        path="gaffer/execution.py",
        old="        with execution.uninterruptible():\n            return call(*args, **kwargs)\n",
        new="        return call(*args, **kwargs)\n",
        tests=[f"{INTERRUPTED_JOBS}::test_a_shot_waits_for_the_end_of_a_call_of_gaffer"],
    ),
    Mutant(
        name="a verdict can be changed",
        path="gaffer/token.py",
        old="        return self._decided.setdefault(None, verdict) == verdict\n",
        new="        self._decided[None] = verdict\n        return True\n",
        tests=[TOKEN, TIMEOUTS],
    ),
    Mutant(
        name="a shot held off is forgotten",
        path="gaffer/interrupt.py",
        old="                self._spent = True\n                raise JobTimeout\n",
        new="                self._spent = True\n",
        tests=[f"{INTERRUPT}::test_a_shot_during_an_uninterruptible_block_is_raised_at_its_end"],
    ),
    Mutant(
        name="one outcome that is refused holds up the others",
        path="gaffer/outbox.py",
        old="if error is None or passing or len(steps) == 1:",
        new="if True:",
        tests=[REFUSED_OUTCOMES],
    ),
    Mutant(
        name="a token can be taken twice",
        path="gaffer/token.py",
        old="            return self._held.pop()\n",
        new="            return self._held[-1]\n",
        tests=[TOKEN, INTERRUPT],
    ),
]

MUTANTS = [*_OF_WRITES, *locks.MUTANTS, *_OF_NODES, *_OF_THREADS, *beside.MUTANTS]
