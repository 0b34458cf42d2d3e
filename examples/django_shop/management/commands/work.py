"""`python -m django_shop work`: a process that works jobs; as many of them as you like."""

from __future__ import annotations

import signal
from queue import SimpleQueue
from typing import Any

from django.core.management.base import BaseCommand

from django_shop.jobs import queues


class Command(BaseCommand):
    """Works until it is told to end."""

    help = "Works jobs until it gets SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        """Work."""
        signals: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: signals.put(number))
        queues().start()
        signals.get()
        queues().stop()
