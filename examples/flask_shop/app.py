"""The web application: takes orders, and says what became of them."""

from __future__ import annotations

from flask import Flask, request
from flask.typing import ResponseReturnValue

import gaffer
from flask_shop.database import pool
from flask_shop.jobs import receipt_id, receipt_state, receipts

app = Flask(__name__)


class SoldOut(Exception):
    """There is nothing left of an item."""


@app.post("/orders")
def order() -> ResponseReturnValue:
    """Take an order: it is stored together with its job, or neither is."""
    given = request.get_json(silent=True)
    item = given.get("item") if isinstance(given, dict) else None
    if not isinstance(item, str):
        return {"error": 'an order is {"item": "a book"}'}, 400
    try:
        number = _store(item)
    except SoldOut:
        return {"error": f"{item} is sold out"}, 409
    return {"order": number}, 201, {"Location": f"/orders/{number}"}


def _store(item: str) -> int:
    with pool().connection() as connection:  # a transaction; an exception rolls it back
        insert = "INSERT INTO orders (item) SELECT name FROM items WHERE name = %s RETURNING id"
        row = connection.execute(insert, [item]).fetchone()
        if row is None:
            raise SoldOut
        number = int(row[0])
        receipts.insert({"order": number}, id=receipt_id(number), connection=connection)
        # Last, since everybody who orders the same waits here for the end of our transaction.
        take = "UPDATE items SET stock = stock - 1 WHERE name = %s AND stock > 0"
        if not connection.execute(take, [item]).rowcount:
            raise SoldOut
    return number


@app.get("/orders/<int:number>")
def status(number: int) -> ResponseReturnValue:
    """Say what became of an order."""
    with pool().connection() as connection:
        found = "SELECT item, receipt_sent IS NOT NULL FROM orders WHERE id = %s"
        row = connection.execute(found, [number]).fetchone()
    if row is None:
        return {"error": f"there is no order {number}"}, 404
    item, sent = row
    return {"order": number, "item": item, "receipt": receipt_state(number, sent)}


@app.get("/health")
def health() -> ResponseReturnValue:
    """Say whether the queues can be reached."""
    found = gaffer.health()
    answer = {"ready": found.ready, "problems": list(found.problems)}
    return answer, 200 if found.ready else 503
