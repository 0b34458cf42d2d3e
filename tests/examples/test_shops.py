"""What each of the shops promises, asked over HTTP: Flask, Django and FastAPI behave alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.examples.shops import FRAMEWORKS, PATIENCE, Shop, ask
from tests.rig.databases import database
from tests.rig.waiting import together


@pytest.fixture(scope="module")
def shops(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shop]]:
    """Give the shops, which are open; in each one process works."""
    with ExitStack() as stack:
        opened = []
        for framework in FRAMEWORKS:
            url = stack.enter_context(database(server))
            log = tmp_path_factory.mktemp(framework.name) / "log"
            opened.append(Shop(framework, url, log))
            stack.callback(opened[-1].close)
        together((shop.open for shop in opened), PATIENCE)
        yield {shop.framework.name: shop for shop in opened}


@pytest.fixture(params=[framework.name for framework in FRAMEWORKS])
def shop(shops: dict[str, Shop], request: pytest.FixtureRequest) -> Shop:
    """Give each of the shops in turn."""
    return shops[request.param]


def test_an_order_becomes_a_receipt(shop: Shop) -> None:
    place = shop.order("a book")

    shop.wait_for_receipt(place)

    assert shop.post.given[-1][1] == "Thank you for a book."
    number = int(place.rpartition("/")[2])
    assert ask(place).body == {"order": number, "item": "a book", "receipt": "sent"}


def test_an_order_that_is_rolled_back_leaves_no_job(shop: Shop) -> None:
    shop.wait_for_receipt(shop.order("a lamp"))
    before = shop.jobs()

    refused = ask(f"{shop.url}/orders", {"item": "a lamp"})

    assert refused.status == 409
    assert "a lamp is sold out" in str(refused.body)
    assert shop.jobs() == before
    assert len({key for key, text in shop.post.given if "lamp" in text}) == 1


@pytest.mark.parametrize("data", [{}, {"item": 5}, [], "a book"], ids=str)
def test_what_is_no_order_is_refused(shop: Shop, data: object) -> None:
    before = shop.jobs()

    assert ask(f"{shop.url}/orders", data).status in (400, 422)

    assert shop.jobs() == before


def test_an_order_that_is_not_there_is_not_found(shop: Shop) -> None:
    assert ask(f"{shop.url}/orders/999").status == 404


def test_a_job_whose_worker_is_killed_is_done_by_another(shops: dict[str, Shop]) -> None:
    together((partial(_kill_a_worker, shop) for shop in shops.values()), PATIENCE)


def _kill_a_worker(shop: Shop) -> None:
    before = len(shop.post.given)
    with shop.post.closed():
        place = shop.order("a book")
        shop.post.wait(before + 1)
        assert ask(place).body["receipt"] == "executing"

        shop.replace_worker()
        shop.post.wait(before + 2)

    shop.wait_for_receipt(place)
    assert len(set(shop.post.given[before:])) == 1  # the same message, and the same key


def test_the_queues_are_reached(shop: Shop) -> None:
    answer = ask(f"{shop.url}/health")

    assert (answer.status, answer.body) == (200, {"ready": True, "problems": []})


def test_prometheus_is_told_what_was_inserted(shops: dict[str, Shop]) -> None:
    shop = shops["fastapi"]
    shop.order("a book")

    page = ask(f"{shop.url}/metrics").body

    assert re.search(r'^gaffer_jobs_inserted_total{.*queue="receipts"} [1-9]', page, re.MULTILINE)
    assert 'gaffer_queue_jobs{queue="receipts",state="completed"}' in page


def test_web_server_and_worker_end_when_they_are_told_to(shop: Shop) -> None:
    # This is the last test of the file: nobody orders anything hereafter.
    for process in (shop.web, *shop.workers):
        process.terminate()

    assert shop.web.wait(PATIENCE) == shop.framework.ended, shop.log.read_text()
    assert [worker.wait(PATIENCE) for worker in shop.workers] == [0], shop.log.read_text()
    assert "Traceback" not in shop.log.read_text()
