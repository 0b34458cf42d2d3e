"""The queues of the shop. `gaffer work flask_shop.jobs` works them; all others insert."""

from __future__ import annotations

import os
from uuid import NAMESPACE_URL, UUID, uuid5

import shop_mail

import gaffer
from flask_shop.database import pool

DAY = 86400.0

# After so many seconds without a sign of life a process is dead, and others take over its jobs.
LEASE = float(os.environ.get("LEASE", "20"))

gaffer.configure(
    driver=os.environ["DATABASE_URL"], work=False, lease=LEASE, beat_interval=LEASE / 4
)


def send_receipt(job: gaffer.Job) -> None:
    """Send the receipt of an order. Done twice, it sends one: the provider knows the job's id."""
    order = job.payload["order"]
    with pool().connection() as connection:
        asked = connection.execute("SELECT item, receipt_sent FROM orders WHERE id = %s", [order])
        item, sent = asked.fetchone() or (None, None)
    if item is None or sent:
        return
    # No transaction is open while the provider takes its time.
    shop_mail.send(f"Order {order}", f"Thank you for {item}.", key=str(job.id))
    with pool().connection() as connection:
        connection.execute("UPDATE orders SET receipt_sent = now() WHERE id = %s", [order])


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


def receipt_state(order: int, sent: bool) -> str:
    """Say what became of the receipt of an order: `sent`, or the state of its job."""
    if sent:
        return "sent"
    job = receipts.get(receipt_id(order), None)
    return str(job.state) if job else "gone"
