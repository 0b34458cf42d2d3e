"""The report of a run: tables of medians, of ratios and of goals, as text or as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from versus.arithmetic import Spread, ratios
from versus.goals import verdicts
from versus.modes import MODES
from versus.plan import LIBRARIES
from versus.results import Key, Results

__all__ = ["markdown", "opposites", "text"]

Rows = list[list[str]]
Layout = Callable[[Rows, str], list[str]]

LOWER = ("ms", "transactions/s", "commands/s", "%", "MiB")
"""Units of which less is better."""
JUDGED = {True: "met", False: "NOT MET", None: "-"}


def text(results: Results) -> str:
    """Return the report as text, with aligned columns."""
    return _whole(results, _aligned, "")


def markdown(results: Results) -> str:
    """Return the report as a section of Markdown."""
    return _whole(results, _piped, "### ")


def _whole(results: Results, layout: Layout, mark: str) -> str:
    lines = [*(f"- {line}" if mark else line for line in results.head), ""]
    for mode, asked in MODES.items():
        if any(True for _ in results.of(mode)):
            lines += [f"{mark}{mode}: {asked.question}", ""]
            lines += [*layout(_medians(results, mode), "lllrrrl"), ""]
    if compared := _ratios(results):
        lines += [f"{mark}ratios: gaffer / peer, round by round", ""]
        lines += [*layout(compared, "llllrrl"), ""]
    lines += [f"{mark}goals", "", *layout(_goals(results), "lll"), ""]
    for name, told in (("not measured", results.absent), ("FAILED", results.failed)):
        if told:
            lines += [f"{mark}{name}", "", *(f"- {who}: {why}" for who, why in told.items()), ""]
    lines += [f"{mark}profiles", "", *layout(_profiles(results), "lll")]
    return "\n".join(lines) + "\n"


def _medians(results: Results, mode: str) -> Rows:
    rows = [["case", "peer", "profile", "median", "min-max", "lost/dup", "unit"]]
    for key, row in results.of(mode):
        spread = Spread.of(row.values.values())
        assert spread is not None
        counted = mode in ("drain", "processes", "latency", "io", "payload") and not (
            "busiest" in key.case or "deadlocks" in key.case
        )
        span = f"{number(spread.least)}-{number(spread.most)}"
        account = f"{row.lost}/{row.extra}" if counted else ""
        rows.append(
            [key.case, key.peer, key.profile, number(spread.median), span, account, row.unit]
        )
    return rows


def _ratios(results: Results) -> Rows:
    rows = [["mode, case", "gaffer", "peer", "profile", "median", "min-max", "better"]]
    for mode in MODES:
        for key, row in results.of(mode):
            if key.peer == "gaffer" or key.case.endswith("deadlocks"):
                continue
            for ours in opposites(key):
                spread = ratios(results.series(mode, key.case, "gaffer", ours), row.values)
                ours_row = results.rows.get(Key(mode, key.case, "gaffer", ours))
                if spread is None or ours_row is None or ours_row.unit != row.unit:
                    continue
                span = f"{spread.least:.2f}-{spread.most:.2f}"
                better = "lower" if row.unit in LOWER or "busiest" in key.case else "higher"
                rows.append(
                    [f"{mode}, {key.case}", ours, key.peer, key.profile, f"{spread.median:.2f}",
                     span, better]
                )  # fmt: skip
    return rows if len(rows) > 1 else []


def opposites(key: Key) -> Sequence[str]:
    """Return gaffer's profiles that do what the peer does in *key*."""
    if key.mode == "insert":
        same = {"unnest returning": ["default"], "unnest": ["quiet"], "copy": ["quiet"]}
        return same.get(key.profile, ["default", "quiet"])
    if key.peer == "floor" and key.mode == "drain":
        return ["default"] if key.profile.startswith("10 ") else ["hundred"]
    return {"stock": ["default"], "single": ["default"]}.get(key.profile, [key.profile])


def _goals(results: Results) -> Rows:
    rows = [["goal", "found", "met?"]]
    rows += [[v.goal, v.found, JUDGED[v.met]] for v in verdicts(results)]
    return rows


def _profiles(results: Results) -> Rows:
    used = dict.fromkeys((key.peer, key.profile) for key in results.rows)
    rows = [["peer", "profile", "settings"]]
    for peer, library in LIBRARIES.items():
        for name, profile in library.profiles.items():
            if (peer, name) in used:
                rows.append([peer, name, profile.meaning])
    return rows


def number(value: float) -> str:
    """Show a value with three digits or more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 10 or value == 0 else f"{value:.3f}"


def _aligned(rows: Rows, sides: str) -> list[str]:
    wide = [max(len(row[at]) for row in rows) for at in range(len(sides))]

    def line(row: list[str]) -> str:
        cells = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, wide, sides, strict=True)
        )
        return "  ".join(cells).rstrip()

    return ["  " + line(row) for row in (rows[0], ["-" * width for width in wide], *rows[1:])]


def _piped(rows: Rows, sides: str) -> list[str]:
    rule = ["---:" if side == "r" else "---" for side in sides]
    return list(_lines([rows[0], rule, *rows[1:]]))


def _lines(rows: Rows) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(row) + " |"
