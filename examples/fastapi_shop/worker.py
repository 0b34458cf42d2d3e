"""A process that works: `python -m fastapi_shop.worker`, as often as you like."""

from __future__ import annotations

import signal
from queue import SimpleQueue

import fastapi_shop.jobs  # noqa: F401  (declares the queues)
import gaffer
from fastapi_shop.database import engine


def main() -> None:
    """Work until SIGTERM or SIGINT."""
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: signals.put(number))
    gaffer.start()
    signals.get()
    gaffer.stop()
    engine.dispose()


if __name__ == "__main__":
    main()
