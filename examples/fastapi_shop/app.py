"""The web application: takes orders, and says what became of them.

All endpoints are `def`, not `async def`: FastAPI calls them on threads, where they may wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic import BaseModel
from sqlalchemy import update

import gaffer
from fastapi_shop.database import Item, Order, engine, sessions
from fastapi_shop.jobs import receipt_id, receipt_state, receipts
from gaffer.contrib.prometheus import EventMetrics, StateCollector

gaffer.configure(hooks=[EventMetrics()])
REGISTRY.register(StateCollector(gaffer.default))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Let go of the database at the end; uvicorn ends by a signal, and leaves `atexit` out."""
    yield
    gaffer.stop()
    engine.dispose()


app = FastAPI(lifespan=lifespan)


class NewOrder(BaseModel):
    """What a client sends."""

    item: str


@app.post("/orders", status_code=201)
def order(new: NewOrder, response: Response) -> dict[str, int]:
    """Take an order: it is stored together with its job, or neither is."""
    # Not in a dependency: what stands behind its `yield` runs when the answer is sent, and it may
    # still fail to commit.
    with sessions.begin() as session:  # a transaction; an exception rolls it back
        sold_out = HTTPException(409, f"{new.item} is sold out")
        if session.get(Item, new.item) is None:
            raise sold_out
        stored = Order(item=new.item)
        session.add(stored)
        session.flush()
        number = stored.id
        receipts.insert({"order": number}, id=receipt_id(number), connection=session)
        # Last, since everybody who orders the same waits here for the end of our transaction.
        left = update(Item).where(Item.name == new.item, Item.stock > 0).returning(Item.stock)
        if session.scalar(left.values(stock=Item.stock - 1)) is None:
            raise sold_out
    response.headers["Location"] = f"/orders/{number}"
    return {"order": number}


@app.get("/orders/{number}")
def status(number: int) -> dict[str, int | str]:
    """Say what became of an order."""
    with sessions() as session:
        found = session.get(Order, number)
    if found is None:
        raise HTTPException(404, f"there is no order {number}")
    return {"order": number, "item": found.item, "receipt": receipt_state(found)}


@app.get("/health")
def health(response: Response) -> dict[str, bool | list[str]]:
    """Say whether the queues can be reached."""
    found = gaffer.health()
    response.status_code = 200 if found.ready else 503
    return {"ready": found.ready, "problems": list(found.problems)}


@app.get("/metrics")
def metrics() -> Response:
    """Tell Prometheus what this process inserted, and how the queues stand."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
