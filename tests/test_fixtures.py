"""What a test of a program that uses gaffer can see and do: `gaffer_jobs`, `gaffer_clock`."""

from __future__ import annotations

import os
from datetime import timedelta
from threading import Thread, current_thread

import pytest

import gaffer
from gaffer import Fail, Gaffer, InvalidDriver, Job, JobState
from gaffer.testing.doubles import ManualClock
from gaffer.testing.fixtures import gaffer_clock, gaffer_jobs, gaffer_stage
from gaffer.testing.in_memory import MemoryStage
from gaffer.testing.jobs import Crash, Jobs
from tests.conftest import PATIENCE, Gate, Recorder, failing

__all__ = ["gaffer_clock", "gaffer_jobs", "gaffer_stage"]

pytest_plugins = ["pytester"]


def test_jobs_are_seen_as_they_were_inserted(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("emails", worker=failing())
    gaffer.ensure_queue("others")

    first = gaffer.insert("emails", {"to": "ada"}, kind="welcome")
    second = gaffer.insert("others", 1)
    gaffer_jobs.drain()

    assert gaffer_jobs.inserted == list(gaffer_jobs) == [first, second]
    assert len(gaffer_jobs) == 2
    assert gaffer_jobs.of("others") == [second]
    assert gaffer_jobs.of(kind="welcome") == [first]
    assert gaffer_jobs.of("others", kind="welcome") == []


def test_what_was_inserted_is_found_by_its_facts(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("emails")
    job = gaffer.insert("emails", {"to": "ada"}, kind="welcome", delay=60)

    assert gaffer_jobs.assert_inserted("emails") == [job]
    assert gaffer_jobs.assert_inserted("emails", {"to": "ada"}, kind="welcome", count=1) == [job]
    assert gaffer_jobs.assert_inserted("emails", delay=timedelta(minutes=1)) == [job]
    assert gaffer_jobs.assert_inserted("emails", scheduled_at=job.scheduled_at) == [job]
    gaffer_jobs.assert_not_inserted("emails", {"to": "bob"})
    gaffer_jobs.assert_not_inserted("others")


def test_a_failed_assertion_shows_the_nearest_first(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("emails")
    gaffer.ensure_queue("others")
    gaffer.insert("others", {"to": "ada"})
    gaffer.insert("emails", {"to": "bob"}, kind="welcome")

    with pytest.raises(AssertionError) as failed:
        gaffer_jobs.assert_inserted("emails", {"to": "ada"})

    assert str(failed.value).splitlines() == [
        "0 such jobs were inserted, not one",
        "  wanted: queue='emails', payload={'to': 'ada'}",
        "  queue='emails', payload={'to': 'bob'}, kind='welcome'"
        "  <- differs: payload={'to': 'bob'}",
        "  queue='others', payload={'to': 'ada'}  <- differs: queue='others'",
    ]


def test_a_job_that_should_not_be_there_is_shown(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("emails")
    gaffer.insert("emails", 1)

    with pytest.raises(AssertionError, match="1 such jobs were inserted, not 0") as failed:
        gaffer_jobs.assert_not_inserted("emails")

    assert "queue='emails', payload=1  <- is one" in str(failed.value)


def test_a_fact_that_no_job_has_is_refused(gaffer_jobs: Jobs) -> None:
    with pytest.raises(TypeError, match="no colour"):
        gaffer_jobs.assert_inserted("emails", colour="red")


def test_a_job_is_run_out_of_order_and_alone(gaffer_jobs: Jobs) -> None:
    ran: list[object] = []
    gaffer.ensure_queue("q", worker=lambda job: ran.append(job.payload), max_workers=4)
    first, second, third = gaffer.insert_many("q", [1, 2, 3])

    assert gaffer_jobs.run(second).state is JobState.COMPLETED
    assert gaffer_jobs.run().id == first.id
    assert ran == [2, 1]
    assert gaffer.get("q", third.id).state is JobState.AVAILABLE


def test_who_waits_for_a_result_gets_it_when_the_job_was_run(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("emails", worker=lambda job: job.payload)
    future = gaffer.submit("emails", "sent")

    gaffer_jobs.drain()

    assert future.result(PATIENCE) == "sent"


def test_a_job_runs_in_the_thread_of_its_test(gaffer_jobs: Jobs) -> None:
    threads: list[object] = []
    queue = gaffer.ensure_queue("q", worker=lambda job: threads.append(current_thread()))
    job = queue.insert(1)
    queue.insert_many([2, 3])

    gaffer_jobs.run(job, crash="before_settle")
    gaffer_jobs.drain()

    assert threads == [current_thread()] * 3


def test_what_is_started_by_the_program_runs_on_threads(gaffer_jobs: Jobs) -> None:
    threads: list[Thread] = []
    queue = gaffer.ensure_queue("q", worker=lambda job: threads.append(current_thread()))
    queue.insert(1)

    gaffer.start()
    queue.flush(PATIENCE)

    assert [thread.name for thread in threads] == ["gaffer:q:worker-1"]


def test_nobody_waits_for_jobs_that_only_the_test_can_run(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("d")
    queue = gaffer.ensure_queue("q", worker=failing("no"), max_attempts=1, forward={"failed": "d"})
    queue.insert_many([1, 2])

    with pytest.raises(gaffer.FlushTimeout, match="2 available"):
        queue.flush()
    gaffer_jobs.drain()
    gaffer.redrive("d", rate=0.001)
    gaffer_jobs.drain()
    queue.flush()


def test_ctrl_c_in_a_job_ends_the_test(gaffer_jobs: Jobs) -> None:
    def work(job: Job) -> None:
        raise KeyboardInterrupt

    queue = gaffer.ensure_queue("q", worker=work, max_attempts=2, backoff=60)
    job = queue.insert(1)

    with pytest.raises(KeyboardInterrupt):
        gaffer_jobs.run(job)

    assert gaffer_jobs.drain() == []


def test_the_child_of_a_job_that_forks_does_not_go_on_with_the_tests(gaffer_jobs: Jobs) -> None:
    children: list[int] = []

    def work(job: Job) -> None:
        if child := os.fork():
            children.append(child)

    gaffer.ensure_queue("q", worker=work).insert(1)

    assert gaffer_jobs.run().state is JobState.COMPLETED
    assert [os.waitpid(child, 0)[1] for child in children] == [0]


def test_a_job_may_run_another(gaffer_jobs: Jobs) -> None:
    def outer(job: Job) -> str:
        return str(gaffer_jobs.run(inner.insert(1)).state)

    inner = gaffer.ensure_queue("inner", worker=failing())
    job = gaffer.ensure_queue("outer", worker=outer).insert(1)

    assert gaffer_jobs.run(job).result == "completed"


def test_a_job_that_takes_longer_than_its_timeout_has_timed_out(
    gaffer_jobs: Jobs, gaffer_clock: ManualClock
) -> None:
    def work(job: Job) -> None:
        gaffer_clock.advance(31)
        gaffer.default._watchdog.check()  # its thread does not see that clock go on

    queue = gaffer.ensure_queue("q", worker=work, timeout=30, max_attempts=1)
    queue.insert_many([1, 2])

    ran = gaffer_jobs.drain()

    assert [job.state for job in ran] == [JobState.FAILED] * 2
    assert queue.info().workers.abandoned == 0


def test_the_jobs_of_a_schedule_are_seen(gaffer_jobs: Jobs, gaffer_clock: ManualClock) -> None:
    every = gaffer.Every(minutes=5, payload="report")
    gaffer.ensure_queue("q", worker=failing(), schedules=[every])
    gaffer_jobs.drain()
    gaffer_clock.advance(301)

    assert len(gaffer_jobs.drain()) == 1

    gaffer_jobs.assert_inserted("q", "report", count=1)


def test_a_job_does_not_overtake_its_chain(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("q", worker=failing())
    first, second = gaffer.insert_many("q", [1, 2], chain="ada")

    with pytest.raises(LookupError, match=f"waits for {first.id}"):
        gaffer_jobs.run(second)
    gaffer_jobs.run(first, crash="before_work")
    with pytest.raises(LookupError, match=f"waits for {first.id}"):
        gaffer_jobs.run(second)


def test_a_paused_queue_runs_nothing(gaffer_jobs: Jobs) -> None:
    queue = gaffer.ensure_queue("q", worker=failing())
    job = queue.insert(1)
    queue.pause()

    assert gaffer_jobs.drain() == []
    with pytest.raises(LookupError, match="no worker here, or is paused"):
        gaffer_jobs.run(job)


def test_an_exception_is_recorded_and_raised_only_if_asked_for(gaffer_jobs: Jobs) -> None:
    def work(job: Job) -> None:
        raise ZeroDivisionError("by zero")

    gaffer.ensure_queue("q", worker=work, max_attempts=1)
    first, second = gaffer.insert_many("q", [1, 2])

    assert gaffer_jobs.run(first).state is JobState.FAILED
    with pytest.raises(ZeroDivisionError, match="by zero"):
        gaffer_jobs.run(second, reraise=True)
    assert gaffer.get("q", second.id).state is JobState.FAILED
    assert gaffer.get_queue("q").worker is work


def test_the_clock_makes_delayed_and_retried_jobs_due(
    gaffer_jobs: Jobs, gaffer_clock: ManualClock
) -> None:
    gaffer.ensure_queue("q", worker=failing("once"), backoff=60)
    job = gaffer.insert("q", None, delay=3600)

    with pytest.raises(LookupError, match="due in 3600 s"):
        gaffer_jobs.run(job)
    gaffer_clock.advance(timedelta(hours=1))
    assert [ran.state for ran in gaffer_jobs.drain()] == [JobState.AVAILABLE]
    gaffer_clock.advance(60)
    assert [ran.result for ran in gaffer_jobs.drain()] == ["done"]
    with pytest.raises(LookupError, match="completed, not available"):
        gaffer_jobs.run(job)
    with pytest.raises(LookupError, match="no job is due"):
        gaffer_jobs.run()


def test_draining_runs_what_is_inserted_and_forwarded_meanwhile(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("letters", worker=failing())
    gaffer.ensure_queue(
        "q", worker=lambda job: Fail("no"), max_attempts=1, forward={"failed": "letters"}
    )
    gaffer.insert("q", 1)

    assert [job.queue for job in gaffer_jobs.drain()] == ["q", "letters"]
    assert gaffer_jobs.of("letters")[0].payload["payload"] == 1


def test_draining_ends_when_jobs_insert_each_other(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("q", worker=lambda job: gaffer.insert("q", None) and None)
    gaffer.insert("q", None)

    with pytest.raises(RuntimeError, match="5 jobs ran, and more are due"):
        gaffer_jobs.drain(limit=5)


@pytest.mark.parametrize(("crash", "times"), [("before_work", 1), ("before_settle", 2)])
def test_a_job_whose_process_died_is_rescued_and_runs_again(
    gaffer_jobs: Jobs, gaffer_clock: ManualClock, crash: Crash, times: int
) -> None:
    ran: list[Job] = []
    rescued = Recorder()
    gaffer.ensure_queue("q", worker=lambda job: ran.append(job), backoff=1, hooks=[rescued])
    job = gaffer.insert("q", None)

    assert gaffer_jobs.run(job, crash=crash).state is JobState.EXECUTING
    [lost] = gaffer_jobs.rescue()
    gaffer_clock.advance(60)

    assert (lost.state, lost.attempt) == (JobState.AVAILABLE, 1)
    assert lost.errors[0].error["type"] == "lost"
    assert gaffer_jobs.run(job).state is JobState.COMPLETED
    assert len(ran) == times
    assert len(rescued.of(gaffer.JobRescued)) == 1
    assert len(rescued.of(gaffer.JobCompleted)) == 1


def test_a_job_may_crash_more_than_once(gaffer_jobs: Jobs, gaffer_clock: ManualClock) -> None:
    gaffer.ensure_queue("q", worker=failing())
    job = gaffer.insert("q", None)

    for _ in range(2):
        assert gaffer_jobs.run(crash="before_work").id == job.id
        gaffer_jobs.rescue()
        gaffer_clock.advance(3600)

    assert gaffer_jobs.run(job).state is JobState.COMPLETED


def test_a_gaffer_of_the_program_s_own_is_taken_too(gaffer_jobs: Jobs) -> None:
    with Gaffer(driver="memory") as own:
        own.ensure_queue("q", worker=failing())
        gaffer_jobs.take(own)
        job = own.insert("q", 1)

        assert gaffer_jobs.drain()[0].id == job.id
        assert own.info("q").status == "active"


def test_what_runs_in_the_background_ends_before_and_goes_on_afterwards(
    gaffer_clock: ManualClock, gate: Gate
) -> None:
    with Gaffer(driver="memory") as own:
        queue = own.ensure_queue("q", worker=gate, prune={"interval": None})
        jobs = queue.insert_many([1, 2])
        gate.wait_for(1)
        gate.let(1)

        with Jobs(gaffer_clock, MemoryStage.on(gaffer_clock)) as rehearsal:
            rehearsal.take(own)
            gate.let(2)
            assert queue.list() == []
            assert len(gate.entered) == 1

        queue.flush(timeout=PATIENCE)
        assert [queue.get(job.id).state for job in jobs] == [JobState.COMPLETED] * 2


def test_another_driver_is_refused_before_and_meanwhile(gaffer_jobs: Jobs) -> None:
    url = "postgresql://user:secret@db/shop"
    with pytest.raises(InvalidDriver, match="asked for 'postgresql'") as refused:
        gaffer.ensure_queue("q", driver=url)
    assert "secret" not in str(refused.value)

    gaffer.configure(driver=url)
    with pytest.raises(InvalidDriver, match="asked for 'postgresql'"):
        gaffer.ensure_queue("q")


def test_a_connection_of_the_caller_is_taken_for_nothing(gaffer_jobs: Jobs) -> None:
    gaffer.ensure_queue("q")

    gaffer.insert("q", 1, connection=object())

    gaffer_jobs.assert_inserted("q", 1)


PROGRAM = """
import gaffer
from gaffer import insert

ran = []
emails = gaffer.ensure_queue("emails", worker=lambda job: ran.append(job.payload))

def sign_up(name):
    emails.insert({"to": name})
    insert("emails", {"copy": name})
"""
CASES = """
import unittest
import gaffer
import pytest
import shop

pytestmark = pytest.mark.usefixtures("gaffer_jobs")

def test_one(gaffer_jobs):
    shop.sign_up("ada")
    gaffer.ensure_queue("only here")
    gaffer.configure(hooks=[print], driver="memory://")
    assert len(gaffer_jobs) == 2 and shop.ran == []
    gaffer_jobs.drain()
    assert shop.ran == [{"to": "ada"}, {"copy": "ada"}]
    assert False, "on purpose"

def test_two(gaffer_jobs):
    assert list(gaffer_jobs) == [] == gaffer.list()
    assert list(gaffer.list_queues()) == ["emails"]
    gaffer.stop()

class Test(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def jobs(self, gaffer_jobs):
        self.jobs = gaffer_jobs

    def test_three(self):
        shop.sign_up("bob")
        self.jobs.assert_inserted("emails", {"to": "bob"}, count=1)
"""
LAST = """
import gaffer, shop

def test_the_program_is_as_it_was_imported():
    assert list(gaffer.list_queues()) == ["emails"]
    assert gaffer.list() == []
    shop.sign_up("eve")
    shop.emails.flush(timeout=30)
    assert shop.ran[-2:] == [{"to": "eve"}, {"copy": "eve"}]
"""


def test_a_program_that_declares_queues_when_imported_is_tested(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAFFER_DRIVER", "postgresql://nobody@127.0.0.1:1/none")
    pytester.makeconftest('pytest_plugins = ["gaffer.testing.fixtures"]')
    pytester.makepyfile(shop=PROGRAM, test_a=CASES, test_b=LAST)

    done = pytester.runpytest_subprocess("-p", "no:randomly")
    done.assert_outcomes(passed=3, failed=1)
    done.stdout.fnmatch_lines(["*on purpose*"])


def test_a_program_that_has_gone_to_another_driver_is_not_tested(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        test_a="""
        import gaffer
        from gaffer.testing.model import ModelDriver, ModelStore
        from gaffer.testing import ManualClock

        gaffer.ensure_queue("q", driver=ModelDriver(ModelStore(ManualClock())))

        def test_one(gaffer_jobs):
            pass
        """
    )

    done = pytester.runpytest_subprocess("-p", "gaffer.testing.fixtures")

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*InvalidDriver: queue 'q' was declared on a ModelDriver, *"])


def test_tests_may_run_in_any_order(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop=PROGRAM, test_a=CASES, test_b=LAST)
    pytester.makeconftest(
        'pytest_plugins = ["gaffer.testing.fixtures"]\n'
        "def pytest_collection_modifyitems(items):\n    items.reverse()\n"
    )

    pytester.runpytest_subprocess().assert_outcomes(passed=3, failed=1)


def test_no_job_is_run_beyond_the_global_limit_of_its_queue(gaffer_jobs: Jobs) -> None:
    limited = gaffer.ensure_queue("limited", worker=lambda job: None, global_max_workers=1)
    crashed, other = limited.insert(1), limited.insert(2)
    gaffer_jobs.run(crashed, crash="before_settle")

    with pytest.raises(LookupError, match="global_max_workers"):
        gaffer_jobs.run(other)
