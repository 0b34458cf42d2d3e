"""The server does what it is asked, and its answer is lost on the wire.

For each verb many times, and in two ways: the connection breaks, or nothing is heard on it any
more until the driver's deadline. Nothing may be lost with the answer, nothing done twice, and no
job may stay with a node that does not know of it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import psycopg

from gaffer import (
    DriverUnavailable,
    Gaffer,
    InvalidTransition,
    Job,
    JobCancelled,
    JobCompleted,
    JobInserted,
    JobState,
)
from gaffer_driver_postgres import PostgresDriver
from tests.rig.proxy import Proxy
from tests.rig.server import own_server
from tests.rig.waiting import KEEP, PATIENCE, Recorder, until
from tests.trials.figures import Figure, Trial, at_most, exactly

LEASE = 20.0
_SILENCE = """
SELECT extract(epoch FROM clock_timestamp() - max(beat_at))::float8 FROM gaffer.nodes
"""


class Wire:
    """Two Gaffers on one database: `far`, behind a proxy, works; `near` sees what is so."""

    def __init__(self, near: Gaffer, far: Gaffer, proxy: Proxy, admin: psycopg.Connection) -> None:
        self.near, self.far = near, far
        self.proxy = proxy
        self._admin = admin
        self._seen = Recorder()
        self._runs: Counter[UUID] = Counter()
        self._given: list[Job] = []
        self.breaks = True
        self.lost = 0
        self.longest_silence = 0.0
        far.configure(hooks=[self._seen])
        for name, forward in {
            "next": {},
            "still": {"cancelled": "next"},
            "work": {},
            "passing": {"completed": "next"},
        }.items():
            near.ensure_queue(name, prune=KEEP)
            worker = self._work if name in ("work", "passing") else None
            far.ensure_queue(name, worker=worker, max_workers=5, prune=KEEP, forward=forward)

    def _work(self, job: Job) -> str:
        self._runs[job.id] += 1
        return f"done {job.payload}"

    @contextmanager
    def losing(self, *, request: bytes = b"", answer: bytes = b"") -> Iterator[None]:
        """Lose the answer to one request, or one answer, in the block."""
        self.proxy.lose_answer(request=request, answer=answer)
        cutting = threading.Thread(target=self._cut, daemon=True)
        cutting.start()
        yield
        with suppress(AssertionError):  # the figures say how many were lost
            until(self.proxy.lost.is_set)
            self.lost += 1
        cutting.join(PATIENCE)
        self.proxy.heal()

    def _cut(self) -> None:
        if self.breaks and self.proxy.lost.wait(PATIENCE):
            self.proxy.cut()

    def warm_up(self) -> None:
        """Have a job worked, so that the node beats from now on."""
        self._worked([self.near.insert("work", "the first")])

    # -- a round of each verb ----------------------------------------------------------------------

    def insert(self, mark: str) -> None:
        """Insert a job."""
        with self.losing(request=mark.encode()):
            self._given.append(self.far.insert("still", mark))

    def insert_many(self, mark: str) -> None:
        """Insert some."""
        with self.losing(request=mark.encode()):
            self._given += self.far.insert_many("still", [mark] * 5)

    def claim(self, mark: str) -> None:
        """Have some claimed."""
        with self.losing(answer=mark.encode()):
            self._worked(self.near.insert_many("work", [mark] * 3))

    def settle(self, mark: str) -> None:
        """Have one settled."""
        with self.losing(request=b"done " + mark.encode()):
            self._worked([self.near.insert("work", mark)])

    def forward(self, mark: str) -> None:
        """Have one settled and forwarded."""
        with self.losing(request=b"done " + mark.encode()):
            self._worked([self.near.insert("passing", mark)])

    def _worked(self, jobs: list[Job]) -> None:
        self._given += jobs
        ids = {job.id for job in jobs}
        with suppress(AssertionError):  # the figures say what is missing
            until(lambda: ids <= {event.job.id for event in self._seen.of(JobCompleted)})

    def cancel(self, mark: str) -> None:
        """Cancel one, and again when there is no answer."""
        job = self.near.insert("still", mark)
        self._given.append(job)
        with self.losing(request=job.id.hex.encode() + b".*cancelled"):
            for _ in range(2):
                with suppress(DriverUnavailable, InvalidTransition):
                    self.far.cancel("still", job.id)

    def beat(self, mark: str) -> None:
        """Have the node beat; see for how long storage hears none."""
        with self.losing(request=rb"far-\d+-"):
            until(self.proxy.lost.is_set)
            until(lambda: self._silence() > 0.1)
            until(lambda: self._silence() < 0.1)

    def _silence(self) -> float:
        [seconds] = self._admin.execute(_SILENCE).fetchone() or [0.0]
        self.longest_silence = max(self.longest_silence, seconds)
        return float(seconds)

    # -- what it came to ---------------------------------------------------------------------------

    def figures(self) -> list[Figure]:
        """Return what became of the jobs."""
        stored = {name: self.near.list(name) for name in ("still", "work", "passing", "next")}
        every = [job for name in ("still", "work", "passing") for job in stored[name]]
        given = {job.id for job in self._given}
        ran = [job for name in ("work", "passing") for job in stored[name]]
        wrong = [job for job in ran if (job.state, job.attempt) != (JobState.COMPLETED, 1)]
        sources = Counter(job.payload["id"] for job in stored["next"])
        ended = [job for job in stored["still"] if job.state is JobState.CANCELLED]
        expected = {str(job.id) for job in [*ended, *stored["passing"]]}
        told = Counter(
            (type(event), event.job.id)
            for kind in (JobInserted, JobCompleted, JobCancelled)
            for event in self._seen.of(kind)
        )
        return [
            exactly("jobs lost", len(given - {job.id for job in every}), 0),
            exactly("jobs doubled", len(every) - len(given), 0),
            exactly("jobs that ran twice", sum(n > 1 for n in self._runs.values()), 0),
            exactly("jobs without their outcome, or left executing", len(wrong), 0),
            exactly("forwards lost", len(expected - sources.keys()), 0),
            exactly("forwards doubled", sources.total() - len(sources), 0),
            exactly("events that hooks were told twice", sum(n > 1 for n in told.values()), 0),
            at_most("the longest that no beat was stored", self.longest_silence, LEASE, " s"),
        ]


VERBS: dict[str, Callable[[Wire, str], None]] = {
    "insert": Wire.insert,
    "insert_many": Wire.insert_many,
    "claim": Wire.claim,
    "settle": Wire.settle,
    "forward": Wire.forward,
    "cancel": Wire.cancel,
    "beat": Wire.beat,
}


@contextmanager
def wire(timeout: float) -> Iterator[Wire]:
    """Give a wire to a server of its own; *timeout* is the deadline of what is behind it."""
    with own_server() as server, psycopg.connect(server.conninfo, autocommit=True) as admin:
        here = PostgresDriver(server.conninfo)
        here.start()
        with Proxy(server.conninfo) as proxy, Gaffer(here, work=False) as near:
            there = PostgresDriver(proxy.conninfo, timeout=timeout)
            far = Gaffer(there, name="far", beat_interval=0.2, lease=LEASE)
            there.start()
            try:
                yield Wire(near, far, proxy, admin)
            finally:
                proxy.heal()
                far.stop(0)
                there.stop()
        here.stop()


def run(breaks: int, silences: int, timeout: float) -> list[Figure]:
    """Lose an answer of each verb: *breaks* times with the connection, *silences* in silence."""
    with wire(timeout) as made:
        made.warm_up()
        lost = []
        for name, verb in VERBS.items():
            before = made.lost
            for number in range(breaks + silences):
                made.breaks = number < breaks
                verb(made, f"{name} {number}!")
            lost.append(exactly(f"answers to {name} lost", made.lost - before, breaks + silences))
        return [*lost, *made.figures()]


TRIAL = Trial(
    run=run,
    full={"breaks": 100, "silences": 10, "timeout": 1.0},
    short={"breaks": 2, "silences": 0, "timeout": 1.0},
)
