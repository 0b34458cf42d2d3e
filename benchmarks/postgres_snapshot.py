"""Does a claim on PostgreSQL stay fast while somebody holds an old snapshot, and jobs come and go?

A report or a backup in a long transaction keeps the server from removing what was deleted since.
Jobs churn through one queue, straight through the driver's verbs: each round claims a batch,
settles it and inserts as many. Once without, and once with a snapshot held from before the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measure import EMBEDDED, machine, report, seconds, server

from gaffer.conf import configured
from gaffer.driver import Claim, Job
from gaffer.ids import job_id
from gaffer.job import Complete
from gaffer.machine import create, cutoffs, settle, template
from gaffer_driver_postgres import PostgresDriver

BOUND = 2.0
"""Milliseconds that a claim may take at the end."""
STRETCH = 20_000
"""Jobs of which each line tells."""
PRUNED = 1_000
"""Jobs that a pruner deletes at once."""
Turn = Callable[[Sequence[Job], Claim], Sequence[Job]]
"""The driver's verb that writes jobs and claims others, which it returns."""
HEADINGS = ("jobs", "p50, ms", "p95, ms", "jobs/s")


@dataclass(frozen=True, slots=True)
class Stretch:
    """How fast a part of the churn was, which ended with job number *jobs*."""

    jobs: int
    p50: float
    p95: float
    rate: int

    @classmethod
    def of(cls, jobs: int, times: Sequence[float], rate: float) -> Stretch:
        """Return what the *times* of claims, in seconds, come to in milliseconds."""
        p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
        p50 = statistics.median(times)
        return cls(jobs, round(p50 * 1000, 3), round(p95 * 1000, 3), round(rate))


def parts(jobs: int, batch: int, size: int = STRETCH) -> list[int]:
    """Return the rounds of each stretch of *size* jobs; what is left over ends with the last."""
    whole, rounds = max(2, size // batch), jobs // batch
    number = max(1, rounds // whole)
    return [whole] * (number - 1) + [rounds - whole * (number - 1)]


class Churn:
    """Jobs that come and go in one queue; *turn* writes jobs and claims others in one call."""

    def __init__(self, driver: PostgresDriver, batch: int, turn: Turn | None) -> None:
        self._driver = driver
        self._batch = batch
        self._turn = turn
        self._conf = configured("churn", None, driver, {})
        self._template = template(self._conf)
        self._claimed: Sequence[Job] = ()
        self._pruned_at = time.monotonic()
        driver.queue_insert("churn")

    def insert(self, number: int) -> None:
        """Insert so many jobs."""
        now = self._driver.now()
        made = [create(self._template, '{"n":1}', id=job_id(), now=now) for _ in range(number)]
        self._driver.job_write(made)

    def stretch(self, rounds: int, before: int) -> Stretch:
        """Go on for so many rounds, after *before* jobs."""
        began = time.perf_counter()
        times = [self._round() for _ in range(rounds)]
        jobs = rounds * self._batch
        return Stretch.of(before + jobs, times, jobs / (time.perf_counter() - began))

    def _round(self) -> float:
        """Let a batch of jobs go and another come; return the seconds of the claim."""
        settled = self._settled()
        if self._turn is None and settled:
            self._driver.job_write(settled)
        self.insert(len(settled))
        took = seconds(lambda: self._claim(settled))
        assert len(self._claimed) == self._batch
        self._prune()
        return took

    def _settled(self) -> list[Job]:
        now = self._driver.now()
        return [settle(job, Complete(), now=now) for job in self._claimed]

    def _claim(self, settled: Sequence[Job]) -> None:
        now = self._driver.now()
        wanted = Claim(
            queue="churn", limit=self._batch, global_max_workers=None, node="bench", now=now
        )
        if self._turn is None:
            self._claimed = self._driver.job_claim(wanted)
        else:
            self._claimed = self._turn(settled, wanted)

    def _prune(self) -> None:
        """Delete what has ended, as often as the pruner of a queue does by default."""
        interval = self._conf.prune.interval
        if interval is None or time.monotonic() < self._pruned_at + interval:
            return
        self._pruned_at = time.monotonic()
        old = cutoffs(self._conf.prune, now=self._driver.now())
        while len(self._driver.job_prune("churn", old, PRUNED)) == PRUNED:
            pass


@contextmanager
def empty(url: str) -> Iterator[PostgresDriver]:
    """Give a driver on tables that are new, and so without the remains of other runs."""
    driver = PostgresDriver.from_url(url)
    driver.start()
    try:
        driver.rollback(0)
        driver.migrate()
        yield driver
    finally:
        driver.stop()


@contextmanager
def held(driver: PostgresDriver) -> Iterator[None]:
    """Hold a snapshot in a transaction that does nothing else."""
    with driver._connections.connect() as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        mine = "SELECT backend_xmin FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        row = connection.execute(mine).fetchone()
        assert row is not None and row[0] is not None, "no snapshot is held"  # noqa: PT018
        yield
        connection.execute("ROLLBACK")


def case(name: str, options: argparse.Namespace, *, hold: bool) -> list[Stretch]:
    """Let the jobs churn, and print a line for each stretch."""
    with empty(options.driver) as driver, held(driver) if hold else nullcontext():
        churn = Churn(driver, options.batch, turn_of(driver, options.verb))
        churn.insert(options.backlog)
        return list(lines(name, churn, options))


def lines(name: str, churn: Churn, options: argparse.Namespace) -> Iterator[Stretch]:
    """Print the stretches, and give them."""
    done = 0
    for rounds in parts(options.jobs, options.batch):
        stretch = churn.stretch(rounds, done)
        done = stretch.jobs
        figures = f"{stretch.p50:>10.3f} {stretch.p95:>10.3f} {stretch.rate:>10,.0f}"
        print(f"{name:<20} {done:>10,} {figures}", flush=True)
        yield stretch


def turn_of(driver: PostgresDriver, verb: str) -> Turn | None:
    """Return the driver's combined verb, if that is to be used."""
    if verb == "claim":
        return None
    return driver.job_write_and_claim


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", default=EMBEDDED, help=f"a URL (default: {EMBEDDED})")
    parser.add_argument("--jobs", type=int, default=200_000, help="default: 200,000")
    parser.add_argument("--batch", type=int, default=50, help="jobs of a round (default: 50)")
    parser.add_argument("--backlog", type=int, default=1_000, help="jobs that wait, always")
    parser.add_argument(
        "--verb", choices=["claim", "turn"], default="claim",
        help="turn: settle and claim in one call, whose time is then what is told",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep the figures")
    options = parser.parse_args()
    if options.batch < 1 or options.jobs < 2 * options.batch:
        parser.error("--jobs has to be two batches at least")
    if options.backlog < options.batch:
        parser.error("--backlog has to be a batch at least")
    return options


def kept(
    options: argparse.Namespace, version: str, found: Mapping[str, list[Stretch]]
) -> dict[str, Any]:
    """Return what `plots.py` draws."""
    stretches = {name: list(map(asdict, some)) for name, some in found.items()}
    settings = {name: getattr(options, name) for name in ("verb", "batch", "backlog")}
    about = {"machine": machine(), "server": version}
    return {"snapshot": {**about, **settings, **stretches}}


def main() -> None:
    """Measure without and with a held snapshot, each on tables of its own."""
    assert __doc__ is not None
    options = arguments()
    print(__doc__.splitlines()[0])
    with empty(options.driver) as driver:
        version = server(driver)
    print(f"{machine()}; {version}; driver {options.driver}")
    print(f"verb {options.verb}, batches of {options.batch}, {options.backlog:,} waiting\n")
    print(f"{'snapshot':<20}" + "".join(f" {heading:>10}" for heading in HEADINGS))
    found = {
        "free": case("none", options, hold=False),
        "held": case("held", options, hold=True),
    }
    print()
    report(f"{options.verb} p50 at the end, no snapshot", [found["free"][-1].p50], "ms")
    most = BOUND if options.verb == "claim" else None
    report(f"{options.verb} p50 at the end, one held", [found["held"][-1].p50], "ms", most=most)
    if options.json is not None:
        options.json.write_text(json.dumps(kept(options, version, found), indent=1) + "\n")


if __name__ == "__main__":
    main()
