"""Takes orders, and says what became of them."""

from __future__ import annotations

import json

from django.db import connection, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from django_shop.jobs import queues, receipt_id, receipt_state
from django_shop.models import Item, Order


class SoldOut(Exception):
    """There is nothing left of an item."""


@csrf_exempt  # asked by programs, which send no cookies
@require_POST
def order(request: HttpRequest) -> HttpResponseBase:
    """Take an order: it is stored together with its job, or neither is."""
    item = _item(request.body)
    if item is None:
        return JsonResponse({"error": 'an order is {"item": "a book"}'}, status=400)
    try:
        number = _store(item)
    except SoldOut:
        return JsonResponse({"error": f"{item} is sold out"}, status=409)
    headers = {"Location": f"/orders/{number}"}
    return JsonResponse({"order": number}, status=201, headers=headers)


def _item(body: bytes) -> str | None:
    try:
        given = json.loads(body)
    except ValueError:
        return None
    item = given.get("item") if isinstance(given, dict) else None
    return item if isinstance(item, str) else None


@transaction.atomic  # an exception rolls it back
def _store(item: str) -> int:
    if not Item.objects.filter(pk=item).exists():
        raise SoldOut
    number = int(Order.objects.create(item_id=item).pk)
    payload = {"order": number}
    queues().insert("receipts", payload, id=receipt_id(number), connection=connection)
    # Last, since everybody who orders the same waits here for the end of our transaction.
    if not Item.objects.filter(pk=item, stock__gt=0).update(stock=F("stock") - 1):
        raise SoldOut
    return number


@require_GET
def status(request: HttpRequest, number: int) -> HttpResponseBase:
    """Say what became of an order."""
    found = Order.objects.filter(pk=number).first()
    if found is None:
        return JsonResponse({"error": f"there is no order {number}"}, status=404)
    answer = {"order": number, "item": found.item_id, "receipt": receipt_state(found)}
    return JsonResponse(answer)


@require_GET
def health(request: HttpRequest) -> HttpResponseBase:
    """Say whether the queues can be reached."""
    found = queues().health()
    answer = {"ready": found.ready, "problems": found.problems}
    return JsonResponse(answer, status=200 if found.ready else 503)
