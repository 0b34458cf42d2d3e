"""All that a run is made of: the servers, the ways to them, the storage's clock, the processes."""

from __future__ import annotations

import logging
import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from gaffer import Gaffer
from gaffer_driver_postgres import PostgresDriver
from tests.chaos.fleet import Fleet
from tests.chaos.load import Load
from tests.chaos.queues import BEAT, LEASE, QUEUES
from tests.rig.audit import Audit
from tests.rig.disk import Disk, small_disk
from tests.rig.history import History, Scribe
from tests.rig.pooler import pgbouncer, program
from tests.rig.proxy import Proxy
from tests.rig.server import Server, own_server

__all__ = ["Busy", "World", "made"]

SCHEMA = "chaos"
ADMIN = "chaos admin"
"""The application name of connections that no nemesis ends."""
_DRIVER = {"schema": SCHEMA, "timeout": 3.0}
_POOLER = "server_login_retry = 1\nserver_connect_timeout = 5\nquery_wait_timeout = 10"
_CLOCK = f"""
CREATE TABLE {SCHEMA}.ahead (seconds float8 NOT NULL);
INSERT INTO {SCHEMA}.ahead VALUES (0);
CREATE OR REPLACE FUNCTION {SCHEMA}.clock() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT clock_timestamp() + a.seconds * interval ''1 second'' FROM {SCHEMA}.ahead a';
"""


class Busy(Exception):
    """Another nemesis has what this one wants to strike."""


class World:
    """What the nemeses strike, and what the load goes to. `over` ends both."""

    def __init__(self, server: Server, effects: Server, place: Path) -> None:
        self.server = server
        self.place = place
        self.over = threading.Event()
        # Whatever becomes the default: what we do ourselves is to be written.
        writes = "-c default_transaction_read_only=off"
        self.way = make_conninfo(
            server.conninfo, application_name=ADMIN, connect_timeout=5, options=writes
        )
        self.history = History(effects.conninfo)
        self.proxies: list[Proxy] = []
        self.disk: Disk | None = None
        self.pooled = False
        self.fleet: Fleet
        self.load: Load
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextmanager
    def alone(self, what: str | threading.Lock) -> Iterator[None]:
        """Have *what* for ourselves, or raise `Busy`."""
        lock = self._locks[what] if isinstance(what, str) else what
        if not lock.acquire(blocking=False):
            raise Busy
        try:
            yield
        finally:
            lock.release()

    def hold(self, rng: random.Random, least: float, most: float) -> None:
        """Leave things as they are for a while, or until the run is over."""
        self.over.wait(rng.uniform(least, most))

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        """Give a connection that commits by itself and waits for no lock for long."""
        with psycopg.connect(self.way, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '5s'")
            yield connection

    def set_clock(self, ahead: float) -> None:
        """Have the storage's clock go so many seconds before the real one."""
        with self.admin() as admin:
            admin.execute(f"UPDATE {SCHEMA}.ahead SET seconds = %s", [ahead])

    @contextmanager
    def account(self) -> Iterator[Audit]:
        """Give the account of what happened to jobs."""
        with self.admin() as admin:
            yield Audit(admin, SCHEMA, begin=False)

    def prepare(self) -> None:
        """Make the schema and the queues, the account, the clock, and the place for jobs."""
        driver = PostgresDriver(self.way, schema=SCHEMA)
        with Gaffer(driver, work=False) as g:
            for name in QUEUES:
                g.ensure_queue(name)
        driver.stop()
        with self.admin() as admin:
            Audit(admin, SCHEMA)
            admin.execute(_CLOCK)
            if self.disk is not None:
                self.server.create_tablespace("small", self.disk.place)
                admin.execute(f"ALTER TABLE {SCHEMA}.jobs SET TABLESPACE small")


@contextmanager
def made(place: Path, seed: int) -> Iterator[World]:
    """Give a world in which everything runs; nothing of it is left behind the block."""
    with ExitStack() as stack:
        server = stack.enter_context(own_server({"max_connections": 150}))
        effects = stack.enter_context(own_server({"max_connections": 300, "fsync": "off"}))
        world = World(server, effects, place)
        world.disk = stack.enter_context(small_disk(512))
        world.prepare()
        world.proxies = [stack.enter_context(Proxy(server.conninfo)) for _ in range(2)]
        ways = [server.conninfo, *(proxy.conninfo for proxy in world.proxies)]
        world.pooled = program() is not None
        if world.pooled:
            (place / "pooler").mkdir(exist_ok=True)
            pooler = pgbouncer(server.conninfo, place / "pooler", size=8, more=_POOLER)
            ways.append(stack.enter_context(pooler))
        driver = PostgresDriver(server.conninfo, schema=SCHEMA, timeout=3.0)
        stack.callback(driver.stop)
        g = stack.enter_context(Gaffer(driver, work=False, beat_interval=BEAT, lease=LEASE))
        for name, options in QUEUES.items():
            g.ensure_queue(name, **options)
        own = make_conninfo(world.way, application_name="load")
        world.load = Load(g, own, Scribe(effects.conninfo), world.over, seed)
        settings = {"effects": effects.conninfo, "driver": _DRIVER}
        world.fleet = Fleet(ways, settings, place)
        stack.callback(world.fleet.kill)
        stack.callback(world.over.set)
        logging.getLogger("tests.chaos").info("the world is made in %s", place)
        yield world
