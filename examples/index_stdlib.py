"""Index the standard library of the running interpreter, one job for each of its files.

    python examples/index_stdlib.py

Three queues: `index` counts what is in a file; what completes there is forwarded to `aggregate`,
which adds up, and what fails for good to `dead_letter`, whose jobs are claimed by hand at the end.
Some files of the standard library are broken on purpose: these failures are real.

Exit code 0 means that all numbers add up: every file was indexed or is a dead letter, once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from _stdlib_count import count, find, standard_library
from _stdlib_report import Entry, Run, Tally, show, sums
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import gaffer

QUEUES = ("index", "aggregate", "dead_letter")


def index(job: gaffer.Job) -> gaffer.JSON:
    """Work a job of `index`: count one file. What is raised here is a failed attempt."""
    began = time.thread_time()
    counts = count(Path(job.payload["root"], job.payload["file"]))
    return {"counts": counts, "seconds": time.thread_time() - began}


class Aggregate:
    """The worker of `aggregate`: keeps the result of each job that completed in `index`.

    The queue has one worker, so there is one writer and no lock. A job runs *at least* once:
    the results are kept by the id of the original, so that a repetition would change nothing.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def perform(self, job: gaffer.Job) -> None:
        """Keep the result that *job*, a forwarded one, carries."""
        done = job.payload
        self.entries[done["id"]] = Entry(
            done["payload"]["file"],
            counts=done["result"]["counts"],
            seconds=done["result"]["seconds"],
            attempts=done["attempt"],
        )


def read_dead_letters(g: gaffer.Gaffer) -> list[Entry]:
    """Claim the jobs of `dead_letter` one by one; each completes at the end of its block."""
    letters: list[Entry] = []
    while True:
        with g.claim("dead_letter") as letter:
            if letter is None:
                return letters
            lost = letter.payload
            reason = _reason(lost["errors"][0]["error"])
            letters.append(Entry(lost["payload"]["file"], attempts=lost["attempt"], reason=reason))


def _reason(error: Any) -> str:
    """Return the error of a failed attempt in one line."""
    if isinstance(error, dict) and "type" in error:
        return f"{error['type']}: {error['message']}"
    return str(error)


def declare(g: gaffer.Gaffer, aggregate: Aggregate, workers: int) -> None:
    """Declare the queues; the targets of `forward` come first.

    Their jobs are counted at the end, so none is pruned before.
    """
    g.ensure_queue("dead_letter", prune={"max_age": {"*": None}})
    g.ensure_queue("aggregate", worker=aggregate, prune={"max_age": {"*": None}})
    g.ensure_queue(
        "index",
        worker=index,
        max_workers=workers,
        max_attempts=2,
        backoff=0.05,
        timeout=120,
        forward={"completed": "aggregate", "failed": "dead_letter"},
        prune={"max_age": {"*": None}},
    )


def wait(g: gaffer.Gaffer, patience: float, look: Callable[[], None]) -> None:
    """Wait until `index` and then `aggregate` have nothing left to do; *look* every moment."""
    deadline = time.monotonic() + patience
    for queue in ("index", "aggregate"):
        while True:
            try:
                g.flush(queue, timeout=0.2)
                break
            except gaffer.FlushTimeout:
                look()
                if time.monotonic() > deadline:
                    return  # what is left shows in the sums


class Bar(Progress):
    """A progress bar that shows how many jobs of `index` have ended, by what *tally* heard."""

    def __init__(self, tally: Tally, total: int, console: Console) -> None:
        columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self.tally = tally
        self._task = self.add_task("indexing", total=total)

    def look(self) -> None:
        """Show the present numbers."""
        ended = self.tally["index", "completed"] + self.tally["index", "failed"]
        self.update(self._task, completed=ended)


def run(g: gaffer.Gaffer, files: list[str], options: argparse.Namespace, bar: Bar) -> Run:
    """Index *files* of the root; return what it came to."""
    aggregate, root = Aggregate(), str(options.root.resolve())
    declare(g, aggregate, options.workers)
    began = time.perf_counter()
    g.insert_many("index", [{"root": root, "file": file} for file in files])
    wait(g, options.patience, bar.look)
    letters = read_dead_letters(g)
    seconds = time.perf_counter() - began
    bar.look()
    return Run(
        files=files,
        stats={queue: g.stats(queue) for queue in QUEUES},
        events=bar.tally,
        entries=list(aggregate.entries.values()),
        letters=letters,
        seconds=seconds,
    )


def is_clear(g: gaffer.Gaffer, *, fresh: bool) -> bool:
    """Return whether storage holds nothing of an earlier run; if *fresh*, see to it."""
    for name in QUEUES:
        queue = g.ensure_queue(name)
        if fresh:
            g.delete_queue(name, driver=queue.conf.driver)
        elif queue.list(limit=1):
            return False
    return True


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Index the standard library, a job for each file.")
    add = partial(parser.add_argument, metavar="")
    add("--driver", default="memory", help="a driver's name or URL (default: memory)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="default: one for each processor")
    add("--limit", type=_natural, help="the most files to index (default: all)")
    add("--root", type=Path, default=standard_library(), help="index this folder instead")
    add("--patience", type=float, default=300.0, help="seconds to wait at most (default: 300)")
    parser.add_argument("--plain", action="store_true", help="no colours and no progress bar")
    parser.add_argument("--fresh", action="store_true", help="delete the jobs of an earlier run")
    return parser.parse_args(argv)


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def report(found: Run, console: Console) -> int:
    """Print the summary and the sums; return the exit code."""
    show(found, console)
    checked = list(sums(found))
    for each in checked:
        style = None if each.holds else "bold red"
        console.print(str(each), style=style, highlight=False, soft_wrap=True)
    wrong = sum(not each.holds for each in checked)
    console.print(f"{wrong} sums do not add up" if wrong else "all numbers add up")
    return 1 if wrong else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; return the exit code."""
    options = arguments(argv)
    plain = options.plain
    console = Console(no_color=plain or None, force_terminal=False if plain else None)
    warnings.simplefilter("ignore")  # of the files that are parsed
    files = [path.relative_to(options.root).as_posix() for path in find(options.root)]
    files = files[: options.limit]
    if not files:
        console.print(f"there is no .py file in {options.root}", markup=False)
        return 2
    tally = Tally()
    try:
        with gaffer.Gaffer(options.driver, hooks=[tally]) as g:
            if not is_clear(g, fresh=options.fresh):
                console.print("there are jobs of an earlier run; --fresh deletes them")
                return 2
            with Bar(tally, len(files), console) as bar:
                found = run(g, files, options, bar)
    except gaffer.GafferError as error:
        console.print(f"{type(error).__name__}: {error}", markup=False)
        return 1
    return report(found, console)  # the Gaffer has stopped, so every hook has been called


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    sys.exit(main())
