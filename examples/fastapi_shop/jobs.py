"""The queues of the shop. `gaffer work fastapi_shop.jobs` works them; all others insert."""

from __future__ import annotations

import os
from uuid import NAMESPACE_URL, UUID, uuid5

import shop_mail
from sqlalchemy import func, update

import gaffer
from fastapi_shop.database import Order, sessions

DAY = 86400.0

# After so many seconds without a sign of life a process is dead, and others take over its jobs.
LEASE = float(os.environ.get("LEASE", "20"))

gaffer.configure(
    driver=os.environ["DATABASE_URL"], work=False, lease=LEASE, beat_interval=LEASE / 4
)


def send_receipt(job: gaffer.Job) -> None:
    """Send the receipt of an order. Done twice, it sends one: the provider knows the job's id."""
    with sessions() as session:
        order = session.get(Order, job.payload["order"])
    if order is None or order.receipt_sent:
        return
    # No transaction is open while the provider takes its time.
    shop_mail.send(f"Order {order.id}", f"Thank you for {order.item}.", key=str(job.id))
    with sessions.begin() as session:
        session.execute(update(Order).where(Order.id == order.id).values(receipt_sent=func.now()))


receipts = gaffer.ensure_queue(
    "receipts",
    worker=send_receipt,
    max_workers=4,
    max_attempts=5,
    backoff=[1, 10, 60, 600],
    prune={"max_age": {"completed": 3600, "failed": 30 * DAY}},
)


def receipt_id(order: int) -> UUID:
    """Return the id of the job that sends the receipt of *order*: there can be only one."""
    return uuid5(NAMESPACE_URL, f"receipt:{order}")


def receipt_state(order: Order) -> str:
    """Say what became of the receipt of an order: `sent`, or the state of its job."""
    if order.receipt_sent:
        return "sent"
    job = receipts.get(receipt_id(order.id), None)
    return str(job.state) if job else "gone"
