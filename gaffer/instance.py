"""`Gaffer`: every verb, by the name of a queue. The module `gaffer` has the methods of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, Literal, TypeAlias, TypeVar, Unpack, overload
from uuid import UUID

from gaffer import checks, selection
from gaffer.codec import shown
from gaffer.conf import (
    Duration,
    JobOptions,
    NewJob,
    OnConflict,
    check_on_conflict,
    check_option,
)
from gaffer.declaring import Queues
from gaffer.diagnosis import Why, why
from gaffer.driver import Driver
from gaffer.errors import InvalidJob, UnknownJob
from gaffer.execution import shielded
from gaffer.futures import ResultFuture
from gaffer.hand import Claiming
from gaffer.info import QueueInfo, Redriven
from gaffer.job import JSON, Job, JobState, StateStats
from gaffer.queue import RAISE
from gaffer.tasks import Declares

__all__ = ["Gaffer"]

T = TypeVar("T")
Jobs: TypeAlias = list[Job]
Ids: TypeAlias = list[UUID]


class Gaffer(Queues, Declares):
    """Queues and their drivers, for one process.

    *driver* is the default for queues declared without one: a `Driver`, a name (``"memory"``), a
    URL whose scheme is the name, or `None` for the environment's ``GAFFER_DRIVER``, else memory.
    The other arguments are those of `configure`; *clock* is for tests. Nothing starts before the
    first queue is declared. As a context manager it stops itself at the end.
    """

    # -- jobs ----------------------------------------------------------------------------------

    @shielded
    def insert(
        self, queue: str, payload: JSON, *, connection: Any = None,
        on_conflict: OnConflict = "return", **options: Unpack[JobOptions],
    ) -> Job:  # fmt: skip
        """Insert a job; return it. When this returns, the job is stored.

        *payload* is what JSON can keep: `None`, `bool`, `int`, `float`, `str`, lists and dicts with
        string keys; `InvalidPayload` names the place of anything else. Options that are left out
        or `None` are the queue's:

        - *id*: a `UUID` of your own; `Conflict` if it is taken;
        - *kind*: which worker of a mapping works it; *chain*: jobs of one chain run one at a time;
        - *priority*, *max_attempts*, *timeout*, *backoff*, *shutdown_timeout*: as for queues;
        - *scheduled_at* (an aware datetime) or *delay* (seconds): not to be claimed before;
        - *unique*: a key that one job of the queue holds at a time, over all processes: while it is
          available or executing, and with *unique_for* at least so many seconds from its insert,
          whether or not it has ended or was pruned by then.

        If another job holds the key nothing is inserted, and with *on_conflict* ``"return"`` that
        job is returned as it is now; ``"raise"`` raises `JobExists`; ``"replace"`` gives it this
        payload and these options, if it is available and of the same chain. Where there is no job
        to return (it was pruned) or to replace, `JobExists` is raised.

        With *connection*, one of the driver's kind, the job is part of the transaction that is
        open there, and exists exactly if that commits; hooks hear of it at once. `InvalidJob` for
        unknown or bad options; `UnknownQueue`; `DriverUnavailable` if storage does not answer
        after some tries, and then the same insert with the same *id* may safely be repeated.
        """
        if on_conflict != "return":
            check_on_conflict(on_conflict)
        return self._supervisor(queue).insert(payload, options, connection, on_conflict)

    @overload
    def insert_many(
        self, queue: str, payloads: Iterable[JSON | NewJob], *, connection: Any = None,
        on_conflict: OnConflict = "return", returning: Literal[True] = True,
        **options: Unpack[JobOptions],
    ) -> Jobs: ...  # fmt: skip
    @overload
    def insert_many(
        self, queue: str, payloads: Iterable[JSON | NewJob], *, connection: Any = None,
        on_conflict: OnConflict = "return", returning: Literal[False],
        **options: Unpack[JobOptions],
    ) -> int: ...  # fmt: skip
    @shielded
    def insert_many(
        self, queue: str, payloads: Iterable[Any], *, connection: Any = None,
        on_conflict: OnConflict = "return", returning: bool = True, **options: Unpack[JobOptions],
    ) -> Any:  # fmt: skip
        """Insert many jobs; return them in order, or with *returning* false only how many.

        A list is one write: all jobs or none. An iterator is taken in batches of 1,000, each of
        which is one write; without *returning* only one of them is in memory at a time. Items are
        payloads, or `NewJob` with options of their own; *options* hold for all others. No payloads,
        no write. Raises as `insert` does.

        *on_conflict*: where a key is held, by another job or by one before in the list,
        ``"return"`` has the job that holds it stand in its place, and inserts the others;
        ``"raise"`` inserts none.
        """
        how, supervisor = check_on_conflict(on_conflict), self._supervisor(queue)
        return supervisor.insert_many(payloads, options, connection, how, returning=returning)

    @shielded
    def submit(
        self, queue: str, payload: JSON, **options: Unpack[JobOptions]
    ) -> ResultFuture[JSON]:
        """Insert a job as `insert` does; return the future of its result.

        The future is one of `concurrent.futures`, so `wait` and `as_completed` take it; see
        `ResultFuture` for what it raises. One thread waits for all jobs of this Gaffer. What this
        Gaffer works is told at once, and before it can be pruned. What others work is found within
        half a second, or a quarter of the time it took: have all of them keep what has ended for so
        long (`prune`), or it may be gone.

        There is no *connection*: until a transaction commits there is nothing to wait for. Raise
        `InvalidJob` for that, `RuntimeError` if the system gives no thread to wait with; else as
        `insert`, and then nobody waits.
        """
        return self._submit(queue, payload, options)

    @shielded
    def future(self, queue: str, job: Job | UUID) -> ResultFuture[JSON]:
        """Return the future of the result of a job that was inserted earlier, here or elsewhere.

        By itself or by its id; whether it is there is found out behind this call, and if not, the
        future raises `ResultGone`. If the job given has ended, the future is resolved already.
        Raise `InvalidJob` for a job of another queue, or what is no id.
        """
        return self._future(queue, job)

    @shielded
    def result(self, queue: str, job: Job | UUID, timeout: Duration | None = None) -> JSON:
        """Wait for the end of a job, here or elsewhere, and return its result.

        Raise `ResultFailed`, `ResultCancelled` or `ResultGone` if it has none, and `Stopped` if
        this Gaffer is stopped meanwhile. Raise `ResultTimeout` after *timeout* seconds (`None`:
        wait for ever), or at once when called by the job itself, or one that it has to wait for.
        """
        return self._result(queue, job, timeout)

    @shielded
    def _submit(
        self, queue: str, payload: JSON, options: Mapping[str, Any], read: Any = None
    ) -> ResultFuture[Any]:
        return self._supervisor(queue).submit(payload, options, read)

    @shielded
    def _future(self, queue: str, job: Job | UUID, read: Any = None) -> ResultFuture[Any]:
        return self._supervisor(queue).future(job, read)

    @shielded
    def _result(
        self, queue: str, job: Job | UUID, timeout: Duration | None, read: Any = None
    ) -> Any:
        wait = check_option("timeout", timeout, checks.duration(0.0, checks.CENTURY))
        return self._supervisor(queue).result(job, wait, read)

    @overload
    def get(self, queue: str, id: UUID) -> Job: ...
    @overload
    def get(self, queue: str, id: UUID, default: T) -> Job | T: ...
    @shielded
    def get(self, queue: str, id: UUID, default: Any = RAISE) -> Any:
        """Return a job of the queue as it is now; *default*, or `UnknownJob`, if there is none."""
        try:
            return self._supervisor(queue).ledger.get(id)
        except UnknownJob:
            if default is RAISE:
                raise
            return default

    @shielded
    def list(
        self,
        queue: str | None = None,
        *,
        state: str | Iterable[str] | None = None,
        limit: int | None = None,
        after: Job | UUID | None = None,
    ) -> Jobs:
        """Return jobs by (created_at, id): of a queue, or of all in the default driver's storage.

        *state*: one state, several, or ``"incomplete"`` (available and executing). *limit*: at most
        so many; *after*: those behind this job, so that pages follow each other. Meant for people
        and tests: storage may have to look at every job.
        """
        driver = self._supervisor(queue).conf.driver if queue is not None else self._default()
        return driver.job_list(selection.job_filter(driver, queue, state, limit, after))

    def _default(self) -> Driver:
        with self._admin:
            self._check_open()
            return self._drivers.get(None)

    @shielded
    def cancel(self, queue: str, id: UUID) -> Job:
        """Cancel an available job, scheduled or not; return it.

        It is forwarded if the queue forwards cancelled jobs. Raise `InvalidTransition` if it is
        executing or has ended, `UnknownJob`.
        """
        return self._supervisor(queue).ledger.cancel(id)

    @shielded
    def retry(self, queue: str, id: UUID) -> Job:
        """Make a failed or cancelled job available again, at once; return it.

        It keeps its history: `attempt` and `errors` stay, and if it has no attempt left,
        `max_attempts` is one more than it has had. Its `result`, the reason of a `Cancel`, goes.
        Raise `InvalidTransition` in any other state, `AlreadyForwarded` if the queue has forwarded
        it and what it became is still there, `UnknownJob`: finished jobs are pruned at once unless
        `prune` keeps them.
        """
        return self._supervisor(queue).retry(id)

    @shielded
    def redrive(
        self, dead_letter: str, *, rate: float | None = None, limit: int | None = None
    ) -> Redriven:
        """Send the jobs that were forwarded to the queue *dead_letter* back where they came from.

        At most *limit* of those that wait there, at most *rate* a second (`None`: no limit). Each
        becomes a fresh job of its original queue, with the payload, kind and options of the
        original and a new id, in the same write that ends it here: it is cancelled, and its
        `result` says what it became. Between two storages the fresh job is stored first, and a call
        that is repeated inserts nothing twice. A queue that is not declared here is looked for in
        this storage.

        Returns how many went back, and why others stayed: they were not forwarded, their payload
        was too large to be forwarded with them, or their queue is gone. Raise `InvalidJob` for bad
        numbers, `UnknownQueue`, `Stopped` if this `Gaffer` stops meanwhile, `DriverUnavailable`;
        what went back until then has gone back.
        """
        if rate is not None and not (type(rate) in (int, float) and 0 < rate < inf):
            raise InvalidJob(
                f"rate={shown(rate)}: must be a number of jobs a second above 0", keys=["rate"]
            )
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidJob(f"limit={shown(limit)}: must be a natural number", keys=["limit"])
        return self._supervisor(dead_letter).redrive(limit, rate)

    @shielded
    def delete(self, queue: str, id: UUID) -> None:
        """Delete a job in whatever state; what it is executing is dropped. Raise `UnknownJob`."""
        self._supervisor(queue).delete(id)

    @shielded
    def prune(self, queue: str) -> Ids:
        """Delete the jobs that are old enough now, paused or not; return their ids."""
        return self._supervisor(queue).ledger.prune("user")

    @shielded
    def claim(self, queue: str) -> Claiming:
        """Return a ``with`` block around one job, claimed by hand; `None` if there is none.

        The job completes at the end of the block, fails with an exception that ends it, or is
        settled inside by its `complete`, `fail`, `cancel` or `schedule`. It has no timeout; local
        limits do not count it, global ones do. A queue that is paused, or drained here, gives none.
        """
        return self._supervisor(queue).claim()

    @shielded
    def why(self, queue: str, id: UUID) -> Why:
        """Return why a job is not running, from what storage knows; raise `UnknownJob`.

        It has ended, or executes; the queue is paused, or no process claims from it; its time has
        not come; another job of its chain comes first; the limit is reached, or all workers are
        busy; or nothing is wrong, and so many jobs are ahead. For people: it may look at every job
        that is ahead.
        """
        ledger = self._supervisor(queue).ledger
        return why(ledger.driver, ledger.get(id))

    # -- running -------------------------------------------------------------------------------

    @shielded
    def pause(self, queue: str) -> None:
        """Claim nothing from the queue, in any process, until it is resumed.

        What runs goes on. Kept with the queue, over restarts. When this returns it holds, also for
        claims that were under way. Raise `AlreadyPaused`.
        """
        self._supervisor(queue).pause()

    @shielded
    def resume(self, queue: str) -> None:
        """End a pause, in every process, and a drain in this one. Raise `AlreadyActive`."""
        self._supervisor(queue).resume()

    @shielded
    def drain(self, queue: str, timeout: Duration | None = 5.0) -> None:
        """Claim no more in this process, and wait until nothing of the queue runs here.

        `resume` ends it. Raise `DrainTimeout` naming the jobs that still run after *timeout*
        seconds (`None`: wait for ever), or at once when called by one of them or by a hook in the
        thread that would have to end them.
        """
        wait = check_option("timeout", timeout, checks.duration(0.0, checks.CENTURY))
        self._supervisor(queue).drain(wait)

    @shielded
    def flush(self, queue: str, timeout: Duration | None = None) -> None:
        """Wait until the queue has no available or executing job, in any process.

        Scheduled jobs and those that wait for a retry are available, and waited for. Raise
        `FlushTimeout` after *timeout* seconds (`None`: wait for ever), or at once when called by a
        job of the queue.
        """
        wait = check_option("timeout", timeout, checks.duration(0.0, checks.CENTURY))
        self._supervisor(queue).flush(wait)

    @shielded
    def poll(self, queue: str) -> int:
        """Claim what there are free slots for, run it, and return the number when it has ended.

        Works while the queue is paused, and in a process that does not work: for tests and
        scripts. Waits as long as storage does not take what has ended. Raise
        `InvalidQueueConf` if the queue has no worker.
        """
        return self._supervisor(queue).poll()

    @shielded
    def info(self, queue: str) -> QueueInfo:
        """Return the queue's status and the workers of this process; cheap."""
        return self._supervisor(queue).info()

    @shielded
    def stats(self, queue: str) -> Mapping[JobState, StateStats]:
        """Return how many jobs are in each state, and since when; storage may have to count."""
        return self._supervisor(queue).ledger.stats()
