"""Index the standard library of the running interpreter, one job for each of its files.

    python examples/index_stdlib.py
    python examples/index_stdlib.py --driver postgres+embedded:///tmp/jobs --processes 3

Three queues: `index` counts what is in a file; what completes there is forwarded to `aggregate`,
which adds up, and what fails for good to `dead_letter`, whose jobs are claimed by hand at the end.
Some files of the standard library are broken on purpose: these failures are real.

With `--processes` several work `index`, and one of them is killed on the way. Its jobs are rescued.

Exit code 0 means that all numbers add up: every file was indexed or is a dead letter, once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from _stdlib_count import count, find, standard_library
from _stdlib_crew import Crew, CrewError
from _stdlib_member import Plan
from _stdlib_report import processes, show
from _stdlib_sums import Entry, Run, sums
from _stdlib_tally import Tally, ended
from rich.console import Console, RenderableType
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


def open_gaffer(plan: Plan, hook: gaffer.Hook) -> gaffer.Gaffer:
    """Return a `Gaffer`, the same in all processes; it misses a process after two seconds."""
    return gaffer.Gaffer(plan.driver, hooks=[hook], beat_interval=0.5, lease=2.0)


def declare(g: gaffer.Gaffer, plan: Plan, works: Mapping[str, gaffer.Worker]) -> None:
    """Declare the queues, those in *works* with a worker; the targets of `forward` come first.

    Their jobs are counted at the end, so none is pruned before.
    """
    g.ensure_queue("dead_letter", prune={"max_age": {"*": None}})
    g.ensure_queue("aggregate", worker=works.get("aggregate"), prune={"max_age": {"*": None}})
    g.ensure_queue(
        "index",
        worker=works.get("index"),
        max_workers=plan.workers,
        global_max_workers=plan.most,
        max_attempts=2 if plan.processes == 1 else 3,  # the loss of a process costs one, too
        backoff=0.05,
        timeout=120,
        forward={"completed": "aggregate", "failed": "dead_letter"},
        prune={"max_age": {"*": None}},
    )


def wait(g: gaffer.Gaffer, patience: float, look: Callable[[], bool]) -> None:
    """Wait until `index` and then `aggregate` have nothing left to do.

    Every moment *look* says whether to go on.
    """
    deadline = time.monotonic() + patience
    for queue in ("index", "aggregate"):
        while True:
            try:
                g.flush(queue, timeout=0.05)
                break
            except gaffer.FlushTimeout:
                if not look() or time.monotonic() > deadline:
                    return  # what is left shows in the sums


class Bar(Progress):
    """A progress bar that shows how many jobs of `index` have ended, and what each process does."""

    def __init__(self, total: int, plan: Plan, console: Console) -> None:
        columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.tally = Tally()
        self.crew = None if plan.processes == 1 else Crew(plan, total, self.tally, self.say)
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self._task = self.add_task("indexing", total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return what is shown."""
        yield from super().get_renderables()
        if self.crew is not None:
            yield processes(self.crew.members)

    def look(self, g: gaffer.Gaffer) -> bool:
        """Show how `index` stands; return whether anybody is left to work it."""
        stats = g.stats("index")
        self.update(self._task, completed=ended(stats))
        return self.crew is None or self.crew.look(g, stats)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def run(
    g: gaffer.Gaffer, plan: Plan, files: list[str], options: argparse.Namespace, bar: Bar
) -> Run:
    """Index *files* of the root, here or by the crew; return what it came to."""
    crew, aggregate, root = bar.crew, Aggregate(), str(options.root.resolve())
    declare(g, plan, {"aggregate": aggregate} | ({} if crew else {"index": index}))
    if crew is not None:
        crew.start()
    began = time.perf_counter()
    g.insert_many("index", [{"root": root, "file": file} for file in files])
    wait(g, options.patience, lambda: bar.look(g))
    letters = read_dead_letters(g)
    seconds = time.perf_counter() - began
    bar.look(g)
    if crew is not None:
        crew.end()
    return Run(
        files=files,
        stats={queue: g.stats(queue) for queue in QUEUES},
        jobs=g.list("index"),
        events=bar.tally,
        entries=list(aggregate.entries.values()),
        letters=letters,
        seconds=seconds,
        crew=crew,
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
    workers = os.cpu_count() or 1
    add("--driver", default="memory", help="a driver's name or URL (default: memory)")
    add("--processes", type=_natural, default=1, help="of several one is killed (default: 1)")
    add("--workers", type=_natural, default=workers, help="default: one for each processor")
    add("--most", type=_natural, help="jobs at once over all processes")
    add("--limit", type=_natural, help="the most files to index (default: all)")
    add("--root", type=Path, default=standard_library(), help="index this folder instead")
    add("--patience", type=float, default=300.0, help="seconds to wait at most (default: 300)")
    parser.add_argument("--plain", action="store_true", help="no colours and no progress bar")
    parser.add_argument("--fresh", action="store_true", help="delete the jobs of an earlier run")
    parser.add_argument("--suspend", action="store_true", help="suspend another process, too")
    options = parser.parse_args(argv)
    if options.suspend and options.processes < 3:
        parser.error("--suspend: one process is killed and one suspended, so --processes 3 or more")
    return options


def _natural(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def planned(options: argparse.Namespace) -> Plan:
    """Return what the processes are told. Several get a limit that they could exceed together."""
    most = options.most
    if most is None and options.processes > 1:
        most = options.processes * options.workers - 1
    return Plan(options.driver, options.workers, most, options.processes, options.suspend)


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
    plan = planned(options)
    if plan.processes > 1 and plan.driver.partition("://")[0] == "memory":
        text = "the driver memory shares no jobs between processes: give another --driver"
        console.print(text, soft_wrap=True)
        return 2
    bar = Bar(len(files), plan, console)
    try:
        with open_gaffer(plan, bar.tally) as g:
            if not is_clear(g, fresh=options.fresh):
                console.print("there are jobs of an earlier run; --fresh deletes them")
                return 2
            with bar, bar.crew or nullcontext():
                found = run(g, plan, files, options, bar)
    except (gaffer.GafferError, CrewError) as error:
        console.print(f"{type(error).__name__}: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; what is left goes with --fresh")
        return 130
    return report(found, console)  # the Gaffer has stopped, so every hook has been called


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # whatever the terminal can show
    sys.exit(main())
