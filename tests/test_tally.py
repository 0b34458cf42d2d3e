"""What a process counts of a queue's attempts."""

from __future__ import annotations

from gaffer import Gaffer, Schedule
from tests.conftest import failing, quiet


def tally(manual: Gaffer, queue: str) -> tuple[int, int, str | None]:
    """Return what ended, what failed, and the newest error."""
    found = manual._supervisor(queue).served()
    return found.ended or 0, found.failed or 0, found.last_error


def test_attempts_that_fail_are_counted_and_the_newest_error_is_kept(manual: Gaffer) -> None:
    worker = failing("first", {"type": "Late"})
    queue = manual.ensure_queue("q", worker=worker, **quiet(max_attempts=3, backoff=0))
    queue.insert(1)
    assert tally(manual, "q") == (0, 0, None)

    assert queue.poll() == 1
    assert tally(manual, "q") == (1, 1, "first")
    assert queue.poll() == 1
    assert tally(manual, "q") == (2, 2, "Late")
    assert queue.poll() == 1
    assert tally(manual, "q") == (3, 2, "Late")


def test_what_is_put_off_has_not_failed(manual: Gaffer) -> None:
    queue = manual.ensure_queue("q", worker=lambda job: Schedule(delay=60), **quiet())
    queue.insert(1)

    queue.poll()

    assert tally(manual, "q") == (1, 0, None)
