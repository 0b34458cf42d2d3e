"""An exception in one of the driver's own threads: calls are cut off, and wakes come, as ever."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gaffer import Gaffer
from gaffer.driver import DriverUnavailable
from gaffer_driver_postgres import PostgresDriver
from tests.conftest import Calling
from tests.rig.proxy import Proxy
from tests.rig.waiting import shoot, threads, until

from .conftest import MakeDriver
from .waking import Wakes

pytestmark = pytest.mark.usefixtures("unlocked")
THROWN = [RuntimeError, SystemExit, KeyboardInterrupt, MemoryError]


@contextmanager
def raising(logger: str, error: type[BaseException], times: int = 2) -> Iterator[list[str]]:
    """Have the first records of *logger* raise, as a filter of the user's may; give what was so."""
    told: list[str] = []

    def refuse(record: logging.LogRecord) -> bool:
        if len(told) < times:
            told.append(record.getMessage())
            raise error
        return True

    logging.getLogger(logger).addFilter(refuse)
    try:
        yield told
    finally:
        logging.getLogger(logger).removeFilter(refuse)


def thread_of(name: str) -> threading.Thread:
    """Return the newest thread of that name."""
    return [thread for thread in threads() if thread.name == name][-1]


# -- the guard -------------------------------------------------------------------------------------


@pytest.fixture
def proxy(server: str, driver: PostgresDriver) -> Iterator[Proxy]:
    """Give a proxy before the server; the schema is there."""
    with Proxy(server) as made:
        yield made


@pytest.fixture
def remote(proxy: Proxy, make_driver: MakeDriver) -> PostgresDriver:
    """Give a driver that reaches the server by the proxy alone."""
    made = make_driver(proxy.conninfo, timeout=1.0)
    made.start()
    made.queue_list()
    return made


def ends_in_silence(proxy: Proxy, remote: PostgresDriver) -> None:
    """See that a call into silence ends, and heal the network."""
    proxy.silence()
    with pytest.raises(DriverUnavailable):
        Calling(remote.queue_list).result()
    proxy.heal()
    until(partial(_answers, remote))


def _answers(driver: PostgresDriver) -> bool:
    try:
        return driver.queue_list() == []
    except DriverUnavailable:
        return False


@pytest.mark.parametrize("error", THROWN)
def test_calls_are_cut_off_after_any_exception_in_the_guard(
    error: type[BaseException], proxy: Proxy, remote: PostgresDriver
) -> None:
    """F10."""
    guard = thread_of("gaffer:postgres:guard")
    with raising("gaffer.postgres.guard", error, times=0):
        shoot(guard, error)
        ends_in_silence(proxy, remote)


@pytest.mark.parametrize("error", THROWN)
def test_calls_are_cut_off_although_the_log_of_the_guard_raises(
    error: type[BaseException], proxy: Proxy, remote: PostgresDriver
) -> None:
    """F10."""
    with raising("gaffer.postgres.guard", error) as told:
        ends_in_silence(proxy, remote)
        ends_in_silence(proxy, remote)

    assert len(told) == 2


# -- the hub ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", THROWN)
def test_wakes_come_after_any_exception_in_the_hub(
    error: type[BaseException], driver: PostgresDriver, make_driver: MakeDriver, server: str
) -> None:
    """F10."""
    there = make_driver()
    there.start()
    wakes = Wakes(there)
    with Gaffer(driver, work=False) as g:
        other = g.ensure_queue("other")
        wakes.wait("other", 0)
        wakes.catch_up(other, server)

        shoot(thread_of("gaffer:postgres:hub"), error)

        wakes.catch_up(other, server)
        wakes.catch_up(other, server)


@pytest.mark.parametrize("error", THROWN)
def test_wakes_come_although_the_log_of_the_hub_raises(
    error: type[BaseException],
    driver: PostgresDriver,
    make_driver: MakeDriver,
    server: str,
    schema: str,
    admin: psycopg.Connection,
) -> None:
    """F10."""
    there = make_driver(make_conninfo(server, application_name=schema))
    there.start()
    wakes = Wakes(there)
    with Gaffer(driver, work=False) as g:
        other = g.ensure_queue("other")
        wakes.wait("other", 0)
        wakes.catch_up(other, server)
        with raising("gaffer.postgres.hub", error) as told:
            for number in (1, 2):
                before = wakes.counts["other"]
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = %s",
                    [schema],
                )
                until(partial(_said, told, number))
                wakes.wait("other", before)  # it listens again
            wakes.catch_up(other, server)


def _said(told: list[str], number: int) -> bool:
    return len(told) >= number
