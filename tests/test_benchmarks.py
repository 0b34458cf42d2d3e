"""What the benchmarks make of what they have measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from _plots_pictures import Line, Picture, pictures
from instructions import grown, per_job, read, table, total
from plots import IMAGES, write
from plots import read as figures_of
from postgres_snapshot import Stretch, parts

FIGURES = Path(__file__).parent.parent / "benchmarks" / "figures"
ABOUT = {"server": "PostgreSQL 18.4", "machine": "a machine"}


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


def test_a_line_has_the_medians_of_the_runs_and_their_range_by_number() -> None:
    rates = {"10": [7, 9, 8], "2": [1, 3, 2], "1": [5, 5, 5]}

    [picture] = pictures({"processes": {**ABOUT, "max_workers": 100, "rates": rates}})

    assert picture == Picture(
        name="processes",
        title="Drain rate by processes",
        x="processes, each with max_workers=100",
        y="jobs per second",
        lines=[Line("a no-op worker", [1.0, 2.0, 10.0], [5, 2, 8], [5, 1, 7], [5, 3, 9])],
        note="median and range of 3 runs; PostgreSQL 18.4; a machine",
        whole=True,
    )


@pytest.mark.parametrize(
    ("verb", "y", "bound"),
    [("claim", "claim of 50 jobs, ms", 2.0), ("turn", "settling and claim of 50 jobs, ms", None)],
)
def test_the_bound_of_a_claim_is_none_of_a_claim_that_settles_too(
    verb: str, y: str, bound: float | None
) -> None:
    at = {"jobs": 20_000, "p50": 1.5, "p95": 2.5, "rate": 9_000}
    section: dict[str, Any] = {**ABOUT, "verb": verb, "batch": 50, "free": [at], "held": [at]}

    [picture] = pictures({"snapshot": section})

    assert (picture.y, picture.bound) == (y, bound)
    assert [(line.label, line.xs, line.ys) for line in picture.lines] == [
        ("p50, a snapshot is held", [20.0], [1.5]),
        ("p50, none is held", [20.0], [1.5]),
        ("p95, a snapshot is held", [20.0], [2.5]),
        ("p95, none is held", [20.0], [2.5]),
    ]


def test_of_two_files_with_one_section_the_later_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write(first, {"b": {"x": 1}, "a": {"x": 1}})
    write(second, {"b": {"x": 2}})

    assert figures_of(first, second) == {"a": {"x": 1}, "b": {"x": 2}}


def test_every_picture_can_be_drawn_anew_from_the_figures_kept_here() -> None:
    drawn = {picture.name for picture in pictures(figures_of(*FIGURES.glob("*.json")))}

    assert drawn == {"backlog", "batch", "processes", "snapshot"}
    assert drawn <= {path.stem for path in IMAGES.glob("*.svg")}
