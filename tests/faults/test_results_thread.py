"""The thread that tells results: it goes on whatever strikes it, and nobody waits without it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import gaffer
from gaffer_driver_memory import MemoryDriver
from tests.faults.test_internal_threads import THROWN, thread_of
from tests.rig.waiting import KEEP, shoot, states

pytestmark = pytest.mark.usefixtures("unlocked")


@pytest.mark.parametrize("error", THROWN)
def test_the_thread_that_tells_results_goes_on_after_any_exception(
    g: gaffer.Gaffer, error: type[BaseException]
) -> None:
    """F10."""
    queue = g.ensure_queue("q", worker=lambda job: job.payload, prune=KEEP)
    assert queue.submit(1).result(5) == 1
    thread = thread_of("gaffer:results")

    shoot(thread, error)

    assert queue.submit(2).result(5) == 2
    assert thread.is_alive()


def test_without_a_thread_to_tell_the_result_nothing_is_submitted(
    g: gaffer.Gaffer, driver: MemoryDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F44."""
    queue = g.ensure_queue("q", prune=KEEP)
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "gaffer:results":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            queue.submit(1)

    assert states(driver, "q") == {}
    later: Any = queue.submit(2)
    assert states(driver, "q") == {"available": 1}
    assert not later.done()
