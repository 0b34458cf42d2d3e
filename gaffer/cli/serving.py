"""What a worker process says of itself over HTTP: ``/live``, ``/ready``, ``/metrics``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeAlias

from gaffer import Gaffer
from gaffer.cli.exits import UsageError

__all__ = ["Answer", "answers", "metrics", "served"]

Answer: TypeAlias = tuple[int, str, bytes]
"""Status, content type, body."""

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_LACKING = b"the metrics need prometheus-client: pip install 'gaffer-queue[prometheus]'\n"


def answers(g: Gaffer) -> dict[str, Callable[[], Answer]]:
    """Return what *g* answers on each path. Call it before *g* works: it adds hooks."""

    def live() -> Answer:
        health = g.health(timeout=None)
        return 200 if health.live else 503, _JSON, json.dumps(asdict(health)).encode()

    def ready() -> Answer:
        health = g.health()
        return 200 if health.ready else 503, _JSON, json.dumps(asdict(health)).encode()

    return {"/live": live, "/ready": ready, "/metrics": metrics(g)}


def metrics(g: Gaffer) -> Callable[[], Answer]:
    """Have the queues of *g* counted; return what gives the page of all metrics there are."""
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

        from gaffer.contrib.prometheus import EventMetrics, StateCollector
    except ImportError:
        return lambda: (501, _TEXT, _LACKING)
    try:
        hook = EventMetrics()
    except ValueError:  # the program has its own
        pass
    else:
        for name, conf in g.list_queues().items():
            g.update_queue(name, hooks=[*conf.hooks, hook])
    with suppress(ValueError):
        REGISTRY.register(StateCollector(g))
    return lambda: (200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))


@contextmanager
def served(g: Gaffer, host: str, port: int) -> Iterator[int]:
    """Serve *g* on *host* and *port* within the block; give the port, for 0 one that is free.

    Raise `UsageError` if it cannot be had.
    """
    paths = answers(g)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = paths.get(self.path.partition("?")[0].rstrip("/"))
            status, kind, body = answer() if answer else (404, _TEXT, _known(paths))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Say nothing: probes come every second."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise UsageError(f"--health-port {port}: cannot listen on {host}: {error}") from None
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="gaffer:health", daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _known(paths: dict[str, Callable[[], Answer]]) -> bytes:
    return f"there are {', '.join(paths)}\n".encode()
