"""Job ids: unique, in order, near the clock, safe across fork."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from gaffer import ids
from gaffer.clock import SystemClock
from gaffer.ids import job_id


def instant(id: UUID) -> datetime:
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run *script* in an interpreter of its own, where it alone decides about threads."""
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_id_is_a_uuid_of_version_7() -> None:
    """B43."""
    made = [job_id() for _ in range(1000)]

    assert {(id.version, id.variant) for id in made} == {(7, RFC_4122)}


def test_an_id_tells_when_it_was_made() -> None:
    before = SystemClock().now()

    id = job_id()

    assert before - timedelta(seconds=1) < instant(id) < SystemClock().now() + timedelta(seconds=1)


def test_ids_of_many_threads_are_unique_and_in_order_within_each() -> None:
    """F50."""
    made: list[list[UUID]] = [[] for _ in range(4)]
    ready = threading.Barrier(4)

    def make(mine: list[UUID]) -> None:
        ready.wait(10)
        mine.extend(job_id() for _ in range(50_000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [len(mine) for mine in made] == [50_000] * 4
    assert all(mine == sorted(mine) for mine in made)
    assert len({id for mine in made for id in mine}) == 200_000


def test_a_clock_that_stands_still_gives_ids_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """F50."""
    still = SystemClock().now()
    monkeypatch.setattr(ids, "unix_ns", lambda: int(still.timestamp() * 1000) * 1_000_000)

    made = [job_id() for _ in range(10_000)]

    assert made == sorted(set(made))
    assert instant(made[-1]) - still < timedelta(milliseconds=10)


def test_a_clock_that_steps_back_does_not_break_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F48, F50."""
    now = [2_000_000_000_000_000_000]
    monkeypatch.setattr(ids, "_generate", ids._Generator())
    monkeypatch.setattr(ids, "unix_ns", lambda: now[0])
    before = job_id()
    now[0] -= 3600 * 10**9

    stepped_back = [job_id() for _ in range(100)]
    now[0] += 7200 * 10**9
    caught_up = job_id()

    assert [before, *stepped_back, caught_up] == sorted({before, *stepped_back, caught_up})
    assert instant(stepped_back[-1]) - instant(before) < timedelta(milliseconds=1)
    assert caught_up.int >> 80 == now[0] // 1_000_000


def test_parts_of_a_millisecond_count_for_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    start = 2_000_000_000_000_000_000
    moments = iter([start, start + 500_000, start + 999_999, start + 1_000_000])
    monkeypatch.setattr(ids, "_generate", ids._Generator())
    monkeypatch.setattr(ids, "unix_ns", lambda: next(moments))

    made = [job_id() for _ in range(4)]

    assert [(id.int >> 64) & 0xFFF for id in made] == [0, 2048, 4095, 0]
    assert made == sorted(made)


def test_a_forked_child_makes_other_ids_than_its_parent() -> None:
    """F50."""
    ran = run(
        "import os\n"
        "from gaffer import ids\n"
        "ids.unix_ns = lambda: 2_000_000_000_000_000_000\n"
        "ids.job_id()\n"
        "read, write = os.pipe()\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.write(write, b''.join(ids.job_id().bytes for _ in range(100)))\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "os.close(write)\n"
        "mine = [ids.job_id().bytes for _ in range(100)]\n"
        "data = os.fdopen(read, 'rb').read()\n"
        "theirs = [data[i:i + 16] for i in range(0, len(data), 16)]\n"
        "print(len(theirs), len({*theirs, *mine}))"
    )

    assert (ran.stdout.strip(), ran.stderr) == ("300 400", "")


def test_a_lock_that_is_held_at_the_fork_does_not_hang_the_child() -> None:
    """F50."""
    ran = run(
        "import os, signal\n"
        "from gaffer import ids\n"
        "with ids._generate._lock:\n"
        "    if (child := os.fork()) == 0:\n"
        "        signal.alarm(10)\n"
        "        os._exit(ids.job_id().version)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )

    assert (ran.stdout.strip(), ran.stderr) == ("7", "")


def test_ids_made_at_once_ascend_and_stand_between_those_before_and_after() -> None:
    before, many, after = job_id(), ids.job_ids(1000), job_id()

    assert [before, *many, after] == sorted({before, *many, after})
    assert {id.version for id in many} == {7}
    assert ids.job_ids(0) == []
