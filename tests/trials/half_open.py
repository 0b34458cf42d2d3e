"""A network that takes everything in and passes nothing on, as behind a middlebox that forgot us.

No keepalive notices. Every call has to end at its deadline nevertheless, in silence both ways and
each one way. When the network is back, work goes on soon: what ended meanwhile is written, what
waited is claimed, and notifications are heard.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import inf
from uuid import UUID

from gaffer import DriverUnavailable, Gaffer, Job, JobState
from gaffer.driver import JobFilter, evolve
from gaffer_driver_postgres import PostgresDriver
from tests.postgres.verbs import claim, completed
from tests.rig.fleet import Fleet, fleet
from tests.rig.proxy import Proxy
from tests.rig.server import own_server
from tests.rig.waiting import PATIENCE, together, until
from tests.trials.figures import Figure, Trial, at_most, exactly

OWN = 5.0
"""The driver's deadline for beats and listening, which nobody waits for."""
SIDES: dict[str, dict[str, bool]] = {
    "both ways": {},
    "to the server": {"down": False},
    "from the server": {"up": False},
}

Call = Callable[[PostgresDriver], object]


class Heard(logging.Handler):
    """Notes when the driver's hub notices that nobody answers."""

    def __init__(self) -> None:
        super().__init__()
        self.noticed = threading.Event()
        self._log = logging.getLogger("gaffer.postgres.hub")
        self._log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note it."""
        self.noticed.set()

    def wait(self) -> None:
        """Wait until it has noticed, and raise what a call would."""
        assert self.noticed.wait(PATIENCE)
        self._log.removeHandler(self)
        raise DriverUnavailable("noticed")


def verbs(job: Job) -> dict[str, Call]:
    """Return the calls of a driver; *job* executes."""
    another = evolve(job, id=UUID(int=1), revision=0, state=JobState.AVAILABLE, attempted_at=None)
    return {
        "claim": claim,
        "settle": lambda driver: driver.job_write([completed(driver, job)]),
        "insert": lambda driver: driver.job_write([another]),
        "get": lambda driver: driver.job_get(job.id),
        "list": lambda driver: driver.job_list(JobFilter(queue="q")),
        "delete": lambda driver: driver.job_delete(job.id),
        "stats": lambda driver: driver.job_stats("q"),
        "pause": lambda driver: driver.queue_pause("q", True),
        "prune": lambda driver: driver.job_prune("q", {JobState.FAILED: "all"}, 10),
        "orphans": lambda driver: driver.job_orphans(None, 20.0),
        "leave": lambda driver: driver.node_leave("somebody"),
    }


class Silence:
    """Calls behind *proxy*, each by a driver of its own, whose connections are open before."""

    def __init__(self, proxy: Proxy, timeout: float) -> None:
        self._proxy = proxy
        self._timeout = timeout
        self.longest: dict[str, float] = {}
        self.answered: list[str] = []

    @contextmanager
    def driver(self) -> Iterator[PostgresDriver]:
        """Give a started driver behind the proxy."""
        made = PostgresDriver(self._proxy.conninfo, timeout=self._timeout)
        try:
            made.start()
            yield made
        finally:
            made.stop()

    def measure(self, name: str, call: Call, before: Call, silent: threading.Barrier) -> None:
        """Make a call in silence, after *before* in none."""
        with self.driver() as driver:
            before(driver)
            silent.wait(PATIENCE)  # all are ready
            silent.wait(PATIENCE)  # it is silent
            began = time.monotonic()
            try:
                call(driver)
                self.answered.append(name)
            except DriverUnavailable:
                pass
            seconds = time.monotonic() - began
            self.longest[name] = max(self.longest.get(name, 0.0), seconds)

    def pass_by(self, sides: dict[str, bool], calls: dict[str, Call], *, own: bool) -> None:
        """Make all *calls* in silence on some sides; with *own* a beat, and listen, too."""
        every: dict[str, tuple[Call, Call]] = {
            name: (call, lambda driver: driver.queue_list()) for name, call in calls.items()
        }
        if own:
            heard = Heard()
            every["beat"] = (beat, beat)
            every["listen"] = (lambda driver: heard.wait(), listen)
        silent = threading.Barrier(len(every) + 1)
        measures = [
            partial(self.measure, name, call, before, silent)
            for name, (call, before) in every.items()
        ]

        def fall_silent() -> None:
            silent.wait(PATIENCE)
            self._proxy.silence(**sides)
            silent.wait(PATIENCE)

        together([*measures, fall_silent], 3 * PATIENCE)


def beat(driver: PostgresDriver) -> None:
    """Beat."""
    driver.node_beat("here")


def listen(driver: PostgresDriver) -> None:
    """Have the driver listen and look, and wait until it does."""
    woken = threading.Event()
    driver.subscribe("q", 0.1, woken.set)
    assert woken.wait(PATIENCE)


class Work:
    """A process that works behind the proxy, and how soon it is back at it."""

    def __init__(self, nodes: Fleet, proxy: Proxy) -> None:
        self._nodes = nodes
        self._proxy = proxy
        self._queues = [nodes.g.ensure_queue(name, timeout=3600.0) for name in ("held", "heard")]
        self.worker = nodes.work(proxy.conninfo, held={}, heard={"poll_interval": 30.0})
        self.resumed: list[float] = []
        self.heard: list[float] = []

    def begin(self) -> None:
        """Have it run a job that goes on through the silence."""
        self.worker.hold()
        job = self._queues[0].insert("hold")
        until(lambda: str(job.id) in self._nodes.starts())

    def end(self) -> None:
        """Let the job end in silence, and another wait; heal, and measure."""
        held, heard = self._queues
        self.worker.go()
        until(lambda: len(self.worker.said("ended")) == self.worker_jobs())
        waiting = held.insert(0.0)
        self._proxy.heal()
        healed_at = time.monotonic()
        fresh = heard.insert(0.0)
        with suppress(AssertionError):  # the figures say so
            until(lambda: not held.list(state="incomplete") and not heard.list(state="incomplete"))
        self.resumed.append(self._completed(str(waiting.id)) - healed_at)
        self.heard.append(self._completed(str(fresh.id)) - healed_at)

    def worker_jobs(self) -> int:
        """Return how many jobs have begun there."""
        return len(self.worker.said("began"))

    def _completed(self, id: str) -> float:
        def told() -> list[float]:
            lines = self.worker.said("event", "job.complete")
            return [line["at"] for line in lines if id in line["jobs"]]

        with suppress(AssertionError):  # the figures say so
            until(told)  # it is stored before the process says it
        return min(told(), default=inf)

    def wrong(self) -> int:
        """Return how many jobs have not completed in one attempt."""
        jobs = [job for queue in self._queues for job in queue.list()]
        return sum((job.state, job.attempt) != (JobState.COMPLETED, 1) for job in jobs)


def insert_all_the_same(proxy: Proxy, timeout: float) -> float:
    """Return after how many seconds a program's insert into silence gives up."""
    driver = PostgresDriver(proxy.conninfo, timeout=timeout)
    driver.start()
    with Gaffer(driver, work=False) as g:
        queue = g.ensure_queue("q")
        proxy.silence()
        began = time.monotonic()
        with suppress(DriverUnavailable):
            queue.insert(None)
        seconds = time.monotonic() - began
    proxy.heal()
    driver.stop()
    return seconds


def run(timeout: float, spare: float, sides: list[str], long: bool) -> list[Figure]:
    """Fall silent on each of *sides*; calls have *timeout* and *spare* seconds to end.

    With *long* also those that have a deadline of their own.
    """
    with own_server() as server, fleet(server.conninfo) as nodes, Proxy(server.conninfo) as proxy:
        nodes.g.ensure_queue("q").insert_many([None] * 10)
        calls = verbs(claim(nodes.driver)[0])
        silence, work = Silence(proxy, timeout), Work(nodes, proxy)
        work.worker.wait_ready()
        for side in sides:
            work.begin()
            silence.pass_by(SIDES[side], calls, own=long)
            work.end()
        insert = insert_all_the_same(proxy, timeout) if long else 0.0
        most = {"beat": OWN, "listen": OWN, "leave": 2.0}
        return [
            *[
                at_most(f"the longest {name}", seconds, most.get(name, timeout) + spare, " s")
                for name, seconds in silence.longest.items()
            ],
            exactly("calls that were answered in silence", len(silence.answered), 0),
            at_most("until what waited was done", max(work.resumed), 5.0, " s"),
            at_most("until notifications were heard", max(work.heard), 5.0, " s"),
            exactly("jobs without their outcome", work.wrong(), 0),
            at_most("a program's insert gave up after", insert, 20.0 + timeout + spare, " s"),
            exactly("processes that ended", nodes.dead(), 0),
        ]


TRIAL = Trial(
    run=run,
    full={"timeout": 10.0, "spare": 1.0, "sides": list(SIDES), "long": True},
    short={"timeout": 2.0, "spare": 3.0, "sides": ["both ways"], "long": False},
)
