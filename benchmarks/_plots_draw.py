"""Draws pictures as SVG, by matplotlib. The same pictures give the same bytes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from _plots_pictures import Line, Picture

__all__ = ["draw"]

INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"
COLOURS = ("#1f5a96", "#c8641b")
STYLE = {
    "svg.hashsalt": "gaffer",  # else the ids inside are new each time
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}
# No date and no version: they would change the file, and nothing that it shows.
NO_METADATA = {"Date": None, "Creator": None}


def draw(picture: Picture, folder: Path) -> Path:
    """Draw *picture* into *folder*, and return the file; raise `SystemExit` without matplotlib."""
    try:
        matplotlib: Any = import_module("matplotlib")
        figure_of: Any = import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise SystemExit(f"{error}; pip install -e '.[benchmarks]'") from None
    file = folder / f"{picture.name}.svg"
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        figure = figure_of(figsize=(7.2, 4.6), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.15, h_pad=0.12)
        _fill(figure.add_subplot(), picture)
        figure.supxlabel(picture.note, fontsize=7, color=FAINT)
        figure.savefig(file, format="svg", metadata=NO_METADATA)
    return file


def _fill(axes: Any, picture: Picture) -> None:
    axes.set_title(picture.title, loc="left", fontweight="bold", pad=12)
    axes.set_xlabel(picture.x)
    axes.set_ylabel(picture.y)
    for number, line in enumerate(picture.lines):
        _add(axes, line, number)
    if picture.bound is not None:
        label = f"bound: {picture.bound:g} ms"
        axes.axhline(picture.bound, color=FAINT, linestyle="--", linewidth=1, label=label)
    _scale(axes, picture)
    axes.legend()


def _add(axes: Any, line: Line, number: int) -> None:
    """Add a line: the colours are used in turns, and a second time for dotted ones."""
    colour = COLOURS[number % len(COLOURS)]
    dotted = number >= len(COLOURS)
    axes.plot(
        line.xs,
        line.ys,
        color=colour,
        label=line.label,
        linestyle=":" if dotted else "-",
        marker="" if dotted else "o",
        markersize=4,
    )
    if line.low:
        axes.fill_between(line.xs, line.low, line.high, color=colour, alpha=0.15, linewidth=0)


def _scale(axes: Any, picture: Picture) -> None:
    ticker: Any = import_module("matplotlib.ticker")
    plain = ticker.FuncFormatter(lambda value, _: f"{value:,.10g}")
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in picture.log:
            getattr(axes, f"set_{name}scale")("log")
            steps = (1, 2, 5) if name == "y" else (1,)
            axis.set_major_locator(ticker.LogLocator(subs=steps))
            axis.set_minor_locator(ticker.NullLocator())
        axis.set_major_formatter(plain)
    if "y" not in picture.log:
        axes.set_ylim(bottom=0)
    if picture.whole:
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
