"""A whole life of jobs, to see that a driver works."""

from __future__ import annotations

from gaffer import Gaffer, JobState
from gaffer.driver import Driver
from tests.conftest import fail, quiet


def live(driver: Driver) -> None:
    """Insert, claim, fail, forward, complete, list, count and prune; leave nothing."""
    payload = {"☃": ["é", 1.5, None]}
    with Gaffer(driver=driver, work=False) as gaffer_:
        keep = {"completed": 3600.0}
        last = gaffer_.ensure_queue("last", worker=lambda job: job.payload, **quiet())
        options = quiet(forward={"failed": "last"}, max_attempts=1, global_max_workers=1)
        first = gaffer_.ensure_queue("first 'n' \"é\"", worker=fail, **options)
        job = first.insert(payload, chain="c", kind="k")
        later = first.insert(None, delay=3600)

        assert (first.poll(), last.poll()) == (1, 1)

        assert first.get(job.id).state is JobState.FAILED
        [copy] = last.list(state="completed")
        assert copy.payload["payload"] == payload
        assert copy.result == copy.payload
        assert [found.id for found in first.list(state="available")] == [later.id]
        assert first.stats()[JobState.FAILED].count == 1
        assert gaffer_.update_queue("last", prune={"max_age": keep}).name == "last"
        assert last.prune() == []
        for queue in (first, last):
            gaffer_.delete_queue(queue.name, driver=driver)
    assert driver.queue_list() == []
