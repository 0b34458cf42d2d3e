"""Jobs that hold the GIL, as a bad regular expression does: their whole process stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gaffer import Gaffer, JobState
from gaffer_driver_postgres import PostgresDriver
from tests.postgres.conftest import Work
from tests.rig.audit import Audit
from tests.rig.waiting import until


@pytest.fixture
def g(driver: PostgresDriver) -> Iterator[Gaffer]:
    """Give a Gaffer that works nothing itself."""
    with Gaffer(driver, work=False) as made:
        yield made


def test_a_job_that_holds_the_gil_for_several_beats_keeps_its_lease(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F32."""
    pulse = {"lease": 4.0, "beat_interval": 0.5}
    queue = g.ensure_queue("q", backoff=0.0)
    other = work(q={}, pulse=pulse)
    other.wait_ready()
    other.call("drain", "q")  # it looks for silent nodes, and gets no job
    victim = work(q={}, pulse=pulse)
    lost = queue.insert("hold once")
    victim.wait("event", "job.claim")
    victim.kill()
    other.wait("event", "job.rescue")  # so it would rescue others, too
    holder = work(q={}, pulse=pulse)
    holder.wait("event", "job.complete")

    job = queue.insert({"hold the GIL": 2})

    holder.wait("event", "job.complete", 2)
    assert queue.get(job.id).attempt == 1
    assert other.jobs("job.rescue") == [str(lost.id)]
    assert audit.ends() == [(lost.id, 1), (job.id, 1)]


def test_a_job_that_holds_the_gil_past_its_lease_runs_elsewhere_and_its_late_result_is_refused(
    work: Work, audit: Audit, g: Gaffer
) -> None:
    """F32, F2."""
    queue = g.ensure_queue("q", backoff=0.0)
    holder = work(q={})
    holder.wait_ready()
    job = queue.insert({"hold the GIL": 8})
    until(lambda: queue.get(job.id).state is JobState.EXECUTING)
    other = work(q={})
    process = other.wait_ready()

    other.wait("event", "job.complete")
    holder.wait("event", "job.late")

    stored = queue.get(job.id)
    assert (stored.state, stored.result, stored.attempt) == (JobState.COMPLETED, process, 2)
    assert holder.jobs("job.complete") == []
    assert audit.ends() == [(job.id, 1)]
