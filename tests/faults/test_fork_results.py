"""A fork while results are waited for: the parent gets them, the child gets none, and an error."""

from __future__ import annotations

from concurrent.futures import as_completed, wait
from contextlib import suppress
from typing import Any

import pytest

import gaffer
from tests.faults.test_fork import check, exit_code, forked
from tests.rig.waiting import KEEP, Gate, threads

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def test_futures_of_the_parent_are_stopped_in_a_child_and_go_on_in_the_parent(
    g: gaffer.Gaffer,
) -> None:
    gate = Gate()
    queue = g.ensure_queue("q", worker=gate, max_workers=4, prune=KEEP)
    futures = [queue.submit(number) for number in range(4)]
    called: list[Any] = []
    futures[0].add_done_callback(called.append)
    gate.wait(1)

    def child() -> None:
        with pytest.raises(gaffer.Stopped, match="forked"):
            futures[0].result(1)
        check(not wait(futures, 1).not_done)
        check(len(list(as_completed(futures, 1))) == 4)
        check(called == [])  # what was to be called is for the parent to call
        check(not futures[1].cancel())

    assert exit_code(forked(child)) == 0
    gate.open.set()
    assert [future.result(10) for future in futures] == [None] * 4
    assert called == [futures[0]]


def test_a_child_may_wait_for_what_it_inserts_and_for_what_its_parent_has(
    g: gaffer.Gaffer,
) -> None:
    queue = g.ensure_queue("q", worker=lambda job: job.payload + 1, prune=KEEP)
    first = queue.submit(1)
    assert first.result(10) == 2

    def child() -> None:
        check(first.result(0) == 2)
        check(not threads())
        mine = queue.submit(5)
        queue.poll()
        check(mine.result(1) == 6)
        check(queue.result(first.id, timeout=1) == 2)

    assert exit_code(forked(child)) == 0
    assert queue.submit(2).result(10) == 3


def test_a_fork_while_a_result_is_told_leaves_no_future_without_an_end(
    g: gaffer.Gaffer,
) -> None:
    queue = g.ensure_queue("q", worker=lambda job: 1, max_workers=4, prune=KEEP)

    for _ in range(5):
        futures = [queue.submit(None) for _ in range(50)]

        def child(futures: Any = futures) -> None:
            for future in futures:
                with suppress(gaffer.Stopped):
                    check(future.result(1) == 1)

        assert exit_code(forked(child)) == 0
        assert [future.result(10) for future in futures] == [1] * 50
