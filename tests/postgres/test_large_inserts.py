"""A list of jobs is one write however long it takes, and no statement of it takes long."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from gaffer import Conflict, DriverUnavailable, Gaffer, NewJob
from gaffer.testing.values import new_job
from gaffer_driver_postgres import PostgresDriver, writing

from .conftest import MakeDriver

_SLOW = """
CREATE FUNCTION {s}.slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.02); RETURN new; END $$;
CREATE TRIGGER slow BEFORE INSERT ON {s}.jobs FOR EACH ROW EXECUTE FUNCTION {s}.slow();
"""
TAKEN = UUID(int=7)


@pytest.fixture
def g(make_driver: MakeDriver, admin: psycopg.Connection, schema: str) -> Iterator[Gaffer]:
    """Give a Gaffer whose server needs 20 ms for each job, and whose calls have a second."""
    driver: PostgresDriver = make_driver(timeout=1.0)
    with Gaffer(driver, work=False) as made:
        made.create_queue("q")
        made.insert("q", None, id=TAKEN)
        admin.execute(_SLOW.replace("{s}", f'"{schema}"').encode())
        yield made


@pytest.fixture(params=["many", "large"])
def in_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ten jobs be as many, or as large, as one statement may insert."""
    if request.param == "many":
        monkeypatch.setattr(writing, "_MOST_AT_ONCE", 10)
    else:
        monkeypatch.setattr(writing, "_LARGEST", 40)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("chain", [None, "c"])
def test_a_list_may_take_longer_than_one_call_has(g: Gaffer, chain: str | None) -> None:
    jobs = g.insert_many("q", [None] * 75, chain=chain)

    assert [job.id for job in g.list("q", state="incomplete") if job.id != TAKEN] == [
        job.id for job in jobs
    ]


def test_in_one_statement_it_would_not_have_had_the_time(g: Gaffer) -> None:
    driver = g.get_queue("q").driver
    jobs = [new_job("q", now=driver.now()) for _ in range(75)]

    with pytest.raises(DriverUnavailable):
        driver.job_write(jobs)


@pytest.mark.usefixtures("in_parts")
def test_of_a_list_in_parts_all_is_stored_or_nothing(g: Gaffer) -> None:
    payloads = [None] * 25

    with pytest.raises(Conflict) as refused:
        g.insert_many("q", [*payloads, NewJob(None, id=TAKEN)])

    assert refused.value.ids == {TAKEN}
    assert [job.id for job in g.list("q")] == [TAKEN]


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([5], [1]),
        ([5, 5, 5], [2, 1]),
        ([50, 50, 1, 1], [1, 1, 2]),
        ([1] * 25, [10, 10, 5]),
        ([1] * 20, [10, 10]),
    ],
)
def test_a_part_is_neither_too_many_nor_too_large(
    sizes: list[int], parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_MOST_AT_ONCE", 10)
    monkeypatch.setattr(writing, "_LARGEST", 10)
    jobs = [new_job("q", "x" * (size - 2) if size > 2 else 1) for size in sizes]

    assert list(map(len, writing._parts(jobs))) == parts
