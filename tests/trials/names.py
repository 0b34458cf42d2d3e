"""Names of all kinds, for queues, kinds, chains, nodes and schemas: they are names, and no SQL.

Every verb is called with each, on both drivers, which have to say the same. The catalogue of the
database is compared before and after: a name that took effect as SQL would show there. Schemas get
such names too: each holds what any other does, and hears its own notifications only (F47).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from gaffer import Complete, Gaffer, Job, NewJob, machine
from gaffer.checks import NAME_LENGTH, name
from gaffer.driver import Claim, Driver, DriverError, JobFilter
from gaffer.testing.strategies import NASTY_NAMES, NASTY_TEXTS
from gaffer.testing.strategies import names as good_names
from gaffer_driver_memory import MemoryDriver
from gaffer_driver_postgres import PostgresDriver
from gaffer_driver_postgres.options import Options
from tests.postgres.waking import Wakes
from tests.rig.server import own_server
from tests.rig.waiting import KEEP
from tests.trials.figures import Figure, Trial, at_least, exactly

HOSTILE: Sequence[Any] = [
    '"; DROP TABLE jobs; --', "'; DROP TABLE jobs; --", '"; DROP SCHEMA gaffer CASCADE; --',
    "$$; DROP TABLE jobs; $$", "x'); DELETE FROM jobs; --", "a'||(SELECT 1)||'", "{schema}", "{s}",
    "{}", "{0}", "{lock}", "%s", "%(name)s", "%%", "$1", ":name", "?", "*", "\\", "\\'", '\\"',
    "''", '""', "U&'\\0041'", "E'\\x41'", "/*", "--", ";", "null", "NULL", "default", "{NULL}",
    '{"a"}', ",", "(", ")", "\n", "\t", " ", "  a  ", "a b", "\u200b", "\u202e", "\ufeff", "İ", "ß",
    "💥", "👨‍👩‍👧", "e\u0301", "\u00e9", "日本語", "pg_catalog", "public", "select", "A", "a", "0",
    "", "\0", "a\0b", "\ud800", "a\udfff", "x" * NAME_LENGTH, "x" * (NAME_LENGTH + 1), "x" * 10_000,
    "💥" * NAME_LENGTH, "é" * 10_000, "'" * NAME_LENGTH, "\\" * NAME_LENGTH, None, 1, True, b"q",
]  # fmt: skip
LETTERS = "abcxyzABCXYZ0123456789_-éßñøЖλ日本語한"
SEEN = """
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
    SELECT format('namespace %s', nspname) AS line FROM pg_namespace
    WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT format('class %s %s %s', relnamespace::regnamespace, relname, relkind) FROM pg_class
    WHERE relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL
    SELECT format('function %s %s', oid::regprocedure, md5(prosrc)) FROM pg_proc
    UNION ALL
    SELECT format('column %s %s %s', attrelid::regclass, attname, atttypid::regtype)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND NOT attisdropped
        AND relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('trigger %s %s', tgrelid::regclass, tgname) FROM pg_trigger
    UNION ALL SELECT format('role %s %s', rolname, rolsuper) FROM pg_roles
    UNION ALL SELECT format('database %s', datname) FROM pg_database
    UNION ALL SELECT format('setting %s %s', setdatabase, setconfig) FROM pg_db_role_setting
    UNION ALL SELECT format('bystander %s', b) FROM bystander b
) lines
"""
INSIDE = """
SELECT relname::text FROM pg_class WHERE relnamespace = %(schema)s::regnamespace
UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace
UNION ALL SELECT conname::text FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace
ORDER BY 1
"""


# -- names -----------------------------------------------------------------------------------------


def anything() -> st.SearchStrategy[Any]:
    """Give names, and what is none."""
    spliced = st.builds(
        "{0}{1}{2}".format,
        st.text(max_size=3),
        st.sampled_from([text for text in HOSTILE if isinstance(text, str)]),
        st.text(max_size=3),
    )
    listed = st.sampled_from([*HOSTILE, *NASTY_NAMES, *NASTY_TEXTS])
    return good_names() | listed | spliced | st.text(max_size=250)


def schemas() -> st.SearchStrategy[Any]:
    """Give names of schemas; most will do."""
    plain = st.text(st.sampled_from(LETTERS), min_size=1, max_size=20)
    near = plain.map(lambda text: f"n{text}") | plain.map(lambda text: f"n{text.swapcase()}")
    return near | near | plain | st.text(max_size=12) | st.sampled_from(HOSTILE)


def drawn(strategy: st.SearchStrategy[Any], number: int, where: int) -> list[Any]:
    """Return so many values, the same for the same *where*."""
    found: list[Any] = []

    @seed(where)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    with warnings.catch_warnings():
        # The threads of the drivers use it while values are drawn.
        warnings.filterwarnings("ignore", "Do not use the .random. module")
        draw()
    return found[:number]


# -- verbs -----------------------------------------------------------------------------------------


def told(call: Callable[[], Any]) -> Any:
    """Return what *call* returns, or what it raises, in a form that can be compared."""
    try:
        return call()
    except Exception as error:
        return (type(error), str(error))


def is_name(value: Any) -> bool:
    """Return whether gaffer takes *value* for a name."""
    try:
        return bool(name(value))
    except ValueError:
        return False


def shown(job: Job | None) -> Any:
    """Return what a name has to do with of *job*."""
    return job and (job.queue, job.kind, job.chain, job.payload, job.state.value, job.revision)


class Life:
    """All verbs, with one set of names, on one driver; what each came to."""

    def __init__(self, driver: Driver, drawn: Sequence[Any], number: int) -> None:
        self.driver = driver
        self.queue, self.kind, self.chain, self.node = drawn
        self.ids = [UUID(int=(number << 8) + place) for place in range(4)]
        self.g = Gaffer(driver, work=False)

    def live(self) -> list[Any]:
        """Call all verbs, in turn."""
        try:
            return [
                told(step)
                for part in (self.beginning(), self.middle(), self.by_node(), self.end())
                for step in part
            ]
        finally:
            self.g.stop(0)

    def ensure(self) -> str:
        return self.g.ensure_queue(self.queue, worker=lambda job: job.kind, prune=KEEP).name

    def beginning(self) -> Iterator[Callable[[], Any]]:
        g, queue = self.g, self.queue
        yield self.ensure
        yield lambda: g.create_queue(queue).name
        yield lambda: g.get_queue(queue).name
        yield lambda: [*g.list_queues()]
        yield lambda: g.update_queue(queue, forward={"cancelled": queue}).forward
        yield lambda: g.orphaned_queues(self.driver)
        for place, options in enumerate(
            [{}, {"kind": self.kind}, {"chain": self.chain}, {"kind": self.kind, "delay": 3600}]
        ):
            yield partial(self.insert, place, options)
        many = [1, NewJob("two", kind=self.kind), NewJob(3, chain=self.chain)]
        yield lambda: [shown(job) for job in g.insert_many(queue, many)]
        yield lambda: [shown(job) for job in g.list(queue)]

    def insert(self, place: int, options: dict[str, Any]) -> Any:
        return shown(self.g.insert(self.queue, place, id=self.ids[place], **options))

    def middle(self) -> Iterator[Callable[[], Any]]:
        g, queue = self.g, self.queue
        yield lambda: shown(g.get(queue, self.ids[1]))
        yield lambda: g.pause(queue)
        yield lambda: g.info(queue)
        yield lambda: g.resume(queue)
        yield self.by_hand
        yield lambda: g.poll(queue)
        yield lambda: shown(g.cancel(queue, self.ids[3]))
        yield lambda: g.drain(queue, 5.0)
        yield lambda: g.resume(queue)
        yield lambda: [g.poll(queue) for _ in range(9)]
        yield lambda: g.flush(queue, 5.0)
        yield lambda: {state: one.count for state, one in g.stats(queue).items()}
        yield lambda: len(g.prune(queue))

    def by_hand(self) -> Any:
        with self.g.claim(self.queue) as claimed:
            return claimed and (claimed.job.queue, claimed.job.kind, claimed.job.chain)

    def by_node(self) -> Iterator[Callable[[], Any]]:
        yield lambda: Gaffer(self.driver, name=self.node).stop(0)
        if self.queue not in self.driver.queue_list() or not is_name(self.node):
            return  # what is no name comes to no driver
        driver, node = self.driver, self.node
        now = driver.now()
        yield lambda: self.g.insert(self.queue, 9, id=self.ids[0]) and None
        yield lambda: shown(self.g.insert(self.queue, 9))
        yield lambda: driver.node_beat(node)
        claim = Claim(queue=self.queue, limit=1, global_max_workers=9, node=node, now=now)
        yield lambda: [shown(job) for job in driver.job_claim(claim)]
        yield lambda: [shown(job) for job in driver.job_orphans(self.queue, 3600.0)]
        held = partial(driver.job_list, JobFilter(node=node))
        yield lambda: [shown(job) for job in held()]
        yield lambda: len(
            driver.job_write([machine.settle(job, Complete(), now=now) for job in held()])
        )
        yield lambda: driver.node_leave(node)

    def end(self) -> Iterator[Callable[[], Any]]:
        g, queue = self.g, self.queue
        yield lambda: g.delete(queue, self.ids[2])
        yield lambda: g.delete_queue(queue)
        yield lambda: self.driver.queue_list()
        yield lambda: g.delete_queue(queue, self.driver)
        yield lambda: self.driver.queue_list()


class Watch:
    """What the database looks like, but for what is in gaffer's own tables."""

    def __init__(self, conninfo: str) -> None:
        self.connection = psycopg.connect(conninfo, autocommit=True)
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS bystander AS SELECT n FROM generate_series(1, 9) n"
        )
        self.before = self.seen()

    def seen(self) -> Any:
        return self.connection.execute(SEEN.encode()).fetchone()

    def left(self) -> int:
        """Return how many rows there are in the tables of gaffer that should be empty."""
        [(rows,)] = self.connection.execute(
            "SELECT (SELECT count(*) FROM gaffer.queues) + (SELECT count(*) FROM gaffer.jobs)"
            " + (SELECT count(*) FROM gaffer.nodes)"
        ).fetchall()
        return int(rows)

    def inside(self, schema: str) -> list[Any]:
        """Return the names of all that is in *schema*."""
        return self.connection.execute(INSIDE, {"schema": f'"{schema}"'}).fetchall()


def every_verb(conninfo: str, examples: Sequence[Sequence[Any]]) -> tuple[int, int, int]:
    """Return on how many the drivers disagree, how many left something behind, and the good."""
    drivers: list[Driver] = [MemoryDriver(), PostgresDriver(conninfo)]
    differ = beyond = good = 0
    for driver in drivers:
        driver.start()
    watch = Watch(conninfo)
    try:
        for number, example in enumerate(examples):
            here, there = (Life(driver, example, number).live() for driver in drivers)
            differ += here != there
            good += here[0] == example[0]
            beyond += watch.left() != 0
            if number % 100 == 0 or number == len(examples) - 1:
                beyond += watch.seen() != watch.before
    finally:
        watch.connection.close()
        for driver in drivers:
            driver.stop()
    return differ, beyond, good


# -- schemas ---------------------------------------------------------------------------------------


@contextmanager
def opened(conninfo: str, schema: str) -> Iterator[tuple[Gaffer, Wakes]]:
    """Give one who inserts into *schema*, and one who waits there for "q"."""
    inserting, waiting = (PostgresDriver(conninfo, schema=schema) for _ in range(2))
    try:
        with Gaffer(inserting, work=False) as g:
            for queue in ("q", "other"):
                g.ensure_queue(queue)
            waiting.start()
            wakes = Wakes(waiting)
            for queue in wakes.counts:
                wakes.wait(queue, 0)
            yield g, wakes
    finally:
        inserting.stop()
        waiting.stop()


def one_schema(conninfo: str, schema: str, reference: Gaffer, others: Wakes) -> int:
    """Return how often who waits elsewhere is woken by an insert into *schema*; 0 is right."""
    with opened(conninfo, schema) as (g, wakes):
        before = others.catch_up(reference.ensure_queue("other"), conninfo)
        woken = wakes.catch_up(g.ensure_queue("other"), conninfo)
        g.insert("q", None)
        wakes.wait("q", woken)
        return others.catch_up(reference.ensure_queue("other"), conninfo) - before


def all_schemas(conninfo: str, names: Sequence[Any]) -> tuple[int, int, int]:
    """Return how many were made, how many changed what is not theirs, and the false wakes."""
    made = beyond = false = 0
    channels: set[str] = set()
    with opened(conninfo, "gaffer") as (reference, others):
        watch = Watch(conninfo)
        wanted = watch.inside("gaffer")
        for schema in names:
            try:
                channels.add(Options(schema=schema).channel)
            except DriverError:
                beyond += watch.seen() != watch.before
                continue
            made += 1
            false += one_schema(conninfo, schema, reference, others)
            beyond += watch.inside(schema) != wanted
            watch.connection.execute(f'DROP SCHEMA "{schema}" CASCADE'.encode())
            beyond += watch.seen() != watch.before
        watch.connection.close()
    return made, beyond, false + (made - len(channels))


def run(*, examples: int, number: int, start: int) -> list[Figure]:
    """Try *examples* sets of names, and *number* names of schemas, from the seed *start* on."""
    found = drawn(st.lists(anything(), min_size=4, max_size=4), examples, start)
    wanted = list(dict.fromkeys(drawn(schemas().filter(_not_of_the_system), number, start + 1)))
    with own_server({"fsync": "off"}) as server:
        differ, beyond, good = every_verb(server.conninfo, found)
        made, outside, false = all_schemas(server.conninfo, wanted)
    return [
        at_least("sets of names whose queue could be made", good, examples // 4),
        exactly("sets of names on which the drivers disagree", differ, 0),
        exactly("effects beyond the jobs of a name", beyond, 0),
        at_least("schemas that could be made", made, number // 4),
        exactly("effects beyond a schema", outside, 0),
        exactly("notifications heard in another schema", false, 0),
    ]


def _not_of_the_system(schema: Any) -> bool:
    return schema not in ("public", "gaffer", "information_schema")


TRIAL = Trial(
    run=run,
    full={"examples": 3000, "number": 200, "start": 47},
    short={"examples": 25, "number": 4, "start": 47},
)
