"""Jobs can be too many, or too large, for one call of a slow storage: then there are fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gaffer import DriverUnavailable, Job, JobCompleted
from gaffer.driver import Claim, Driver
from gaffer.portion import Portion
from gaffer.testing.doubles import FaultyDriver
from tests.conftest import MakeGaffer, Recorder

MOST = 40


class Narrow(FaultyDriver):
    """A driver that does not answer in time when it is asked for too much at once."""

    def __init__(self, inner: Driver, narrow: str) -> None:
        super().__init__(inner)
        self._narrow = narrow

    def job_claim(self, claim: Claim) -> list[Job]:
        """Claim, unless that may bring too many."""
        if self._narrow == "claim" and (claim.limit is None or claim.limit > MOST):
            raise DriverUnavailable("too many to fetch")
        return super().job_claim(claim)

    def job_write(self, jobs: Sequence[Job], connection: Any = None) -> list[Job]:
        """Write, unless too many have ended."""
        if self._narrow == "settle" and sum(job.revision > 0 for job in jobs) > MOST:
            raise DriverUnavailable("too many to send")
        return super().job_write(jobs, connection)


@pytest.mark.parametrize("narrow", ["claim", "settle"])
def test_a_queue_goes_on_when_storage_takes_only_a_part_in_its_time(
    narrow: str, make_gaffer: MakeGaffer, driver: Driver, recorder: Recorder
) -> None:
    app = make_gaffer(Narrow(driver, narrow), hooks=[recorder])
    queue = app.create_queue("q", worker=lambda job: "done", max_workers=100, poll_interval=0.01)

    queue.insert_many([None] * 100)

    recorder.wait_for(JobCompleted, 100)


def test_a_portion_is_halved_by_what_failed_and_grows_back() -> None:
    portion = Portion(100)

    portion.failed(60)
    assert portion.size == 30
    portion.failed(1)
    assert portion.size == 1
    portion.failed(1)
    assert portion.size == 1
    for size in (2, 4, 8, 16, 32, 64, 100, 100):
        portion.succeeded()
        assert portion.size == size
