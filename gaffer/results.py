"""Those who wait for the results of jobs, and the one thread that tells them.

What ends here the ledger tells, as soon as it is written and before it can be pruned. For what ends
elsewhere the thread asks each storage in one question for all jobs, at first every 10 ms, then
after a quarter of the time that the wait has taken so far, at least every 0.5 s; and so rarely that
asking takes no more than a tenth of the time.

A job that storage does not know is gone only at a second look: it may have ended here and been
pruned between the write and the ledger's word of it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import InvalidStateError
from itertools import chain
from math import inf
from typing import Any
from uuid import UUID

from gaffer.clock import monotonic
from gaffer.conf import check_id
from gaffer.driver import Driver
from gaffer.errors import GafferError, InvalidJob, ResultGone, Stopped
from gaffer.futures import Read, ResultFuture, Source
from gaffer.job import JSON, Job, JobState
from gaffer.service import Service

__all__ = ["Results"]

_log = logging.getLogger("gaffer.results")

_SOONEST = 0.01
_LONGEST = 0.5
"""Seconds between two looks for a job: at least and at most, if storage is quick."""
_SHARE = 4
"""A job is looked for again after the time that it was waited for, divided by this."""
_SURE = 0.25
"""Seconds until the second look for a job that was not there."""
_PAUSES = (0.1, 0.5, 2.0, 5.0)
"""Seconds until the next look at a storage that does not answer."""
_REST = 10
"""Times as long as a look took nothing is done behind it."""
_MOST = 1000
"""Jobs that are asked for at once."""


class Results:
    """The futures of one life of a Gaffer that wait for jobs; true while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Under the lock; that there is a future for an id, any thread may look up:
        self._futures: dict[UUID, tuple[ResultFuture[Any], ...]] = {}
        self._closed = False
        self._next = inf  # when the thread looks next
        self._rested = -inf  # and when at the earliest
        # By whoever wrote it, for the thread:
        self._told: deque[Job] = deque()
        # The thread's own:
        self._failures: dict[int, int] = {}
        self._service = Service("gaffer:results", self._step)

    def __bool__(self) -> bool:
        return bool(self._futures)

    @property
    def inside(self) -> bool:
        """Whether the caller is the thread that resolves the futures: a callback, most likely."""
        return self._service.inside

    # -- what users ask for ------------------------------------------------------------------------

    def submit(
        self, source: Source, payload: JSON, options: Mapping[str, Any], read: Read | None
    ) -> ResultFuture[Any]:
        """Insert a job into *source*; return the future of its result, which *read* decodes."""
        if "connection" in options:
            raise InvalidJob(
                "connection: until the transaction commits there is nothing to wait for; "
                "insert the job there, and use future() or result() after the commit",
                keys=["connection"],
            )
        id = source.ledger.id_of(payload, options)
        future = ResultFuture[Any](self, source, id, read=read)
        self.add(future)  # first: the job may have ended before the insert returns
        try:
            job = source.insert(payload, {**options, "id": id}, None)
        except BaseException:
            self.drop(future)
            raise
        if job.id != id:  # another holds the key
            self.drop(future)
            return self.future(source, job, read)
        future.chain = job.chain
        self.stored(future, job.id)
        return future

    def future(self, source: Source, job: Job | UUID, read: Read | None) -> ResultFuture[Any]:
        """Return the future of the result of a job that is there."""
        known = job if isinstance(job, Job) else None
        if known is not None and known.queue != source.conf.name:
            raise InvalidJob(
                f"job {known.id} is of queue {known.queue!r}, not {source.conf.name!r}",
                keys=["job"],
            )
        id = check_id(job if known is None else known.id)
        future = ResultFuture[Any](self, source, id, read=read)
        if known is not None and known.state.terminal:
            future.settle(known)
            return future
        future.chain = None if known is None else known.chain
        self.add(future)
        self.stored(future, id, earlier=True)
        return future

    def result(
        self, source: Source, job: Job | UUID, timeout: float | None, read: Read | None
    ) -> Any:
        """Wait for the result of a job that is there, and return it."""
        future = self.future(source, job, read)
        try:
            return future.result(timeout)
        finally:
            self.drop(future)

    # -- for all threads ---------------------------------------------------------------------------

    def add(self, future: ResultFuture[Any]) -> None:
        """Have *future* told of what ends here; raise `Stopped` when there is nobody to do it.

        To be looked for it is only after `stored`.
        """
        with self._lock:
            if self._closed:
                raise Stopped("this Gaffer was stopped; nobody waits for results any more")
            self._service.start()
            self._enter(future)

    def stored(self, future: ResultFuture[Any], id: UUID, *, earlier: bool = False) -> None:
        """Have the job of *future*, whose id is *id*, looked for; *earlier*: inserted long ago."""
        now = monotonic()
        with self._lock:
            if future.id != id and self._leave(future):
                future.id = id
                self._enter(future)
            if id in self._futures:
                future.since = now
                future.due = now if earlier else now + _SOONEST
                self._bring_forward(future.due)

    def drop(self, future: ResultFuture[Any]) -> bool:
        """Forget *future*; return whether it was there."""
        with self._lock:
            return self._leave(future)

    def ended(self, jobs: Iterable[Job]) -> None:
        """Tell of jobs that were written here; of those that have ended it is passed on."""
        told = [job for job in jobs if job.id in self._futures and job.state.terminal]
        if told:
            self._told.extend(told)
            self._service.poke()

    def gone(self, ids: Iterable[UUID]) -> None:
        """Tell of jobs that were deleted here, so that they are looked for at once."""
        for id in ids:
            if id in self._futures:
                with self._lock:
                    for future in self._futures.get(id, ()):
                        if future.due < inf:  # else it is not stored yet
                            future.due = monotonic()
                            self._bring_forward(future.due)

    def stop(self, timeout: float) -> None:
        """Tell what has ended so far, and end all other waits with `Stopped`.

        The thread has *timeout* seconds for it, in case it hangs in a storage or in a callback.
        """
        with self._lock:
            self._closed = True
        self._service.stop()
        self._service.join(timeout)
        self._end_all()

    def after_fork(self) -> None:
        """In the child: end all waits with `Stopped`. The thread, and the outcome, stay behind."""
        error = Stopped("the process was forked: only the parent waits; use future() here")
        self._closed = True
        for future in list(chain.from_iterable(self._futures.values())):
            future.strand(error)
        self._futures = {}

    # -- with the lock -----------------------------------------------------------------------------

    def _enter(self, future: ResultFuture[Any]) -> None:
        self._futures[future.id] = (*self._futures.get(future.id, ()), future)

    def _leave(self, future: ResultFuture[Any]) -> bool:
        futures = self._futures.get(future.id, ())
        left = tuple(one for one in futures if one is not future)
        if left:
            self._futures[future.id] = left
        elif futures:
            del self._futures[future.id]
        return len(left) < len(futures)

    def _bring_forward(self, due: float) -> None:
        due = max(due, self._rested)
        if due < self._next:
            self._next = due
            self._service.poke()

    # -- the thread --------------------------------------------------------------------------------

    def _step(self) -> bool:
        self._settle_told()
        if self._service.stopping:
            self._end_all()
            return False
        if monotonic() >= self._next:
            self._look()
        pause = self._next - monotonic()
        self._service.wait(None if pause == inf else max(0.0, pause))
        return True

    def _settle_told(self) -> None:
        while self._told:
            job = self._told[0]
            for future in self._futures.get(job.id, ()):
                if future.queue == job.queue:
                    self._settle(future, job)
            self._told.popleft()  # only now: whatever is raised in between, it is not lost

    def _look(self) -> None:
        """Ask each storage for the jobs that are due, and those that soon will be."""
        began = monotonic()
        due: dict[int, list[ResultFuture[Any]]] = {}
        with self._lock:
            for future in chain.from_iterable(self._futures.values()):
                if future.due <= began + _SOONEST:
                    due.setdefault(id(future.source.ledger.driver), []).append(future)
        rest = max(_SOONEST, _REST * (monotonic() - began))
        try:
            self._ask_all(due)
        finally:
            with self._lock:
                waiting = chain.from_iterable(self._futures.values())
                self._rested = monotonic() + rest
                soonest = min((future.due for future in waiting), default=inf)
                self._next = max(soonest, self._rested)

    def _ask_all(self, due: dict[int, list[ResultFuture[Any]]]) -> None:
        for futures in due.values():
            driver, spent = futures[0].source.ledger.driver, 0.0
            for start in range(0, len(futures), _MOST):
                began = monotonic()
                ended = self._ask(driver, futures[start : start + _MOST])
                spent += monotonic() - began
                if ended is None:
                    self._postpone(futures[start:], self._pause(driver))
                    break
                for future in futures[start : start + _MOST]:
                    if future.id in ended:
                        self._found(future, ended[future.id])
                    else:
                        future.missed = False
            else:
                self._postpone(futures, _REST * spent)

    def _ask(
        self, driver: Driver, futures: Sequence[ResultFuture[Any]]
    ) -> dict[UUID, Job | None] | None:
        """Return which jobs have ended or are gone; `None` if storage does not answer."""
        try:
            ended = driver.job_ended([future.id for future in futures])
        except Exception as error:
            self._failed(driver, error)
            return None
        if self._failures.pop(id(driver), 0):
            _log.info("storage answers again; results are looked for")
        return ended

    def _postpone(self, futures: Iterable[ResultFuture[Any]], least: float) -> None:
        now = monotonic()
        with self._lock:
            for future in futures:
                pause = min(max((now - future.since) / _SHARE, _SOONEST), _LONGEST)
                future.due = now + max(_SURE if future.missed else pause, least)

    def _failed(self, driver: Driver, error: Exception) -> None:
        failures = self._failures[id(driver)] = self._failures.get(id(driver), 0) + 1
        if failures == 1 and not self._service.stopping:
            known = error if not isinstance(error, GafferError) else None
            _log.warning("results cannot be looked for, waits go on: %s", error, exc_info=known)

    def _pause(self, driver: Driver) -> float:
        return _PAUSES[min(self._failures.get(id(driver), 1), len(_PAUSES)) - 1]

    def _found(self, future: ResultFuture[Any], job: Job | None) -> None:
        if job is not None and job.queue == future.queue:
            self._settle(future, job)
        elif not future.missed:
            future.missed = True
        elif future.id not in future.source.unsettled():
            # What has ended here was told before it was settled.
            self._settle_told()
            self._end(future, ResultGone(future.queue, future.id))

    def _settle(self, future: ResultFuture[Any], job: Job) -> None:
        if job.state is not JobState.CANCELLED or not future.withdrawn:
            self._resolve(future, lambda: future.settle(job))
        elif self.drop(future):
            self._resolve(future, future.withdraw)

    def _end(self, future: ResultFuture[Any], error: GafferError) -> None:
        self._resolve(future, lambda: future.set_exception(error))

    def _resolve(self, future: ResultFuture[Any], resolve: Callable[[], None]) -> None:
        for last in (False, True):  # again, should something strike this thread just now
            try:
                resolve()
            except InvalidStateError:
                pass  # it was resolved before, some other way
            except BaseException as error:  # of a callback most likely, SystemExit included
                _log.exception("telling %r raised", future)
                if last and not future.done():
                    future.set_exception(error)
            if future.done():
                break
        # Only now: a fork in between has to find it.
        self.drop(future)

    def _end_all(self) -> None:
        while futures := list(chain.from_iterable(self._futures.values())):
            for future in futures:
                self._end(future, Stopped("the Gaffer was stopped; the job goes on without it"))
