"""The shops of `examples`, run as whoever deploys them does.

Each is a web server and processes that work. They are asked over HTTP, and send their mail to a
`Post` of the test's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import psycopg

from tests.rig.waiting import free_port, until

EXAMPLES = Path(__file__).parents[2] / "examples"
LEASE = 1.0
PATIENCE = 60.0
"""Seconds to wait for a process or an answer: all shops open at once, on a machine that is busy."""

Program = Sequence[str]
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Framework:
    """What a shop is started by: programs, as words after ``python -m``."""

    name: str
    prepare: Program
    web: Program  # `PORT` stands for the port
    work: Program
    ended: int = 0  # how its web server ends when it is told to


FRAMEWORKS = [
    Framework(
        "flask",
        ["flask_shop.database"],
        ["gunicorn", "--preload", "--workers=2", "--bind=127.0.0.1:PORT", "flask_shop.app:app"],
        ["gaffer", "work", "flask_shop.jobs"],
    ),
    Framework(
        "django",
        ["django_shop", "migrate"],
        ["gunicorn", "--threads=4", "--bind=127.0.0.1:PORT", "django_shop.wsgi"],
        ["gaffer", "work", "django_shop.worker:queues"],
    ),
    Framework(
        "fastapi",
        ["fastapi_shop.database"],
        ["uvicorn", "--port=PORT", "fastapi_shop.app:app"],
        ["gaffer", "work", "fastapi_shop.jobs"],
        ended=-15,  # uvicorn shuts down, and then lets the signal end it
    ),
]


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    body: Any
    location: str | None = None


def ask(url: str, data: object = None) -> Answer:
    """GET *url*, or POST it *data* as JSON."""
    body = None if data is None else json.dumps(data).encode()
    request = Request(url, body, {"Content-Type": "application/json"})
    try:
        response = urlopen(request, timeout=PATIENCE)
    except HTTPError as error:
        response = error
    with response:
        text = response.read().decode()
        kind = response.headers["Content-Type"]
        said = json.loads(text) if kind == "application/json" else text
        return Answer(response.status, said, response.headers["Location"])


class Post:
    """Stands for the provider that sends e-mail: keeps what it is given, by its key.

    While it is *closed* nobody who gives it something is let go.
    """

    def __init__(self) -> None:
        self.given: list[tuple[str, str]] = []
        self._closed = False
        self._changed = Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/messages"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _handler(post) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                post._take(self.headers["Idempotency-Key"], message["text"])
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *values: object) -> None:
                pass

        return Handler

    def _take(self, key: str, text: str) -> None:
        with self._changed:
            self.given.append((key, text))
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._closed, PATIENCE)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Let nobody go within the block who has given something."""
        self._closed = True
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    def wait(self, number: int) -> list[tuple[str, str]]:
        """Return what it was given, as soon as that are *number* messages."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.given) >= number, PATIENCE)
            assert came, f"waited in vain for {number} messages; got {self.given}"
            return list(self.given)

    def stop(self) -> None:
        """Close the doors."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)


@dataclass
class Shop:
    """A shop that is open: its web server, and those who work."""

    framework: Framework
    database: str
    log: Path

    def __post_init__(self) -> None:
        self.post = Post()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.started: list[Process] = []
        self.workers: list[Process] = []

    def open(self) -> None:
        """Make the tables, start all programs, and return when the web server answers."""
        tables = self.start(self.framework.prepare)
        port = self.url.rpartition(":")[2]
        self.web = self.start([word.replace("PORT", port) for word in self.framework.web])
        self.work()
        assert tables.wait(PATIENCE) == 0, self.log.read_text()
        until(self._answers, PATIENCE)

    def _answers(self) -> bool:
        assert self.web.poll() is None, self.log.read_text()
        try:
            return ask(f"{self.url}/health").status == 200
        except URLError:
            return False

    def start(self, program: Program) -> Process:
        """Start one of its programs."""
        others = ("GAFFER_", "PYTEST", "PG", "DJANGO_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}
        settings = {
            "DATABASE_URL": self.database,
            "MAIL_URL": self.post.url,
            "LEASE": str(LEASE),
        }
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", *program],
                cwd=EXAMPLES,
                env={**environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.started.append(started)
        return started

    def work(self) -> Process:
        """Start one more process that works."""
        self.workers.append(self.start(self.framework.work))
        return self.workers[-1]

    def replace_worker(self) -> None:
        """Kill the process that works, in the middle of what it does, and start another."""
        worker = self.workers.pop()
        worker.kill()
        worker.wait(PATIENCE)
        self.work()

    def order(self, item: str) -> str:
        """Order something; return where its status is."""
        answer = ask(f"{self.url}/orders", {"item": item})
        assert answer.status == 201, answer
        assert answer.location is not None
        return f"{self.url}{answer.location}"

    def wait_for_receipt(self, place: str) -> None:
        """Wait until an order says that its receipt is sent."""
        until(lambda: ask(place).body["receipt"] == "sent", PATIENCE)

    def jobs(self) -> int:
        """Return how many jobs are stored."""
        with psycopg.connect(self.database) as connection:
            [number] = connection.execute("SELECT count(*) FROM gaffer.jobs").fetchone() or [0]
        return int(number)

    def close(self) -> None:
        """End what is left, at once."""
        for process in self.started:
            process.kill()
            process.wait(PATIENCE)
        self.post.stop()
