"""The queues of the shop, and what works them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any
from urllib.parse import quote, urlencode
from uuid import NAMESPACE_URL, UUID, uuid5

import shop_mail
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

import gaffer
from django_shop.models import Order

DAY = 86400.0

Work = Callable[[gaffer.Job], Any]


def with_connections(worker: Work) -> Work:
    """Do for a job what Django does for a request: close connections that are of no use."""

    @wraps(worker)
    def work(job: gaffer.Job) -> Any:
        close_old_connections()
        try:
            return worker(job)
        finally:
            close_old_connections()

    return work


def send_receipt(job: gaffer.Job) -> None:
    """Send the receipt of an order. Done twice, it sends one: the provider knows the job's id."""
    order = Order.objects.filter(pk=job.payload["order"], receipt_sent=None).first()
    if order is None:
        return
    # No transaction is open while the provider takes its time.
    shop_mail.send(f"Order {order.pk}", f"Thank you for {order.item_id}.", key=str(job.id))
    Order.objects.filter(pk=order.pk).update(receipt_sent=timezone.now())


@cache
def queues() -> gaffer.Gaffer:
    """Connect, and declare all queues, at the first use in each process."""
    lease = settings.GAFFER_LEASE
    g = gaffer.Gaffer(driver=_url(), work=False, lease=lease, beat_interval=lease / 4)
    g.ensure_queue(
        "receipts",
        worker=with_connections(send_receipt),
        max_workers=4,
        max_attempts=5,
        backoff=[1, 10, 60, 600],
        prune={"max_age": {"completed": 3600, "failed": 30 * DAY}},
    )
    return g


def receipt_id(order: int) -> UUID:
    """Return the id of the job that sends the receipt of *order*: there can be only one."""
    return uuid5(NAMESPACE_URL, f"receipt:{order}")


def receipt_state(order: Order) -> str:
    """Say what became of the receipt of an order: `sent`, or the state of its job."""
    if order.receipt_sent:
        return "sent"
    job = queues().get("receipts", receipt_id(order.pk), None)
    return str(job.state) if job else "gone"


def _url() -> str:
    """Return where Django is connected to: in its tests that is the test database."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password"}
    names |= {"HOST": "host", "PORT": "port"}
    known = connection.settings_dict
    given = {name: known[key] for key, name in names.items() if known[key]}
    return "postgresql://?" + urlencode(known["OPTIONS"] | given, quote_via=quote)
