"""Draws the pictures of the explanations as SVG: ``python docs/pictures.py``.

Boxes and arrows at places that are given by hand: three pictures need no library for that. Each has
a title and a description for those who do not see it, and colours that can be read on light and on
dark ground. A test compares what is drawn with what is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

PLACE = Path(__file__).parent / "images"

_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
.small { font-size: 12px }
.note { font-size: 12px; fill: #57606a }
rect { fill: #eaf2fb; stroke: #3572b0; stroke-width: 1.5 }
.end rect { fill: #f3f4f6; stroke: #57606a }
.store rect { fill: #fdf3e1; stroke: #b07d2b }
.group rect { fill: none; stroke: #8c959f; stroke-dasharray: 5 4 }
path { fill: none; stroke: #57606a; stroke-width: 1.5 }
marker path { fill: #57606a; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9da7b1 }
  rect { fill: #12283f; stroke: #6aa4e0 }
  .end rect { fill: #23272e; stroke: #9da7b1 }
  .store rect { fill: #3a2c10; stroke: #d9a441 }
  .group rect { fill: none; stroke: #6e7681 }
  path { stroke: #9da7b1 } marker path { fill: #9da7b1 }
}
"""


@dataclass(frozen=True)
class Box:
    """A box around the point *x*, *y*, with lines of text; *kind* is a class of the style."""

    x: int
    y: int
    text: str
    width: int = 130
    height: int = 44
    kind: str = "step"

    def svg(self) -> str:
        """Return the box."""
        left, top = self.x - self.width // 2, self.y - self.height // 2
        frame = f'<rect x="{left}" y="{top}" width="{self.width}" height="{self.height}" rx="7"/>'
        if self.kind == "group":
            return f'<g class="group">{frame}{_line(self.x, top + 18, self.text, "note")}</g>'
        lines = self.text.split("\n")
        first = self.y + 5 - 8 * (len(lines) - 1)
        words = [
            _line(self.x, first + 16 * index, line, "small" if index else "")
            for index, line in enumerate(lines)
        ]
        return f'<g class="{self.kind}">{frame}{"".join(words)}</g>'


@dataclass(frozen=True)
class Arrow:
    """An arrow along *points*, with *text* at *at*."""

    points: tuple[tuple[int, int], ...]
    text: str = ""
    at: tuple[int, int] = (0, 0)

    def svg(self) -> str:
        """Return the arrow."""
        first, *others = self.points
        way = f"M{first[0]} {first[1]}" + "".join(f" L{x} {y}" for x, y in others)
        words = [
            _line(self.at[0], self.at[1] + 15 * index, line, "note")
            for index, line in enumerate(self.text.split("\n"))
            if line
        ]
        return f'<path d="{way}" marker-end="url(#tip)"/>{"".join(words)}'


@dataclass(frozen=True)
class Picture:
    """A picture of *width* and *height*, with what it shows in words."""

    name: str
    title: str
    description: str
    width: int
    height: int
    parts: tuple[Box | Arrow, ...]

    def svg(self) -> str:
        """Return the picture."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
                f' width="{self.width}" role="img" aria-labelledby="t d">',
                f'<title id="t">{escape(self.title)}</title>',
                f'<desc id="d">{escape(self.description)}</desc>',
                f"<style>{_STYLE}</style>",
                '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8"'
                ' markerHeight="8" orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z"/>'
                "</marker></defs>",
                *(part.svg() for part in self.parts),
                "</svg>\n",
            ]
        )


def _line(x: int, y: int, text: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>'


STATES = Picture(
    name="states",
    title="The states of a job",
    description="An inserted job is available. A claim makes it executing. From there it becomes "
    "completed, failed or cancelled, or available again after a failure with attempts left, a "
    "Schedule or a shutdown. A user may cancel an available job, and retry a failed or cancelled "
    "one.",
    width=760,
    height=330,
    parts=(
        Box(110, 60, "insert", width=90, kind="end"),
        Box(110, 170, "available\nnow, or at its time", width=150),
        Box(400, 170, "executing\nin one node", width=150),
        Box(660, 80, "completed", kind="end"),
        Box(660, 170, "failed", kind="end"),
        Box(400, 285, "cancelled", kind="end"),
        Arrow(((110, 82), (110, 147))),
        Arrow(((185, 160), (324, 160)), "claim", (255, 150)),
        Arrow(
            ((325, 182), (186, 182)), "failure with attempts left,\nSchedule, shutdown", (255, 202)
        ),
        Arrow(((475, 155), (594, 90)), "done", (520, 110)),
        Arrow(((475, 172), (594, 172)), "no attempt left", (534, 190)),
        Arrow(((400, 193), (400, 262)), "Cancel, by its worker", (470, 232)),
        Arrow(((110, 193), (110, 286), (334, 286)), "cancel, by a user", (220, 280)),
        Arrow(
            ((726, 170), (745, 170), (745, 20), (230, 20), (230, 146), (186, 152)),
            "retry, by a user",
            (445, 38),
        ),
        Arrow(((334, 298), (60, 298), (60, 194)), "retry, by a user", (200, 316)),
    ),
)

THREADS = Picture(
    name="threads",
    title="The threads of a process that works one queue",
    description="Your threads insert into storage. The runner claims jobs and hands them to "
    "workers; workers report to the runner's inbox, and so does the watchdog at a deadline. The "
    "runner writes what has ended. The pruner deletes what is old, the heartbeat tells storage "
    "that the node lives, and the driver's own thread wakes the runner.",
    width=780,
    height=400,
    parts=(
        Box(390, 180, "one process", width=760, height=344, kind="group"),
        Box(110, 90, "your threads\ninsert, hooks", width=150),
        Box(330, 190, "runner\none for each queue", width=160, height=52),
        Box(590, 120, "workers\nas many as jobs run", width=170, height=52),
        Box(590, 240, "watchdog\ndeadlines", width=150),
        Box(110, 190, "driver's thread\nlistens, polls", width=150),
        Box(110, 300, "heartbeat\none for each storage", width=170),
        Box(330, 300, "pruner\none for each queue", width=160),
        Box(390, 384, "storage", width=700, height=28, kind="store"),
        Arrow(((186, 190), (249, 190)), "wake", (217, 182)),
        Arrow(((411, 175), (504, 130)), "job", (450, 144)),
        Arrow(((590, 146), (430, 200), (411, 197)), "outcome", (520, 188)),
        Arrow(((514, 240), (411, 205)), "its time is up", (470, 252)),
        Arrow(((590, 217), (590, 147)), "", (0, 0)),
        Arrow(((270, 217), (270, 246), (222, 246), (222, 369)), "claim, settle", (180, 258)),
        Arrow(((330, 323), (330, 369)), "prune", (356, 350)),
        Arrow(((110, 323), (110, 369)), "beat", (132, 350)),
        Arrow(((40, 113), (16, 150), (16, 384), (39, 384)), "", (0, 0)),
    ),
)

DATA_FLOW = Picture(
    name="data-flow",
    title="The way of one job",
    description="insert makes a job of the payload and writes it at revision 0. A claim makes it "
    "executing at revision 1, and a worker runs it. The outcome becomes a step to revision 2, "
    "which is written in one batch with others, forwarded jobs included. What is old enough is "
    "pruned.",
    width=780,
    height=250,
    parts=(
        Box(80, 70, "insert\npayload to JSON", width=130),
        Box(250, 70, "claim\na place under limits", width=150),
        Box(420, 70, "run\nworker(job)", width=120),
        Box(570, 70, "settle\nin one batch", width=120),
        Box(710, 70, "prune\nwhen old enough", width=120),
        Box(
            390,
            205,
            "storage: the job at one revision after the other",
            width=760,
            height=34,
            kind="store",
        ),
        Arrow(((146, 70), (174, 70))),
        Arrow(((326, 70), (359, 70))),
        Arrow(((481, 70), (509, 70))),
        Arrow(((631, 70), (649, 70))),
        Arrow(((80, 93), (80, 187)), "revision 0", (122, 145)),
        Arrow(((250, 187), (250, 94)), "revision 1", (292, 145)),
        Arrow(((560, 93), (560, 187)), "revision 2, if 1 is there", (480, 145)),
        Arrow(((585, 93), (585, 187)), "and what it\nis forwarded to", (640, 138)),
        Arrow(((720, 93), (720, 187)), "delete", (746, 145)),
    ),
)

PICTURES = (STATES, THREADS, DATA_FLOW)


def draw(pictures: Iterable[Picture] = PICTURES, place: Path = PLACE) -> None:
    """Write the pictures."""
    for picture in pictures:
        (place / f"{picture.name}.svg").write_text(picture.svg(), encoding="utf-8")


if __name__ == "__main__":
    draw()
