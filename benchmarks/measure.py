"""What the benchmarks share: the machine's name, several runs, medians, one line each.

Figures wander with the machine and its load: compare ratios within one output, and believe
differences under a quarter only when they come again.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import gaffer

if TYPE_CHECKING:
    from gaffer_driver_postgres import PostgresDriver

__all__ = [
    "EMBEDDED",
    "arguments",
    "bound",
    "fresh",
    "machine",
    "rate",
    "report",
    "runs",
    "seconds",
    "server",
]


EMBEDDED = "postgres+embedded:///tmp/gaffer-bench"


def arguments(question: str, driver: str = "memory", **numbers: int) -> argparse.Namespace:
    """Return the options: ``--driver``, ``--runs``, and one for each of *numbers*."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--driver", default=driver, help=f"a name or a URL (default: {driver})")
    parser.add_argument("--runs", type=int, default=5, help="how often each case is measured")
    for name, value in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value:,}")
    options = parser.parse_args()
    print(question)
    print(f"{machine()}; driver {options.driver}; median (min-max) of {options.runs} runs\n")
    return options


def machine() -> str:
    """Return what the figures were measured on, its load at the start included."""
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {load:.1f}; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def server(driver: PostgresDriver) -> str:
    """Return what a started *driver* is connected to."""
    found = driver._connections.server
    assert found is not None
    major, minor = divmod(found.version, 10_000)
    return f"PostgreSQL {major}.{minor}"


@contextmanager
def fresh(driver: str) -> Iterator[gaffer.Gaffer]:
    """Give a Gaffer on empty storage, which stops at the end of the block."""
    with gaffer.Gaffer(driver=driver) as app:
        for name in app.orphaned_queues(driver):
            app.delete_queue(name, driver)
        yield app


def bound(driver: str, *, memory: float, postgres: float) -> float:
    """Return the bound for *driver*, a name or a URL."""
    return postgres if driver.startswith("postgres") else memory


def seconds(call: Callable[[], object]) -> float:
    """Return how long *call* takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def rate(number: int, call: Callable[[], object]) -> float:
    """Return how many per second, when *call* does *number* of them."""
    return number / seconds(call)


def runs(number: int, case: Callable[[], float]) -> list[float]:
    """Measure *case* several times."""
    return [case() for _ in range(number)]


def report(
    name: str, values: Sequence[float], unit: str, *, least: float | None = None,
    most: float | None = None,
) -> float:  # fmt: skip
    """Print a case's median and range, and whether it is within its bound; return the median."""
    median = statistics.median(values)
    digits = 0 if median >= 100 else 3
    text = f"{name:<44} {median:>12,.{digits}f} {unit:<7}"
    text += f" ({min(values):,.{digits}f}-{max(values):,.{digits}f})"
    if least is not None:
        text += f"  at least {least:,g}: {'met' if median >= least else 'MISSED'}"
    if most is not None:
        text += f"  at most {most:,g}: {'met' if median <= most else 'MISSED'}"
    print(text)
    sys.stdout.flush()
    return median
