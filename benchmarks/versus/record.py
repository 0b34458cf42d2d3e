"""What the jobs of this process did: each start, by the number of its job. Any thread writes."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

__all__ = ["RECORD", "Record", "run", "run_async"]

Payload = dict[str, Any]


class Record:
    """The starts of jobs, in order; *expected* of them set `full`."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, float]] = []
        self.expected = 0
        self.nap = 0.0  # seconds that each job sleeps
        self.full = threading.Event()

    def __call__(self, payload: Payload) -> None:
        """Write down that the job of *payload* starts now."""
        # CLOCK_MONOTONIC, which all processes of the machine have in common.
        self.starts.append((payload["n"], time.monotonic()))
        if len(self.starts) >= self.expected:  # whoever appends last sees it
            self.full.set()


RECORD = Record()


def run(payload: Payload) -> None:
    """Be the job of libraries that call functions."""
    RECORD(payload)
    if RECORD.nap:
        time.sleep(RECORD.nap)


async def run_async(payload: Payload) -> None:
    """Be the job of libraries that await coroutines."""
    RECORD(payload)
    if RECORD.nap:
        await asyncio.sleep(RECORD.nap)
