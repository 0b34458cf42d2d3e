"""What the pictures show, measured on PostgreSQL: a section of figures for each picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from _plots_processes import WORKERS, drain
from measure import fresh, machine, rate, server
from postgres_claims import PER_ROUND, claim, fill, timed

import gaffer
from gaffer.job import Complete
from gaffer.machine import settle
from gaffer_driver_postgres import PostgresDriver

__all__ = ["SECTIONS", "section"]

BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
WORKER_NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 400)
ROUNDS = 200
"""Claims of a batch, at the most."""
CLAIMED = 10
"""Jobs of a claim of which the backlog is varied."""
DUE = 1_000
"""Jobs that wait beside those scheduled for later, and the smallest backlog."""

Points = dict[str, list[float]]
"""What the runs came to, by x."""


def section(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one section, and return it."""
    with fresh(options.driver) as app:
        version = server(_driver(app, "bench"))
    figures = SECTIONS[name](options)
    return {"machine": machine(), "server": version, **figures}


def _driver(app: gaffer.Gaffer, queue: str) -> PostgresDriver:
    driver = app.ensure_queue(queue).conf.driver
    assert isinstance(driver, PostgresDriver)
    return driver


def _measured(
    name: str, runs: int, xs: Sequence[int], case: Callable[[int], float], digits: int = 0
) -> Points:
    """Measure *case* for all of *xs*, in turns, so that a slow spell hits all of them."""
    points: Points = {str(x): [] for x in xs}
    for run in range(runs):
        for x in xs:
            points[str(x)].append(round(case(x), digits or None))
        print(f"{name}: run {run + 1} of {runs}", flush=True)
    return points


# -- the rate by the size of a batch ---------------------------------------------------------------


def _batch(options: argparse.Namespace) -> Mapping[str, Any]:
    with fresh(options.driver) as app:
        driver = _driver(app, "batch")
        batches = _measured(
            "batches", options.runs, BATCHES, lambda size: _through(driver, size, options.jobs)
        )
    workers = _measured(
        "max_workers",
        options.runs,
        WORKER_NUMBERS,
        lambda number: _worked(options.driver, number, options.jobs),
    )
    return {"batches": batches, "workers": workers}


def _through(driver: PostgresDriver, size: int, jobs: int) -> float:
    """Return how many jobs per second are claimed and settled, so many at once."""
    rounds = max(5, min(ROUNDS, jobs // size))
    fill(driver, "batch", rounds * size, "available", None)

    def work() -> None:
        for _ in range(rounds):
            claimed = claim(driver, "batch", size, None)
            assert len(claimed) == size
            now = driver.now()
            driver.job_write([settle(job, Complete(), now=now) for job in claimed])

    found = rate(rounds * size, work)
    while driver.job_prune("batch", {gaffer.JobState.COMPLETED: "all"}, 1_000):
        pass
    return found


def _worked(url: str, workers: int, jobs: int) -> float:
    """Return how many jobs per second a queue gets done, from claim to completed."""
    some = max(1_000, min(jobs, 500 * workers))
    with fresh(url) as app:
        queue = app.ensure_queue("bench", worker=lambda job: None, max_workers=workers)
        queue.pause()
        queue.insert_many(range(some))

        def work() -> None:
            queue.resume()
            queue.flush()

        return rate(some, work)


# -- the time of a claim by the backlog ------------------------------------------------------------


def _backlog(options: argparse.Namespace) -> Mapping[str, Any]:
    sizes = [DUE * 10**n for n in range(10) if DUE * 10**n <= options.waiting]
    found: dict[str, Points] = {"waiting": {}, "scheduled": {}}
    with fresh(options.driver) as app:
        driver = _driver(app, "waiting")
        fill(driver, "scheduled", DUE, "available", None)
        before = 0
        for size in sizes:
            fill(driver, "waiting", size - before, "available", None)
            fill(driver, "scheduled", size - before, "scheduled", None)
            before = size
            for queue, points in found.items():
                points |= _measured(
                    f"{size:,} {queue}",
                    options.runs,
                    [size],
                    lambda _, queue=queue: _claimed(driver, queue),  # type: ignore[misc]
                    digits=4,
                )
    return found


def _claimed(driver: PostgresDriver, queue: str) -> float:
    """Return the milliseconds of a claim, and leave as many jobs as there were."""
    took = timed(driver, queue, CLAIMED)
    fill(driver, queue, CLAIMED * PER_ROUND, "available", None)
    return took


# -- the rate by the number of processes -----------------------------------------------------------


def _processes(options: argparse.Namespace) -> Mapping[str, Any]:
    numbers = [n for n in (1, 2, 3, 4, 6, 8) if n <= options.processes]
    rates = _measured(
        "processes",
        options.runs,
        numbers,
        lambda number: drain(options.driver, number, options.jobs),
    )
    return {"max_workers": WORKERS, "rates": rates}


SECTIONS: Mapping[str, Callable[[argparse.Namespace], Mapping[str, Any]]] = {
    "batch": _batch,
    "processes": _processes,
    "backlog": _backlog,  # the last one: it leaves much for the server to clear up
}
