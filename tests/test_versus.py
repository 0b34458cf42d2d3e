"""The comparison with other libraries: what it computes, and that it runs, on gaffer and the floor.

Whatever a run prints is what this arithmetic makes of it, so the expected values are written out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import inf
from pathlib import Path
from threading import Event

import pytest
from versus.arithmetic import Spread, account, delays, fairness, percentile, ratios
from versus.errors import HandFailed
from versus.goals import verdicts
from versus.hand import Hand
from versus.measures import Figure, Stage, drain
from versus.plan import FORMS, LIBRARIES
from versus.report import markdown, opposites, text
from versus.results import Key, Results
from versus.servers import Postgres

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def found(*rows: tuple[str, str, str, str, list[float]]) -> Results:
    """Return the results of a run: mode, case, peer, profile, and a value for each round."""
    results = Results()
    for mode, case, peer, profile, values in rows:
        for number, value in enumerate(values):
            figure = Figure(case=case, unit="jobs/s", value=value)
            results.add(number, mode, peer, profile, figure)
    return results


def judged(results: Results) -> dict[str, tuple[str, bool | None]]:
    return {verdict.goal: (verdict.found, verdict.met) for verdict in verdicts(results)}


def test_a_spread_is_the_median_of_the_rounds_and_their_range() -> None:
    assert Spread.of([30.0, 10.0, 20.0]) == Spread(20.0, 10.0, 30.0, 3)
    assert Spread.of([10.0, 20.0]) == Spread(15.0, 10.0, 20.0, 2)
    assert Spread.of([]) is None


def test_a_ratio_is_taken_within_each_round() -> None:
    slow_spell_in_the_second = {0: 300.0, 1: 30.0, 2: 200.0}, {0: 100.0, 1: 10.0, 2: 100.0}

    assert ratios(*slow_spell_in_the_second) == Spread(3.0, 2.0, 3.0, 3)


def test_a_ratio_leaves_out_rounds_that_only_one_has() -> None:
    assert ratios({0: 2.0, 1: 6.0}, {1: 3.0, 2: 1.0}) == Spread(2.0, 2.0, 2.0, 1)
    assert ratios({0: 2.0}, {}) is None
    assert ratios({0: 2.0}, {0: 0.0}) is None


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([[(0, 1.0), (1, 1.1), (2, 1.2)]], (0, 0)),
        ([[(0, 1.0)], [(2, 1.1), (1, 1.2)]], (0, 0)),
        ([[(0, 1.0)], [(2, 1.1)]], (1, 0)),
        ([[(0, 1.0), (1, 1.0), (2, 1.1)], [(2, 1.1)]], (0, 1)),
        ([[(0, 1.0), (0, 1.0), (0, 1.1)]], (2, 2)),
        ([[(0, 1.0), (1, 1.0), (2, 1.1), (7, 1.2)]], (0, 1)),
        ([[]], (3, 0)),
    ],
)
def test_lost_and_repeated_jobs_are_counted_by_their_numbers(
    workers: list[list[tuple[int, float]]], expected: tuple[int, int]
) -> None:
    assert account(workers, range(3)) == expected


def test_fairness_is_the_busiest_over_the_idlest() -> None:
    assert fairness([[(0, 1.0)] * 6, [(1, 1.0)] * 2, [(2, 1.0)] * 3]) == 3.0
    assert fairness([[(0, 1.0)], []]) == inf


def test_a_delay_is_from_the_return_of_the_insert_to_the_first_start() -> None:
    starts = [(0, 9.0), (2, 12.5), (1, 11.25), (1, 20.0), (3, 12.875)]

    assert delays([11.0, 12.0, 13.0], 1, starts) == [250.0, 500.0, 0.0]


def test_a_percentile_lies_between_values() -> None:
    assert percentile([float(n) for n in range(101)], 95) == 95.0
    assert percentile([1.0, 2.0], 50) == 1.5


def test_a_goal_is_met_by_the_median_of_the_ratios() -> None:
    results = found(
        ("drain", "no-op", "gaffer", "default", [300.0, 330.0, 310.0]),
        ("drain", "no-op", "pgqueuer", "default", [100.0, 100.0, 100.0]),
        ("drain", "no-op", "procrastinate", "default", [100.0, 10.0, 30.0]),
    )

    goals = judged(results)

    assert goals["drain, default: at least 3 x pgqueuer default"] == ("3.10 x (3.00-3.30)", True)
    assert goals["drain, default: at least 15 x procrastinate default"] == (
        "10.33 x (3.00-33.00)",
        False,
    )
    assert goals["drain, best: at least 1.3 x pgqueuer best"] == ("not measured", None)


def test_a_deadlock_in_any_round_breaks_the_goal() -> None:
    results = found(("processes", "4 processes, deadlocks", "gaffer", "default", [0.0, 0.0, 1.0]))

    goals = judged(results)

    assert goals["4 processes, default: no deadlock in any round"][1] is False


def test_each_form_of_the_floor_is_a_goal_at_the_same_number_of_jobs_in_flight() -> None:
    goals = judged(Results())

    assert sum("of the floor with" in goal for goal in goals) == len(FORMS) == 8
    for form in FORMS:
        ours = "default" if form.startswith("10 held") else "hundred"
        assert opposites(Key("drain", "no-op", "floor", form)) == [ours]
        held = LIBRARIES["gaffer"].profiles[ours].settings["max_workers"]
        assert held == FORMS[form].settings["held"]


def test_a_lost_or_repeated_job_and_a_failure_make_a_run_unsound() -> None:
    sound, lost, repeated, failed = (Results() for _ in range(4))
    lost.add(0, "drain", "gaffer", "default", Figure(case="a", unit="", value=1.0, lost=1))
    repeated.add(0, "drain", "gaffer", "default", Figure(case="a", unit="", value=1.0, extra=1))
    failed.failed["gaffer"] = "it fell silent"
    sound.absent["rq"] = "no redis-server on the path"

    assert [each.sound() for each in (sound, lost, repeated, failed)] == [True, False, False, False]


def test_the_report_shows_medians_ratios_goals_and_what_is_absent() -> None:
    results = found(
        ("drain", "no-op", "gaffer", "default", [3000.0, 6600.0]),
        ("drain", "no-op", "oban", "default", [1000.0, 1100.0]),
    )
    results.absent["rq"] = "no redis-server on the path"

    plain, marked = text(results), markdown(results)

    assert "no-op  gaffer  default   4,800  3,000-6,600       0/0  jobs/s" in plain
    assert "| no-op | oban | default | 1,050 | 1,000-1,100 | 0/0 | jobs/s |" in marked
    assert "| drain, no-op | default | oban | default | 4.50 | 3.00-6.00 | higher |" in marked
    assert "- rq: no redis-server on the path" in plain


def test_a_process_that_fails_is_a_failure_that_says_why() -> None:
    task = {"peer": "nonesuch", "act": "work", "url": "", "settings": {}}

    with (
        Hand(sys.executable, Event(), task) as hand,
        pytest.raises(HandFailed, match=r"(?s)nonesuch, work.*No module named"),
    ):
        hand.go()


def test_a_drain_by_two_processes_runs_each_job_once(server: str, tmp_path: Path) -> None:
    with Postgres(server, tmp_path) as postgres:
        stage = Stage(postgres, sys.executable, "gaffer", LIBRARIES["gaffer"].profiles["default"])

        figures = {figure.case: figure for figure in drain(stage, 300, "two", processes=2)}

    assert figures["two"].value > 0
    assert (figures["two"].lost, figures["two"].extra) == (0, 0)
    assert figures["two, deadlocks"].value == 0
    assert figures["two, busiest/idlest"].value >= 1


def test_a_run_of_gaffer_and_the_floor_measures_them(server: str, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = [sys.executable, str(BENCHMARKS / "versus"), "--driver", server, "--rounds=1"]
    options = ["--peers=floor", "--modes=insert", "--scale=0.05", f"--json={told}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GAFFER_", "PYTEST"))}

    ran = subprocess.run(
        [*command, *options, "--cache", str(tmp_path)], env=environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = {(row["peer"], row["profile"]) for row in json.loads(told.read_text())["rows"]}
    ways = {("floor", way) for way in ("unnest", "unnest returning", "copy")}
    assert rows - {("gaffer", "quiet")} == ways | {("gaffer", "default")}
    assert [path.name for path in tmp_path.iterdir()] == ["told.json"]
