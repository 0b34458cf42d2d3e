"""A process that stops Gaffers in awkward moments: it says how long that takes, and what is left.

Its one argument is a JSON object: the scenes, and the conninfo of the server. It plays up to the
moment before the stops and says ``ready``; at the next line of its input all stop at once. It then
writes a line of what became of each.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict

import gaffer
from gaffer.driver import Driver
from gaffer_driver_memory import MemoryDriver, Storage
from gaffer_driver_postgres import PostgresDriver

LONG = 60.0
"""Seconds that what does not end goes on; longer than any stop."""
CREW = 2

settings: dict[str, Any] = json.loads(sys.argv[1])


class Scene:
    """One Gaffer on its way to a stop."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.name: str = facts["name"]
        self.way: str = facts["way"]
        self._job: str = facts["job"]
        self._shutdown: float = facts["shutdown"]
        self._grace: float | None = facts["grace"]
        self._wait: float = facts["wait"]
        self._storage = Storage() if facts["driver"] == "memory" else None
        self._chance = random.Random(self.name)
        self._go = threading.Event()
        self._inside = threading.Semaphore(0)
        self._returned: list[UUID] = []
        self._jobs = 0
        # Whoever gives a URL has the driver stopped, too.
        target = url() if self._storage is None and facts["url"] else self._driver()
        self.g = gaffer.Gaffer(target, hooks=[self._hook])

    def _driver(self) -> Driver:
        if self._storage is not None:
            return MemoryDriver(storage=self._storage)
        return PostgresDriver(settings["conninfo"])

    def _hook(self, event: gaffer.Event) -> None:
        wanted = {"caller": gaffer.JobInserted, "hook": gaffer.JobCompleted}.get(self.way)
        if wanted is not None and isinstance(event, wanted) and event.job.payload == "trigger":
            self.g.stop(self._grace)

    # -- before ------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Have jobs run, as many as can, and one wait."""
        if self.way == "early":
            return
        self._declare(self.name, self._work)
        self._declare(f"{self.name} trigger", lambda job: None)
        self._jobs = CREW + 1
        for _ in range(self._jobs):
            self._returned.append(self.g.insert(self.name, None).id)
        for _ in range(CREW):
            assert self._inside.acquire(timeout=LONG)

    def _declare(self, name: str, worker: gaffer.Worker) -> None:
        self.g.ensure_queue(
            name,
            worker=worker,
            interrupt=self._job == "swallows",
            max_workers=CREW,
            max_attempts=1,
            timeout=10 * LONG,
            shutdown_timeout=self._shutdown,
            prune={"interval": None},
        )

    def _work(self, job: gaffer.Job) -> None:
        self._inside.release()
        end = time.monotonic() + LONG
        if self.way == "job":
            self._go.wait(LONG)
            self.g.stop(self._grace)
        match self._job:
            case "stuck":
                threading.Event().wait(LONG)
            case "blocked":
                time.sleep(LONG)
            case "swallows":
                while time.monotonic() < end:
                    with contextlib.suppress(BaseException):
                        time.sleep(0.02)
            case "ends":
                while not gaffer.current().stopping:
                    time.sleep(0.02)

    # -- the stop ----------------------------------------------------------------------------------

    @property
    def promise(self) -> float:
        """The longest that what runs may take to end."""
        return self._shutdown if self._grace is None else min(self._shutdown, self._grace)

    def stop(self) -> float:
        """Let the weather last for a while, then stop; return how many seconds that took."""
        time.sleep(self._wait)
        began = time.monotonic()
        getattr(self, f"_by_{self.way}")()
        self.g.stop(self._grace)  # another one waits for the first
        return time.monotonic() - began

    def _by_plain(self) -> None:
        """Leave it to the stop behind."""

    def _by_twice(self) -> None:
        threading.Thread(target=self.g.stop, args=[self._grace], daemon=True).start()

    def _by_job(self) -> None:
        self._go.set()

    def _by_hook(self) -> None:
        self._trigger()

    def _by_caller(self) -> None:
        self._trigger()

    def _trigger(self) -> None:
        with contextlib.suppress(gaffer.GafferError):
            self.g.insert(f"{self.name} trigger", "trigger")
            while True:  # until the hook has stopped it
                self.g.info(self.name)
                time.sleep(0.01)

    def _by_signal(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self.g.stop(self._grace))
        signal.raise_signal(signal.SIGUSR1)

    def _by_early(self) -> None:
        """Stop while queues are declared and jobs inserted."""
        starting = threading.Thread(target=self._start, daemon=True)
        starting.start()
        time.sleep(self._chance.uniform(0, 0.1))

    def _start(self) -> None:
        with contextlib.suppress(gaffer.GafferError):
            self._declare(self.name, self._work)
            while True:
                self._returned.append(self.g.insert(self.name, None).id)
                time.sleep(0.002)

    # -- after -------------------------------------------------------------------------------------

    def left(self) -> dict[str, int]:
        """Return what another node finds, and can claim at once."""
        driver = self._driver()
        with gaffer.Gaffer(driver, work=False) as other:
            queue = other.ensure_queue(
                self.name, worker=lambda job: "again", max_workers=None, prune={"interval": None}
            )
            stored = queue.list()
            released = [job for job in stored if job.state is gaffer.JobState.AVAILABLE]
            while queue.poll():
                pass
            again = {job.id for job in queue.list(state="completed")}
        driver.stop()
        return {
            "released": len(released),
            "cost": sum(job.attempt > 0 or bool(job.errors) for job in released),
            "unclaimable": sum(job.id not in again for job in stored),
            "lost": len({*self._returned} - {job.id for job in stored}),
        }


def url() -> str:
    """Return the URL of the server."""
    given = {name: str(value) for name, value in conninfo_to_dict(settings["conninfo"]).items()}
    place = f"{given.pop('user')}@{given.pop('host')}:{given.pop('port')}/{given.pop('dbname')}"
    return f"postgresql://{place}?{urlencode(given)}"


def say(**facts: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Play the scenes."""
    scenes = [Scene(facts) for facts in settings["scenes"]]
    for scene in scenes:
        scene.prepare()
    say(ready=os.getpid())
    sys.stdin.readline()
    took: dict[str, float] = {}

    def stop(scene: Scene) -> None:
        took[scene.name] = scene.stop()

    calls: list[Callable[[], object]] = []
    for scene in scenes:
        if scene.way == "signal":  # whose handler runs in the main thread
            calls.append(lambda scene=scene: stop(scene))  # type: ignore[misc]
        else:
            threading.Thread(target=stop, args=[scene], daemon=True).start()
    for call in calls:
        call()
    deadline = time.monotonic() + LONG / 2
    while len(took) < len(scenes) and time.monotonic() < deadline:
        time.sleep(0.02)
    for scene in scenes:
        seconds = took.get(scene.name)
        left = scene.left() if settings["calm"] and seconds is not None else {}
        say(name=scene.name, seconds=seconds, promise=scene.promise, **left)
    os._exit(0)  # what is stuck is stuck


if __name__ == "__main__":
    main()
