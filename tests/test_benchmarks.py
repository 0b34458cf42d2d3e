"""What the benchmarks make of what they have measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from instructions import grown, per_job, read, table, total
from postgres_snapshot import Stretch, parts


def test_a_stretch_tells_of_its_claims_in_milliseconds() -> None:
    times = [number / 1000 for number in range(1, 102)]

    assert Stretch.of(20_000, times, 1234.6) == Stretch(20_000, 51.0, 96.0, 1235)


@pytest.mark.parametrize(
    ("jobs", "batch", "expected"),
    [
        (200, 10, [5, 5, 5, 5]),
        (240, 10, [5, 5, 5, 9]),
        (249, 10, [5, 5, 5, 9]),
        (30, 10, [3]),
        (400, 100, [2, 2]),
    ],
)
def test_the_last_stretch_has_what_is_left_over(jobs: int, batch: int, expected: list[int]) -> None:
    assert parts(jobs, batch, 50) == expected


def test_what_a_start_costs_is_no_part_of_the_instructions_per_job() -> None:
    assert per_job(few=7_000_000 + 200 * 95, many=7_000_000 + 1_200 * 95) == 95


def test_the_count_of_a_process_is_found_in_its_log() -> None:
    log = "==123== Cachegrind, a profiler\n==123== \n==123== I   refs:      1,414,630,952\n"

    assert total(log) == 1_414_630_952
    with pytest.raises(ValueError, match="tells no count"):
        total("==123== Cachegrind, a profiler\n")


def test_a_case_may_need_five_in_a_hundred_more_and_a_new_one_anything() -> None:
    before = {"same": 1000, "less": 1000, "most": 1000, "more": 1000, "gone": 1}

    now = {"same": 1000, "less": 500, "most": 1050, "more": 1051, "new": 9999}

    assert grown(now, before) == ["more"]
    assert [line.split() for line in table(now, before)] == [
        ["same", "1,000", "1,000", "+0.0%"],
        ["less", "500", "1,000", "-50.0%"],
        ["most", "1,050", "1,000", "+5.0%"],
        ["more", "1,051", "1,000", "+5.1%", "MORE"],
        ["new", "9,999"],
    ]


def test_counts_of_another_python_are_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "counts.json"
    file.write_text(json.dumps({"python": sys.version, "instructions": {"a": 1}}))
    assert read(file) == {"a": 1}

    file.write_text(json.dumps({"python": "3.0", "instructions": {"a": 1}}))
    with pytest.raises(SystemExit, match=r"is of Python 3\.0"):
        read(file)
