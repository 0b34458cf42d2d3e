"""The tables of the shop."""

from __future__ import annotations

from django.db import models


class Item(models.Model):
    """Something to be had, as long as there is some left."""

    name = models.CharField(max_length=100, primary_key=True)
    stock = models.PositiveIntegerField()


class Order(models.Model):
    """What somebody wants."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT)
    receipt_sent = models.DateTimeField(null=True)
