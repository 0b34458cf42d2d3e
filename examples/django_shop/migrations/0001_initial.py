"""The tables, and something to sell."""

from __future__ import annotations

from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def stock(apps: Any, schema_editor: Any) -> None:
    """Put something on the shelf."""
    item = apps.get_model("django_shop", "Item")
    item.objects.create(name="a book", stock=1000)
    item.objects.create(name="a lamp", stock=1)


class Migration(migrations.Migration):
    """Makes what `models` describes."""

    initial = True
    operations = (
        migrations.CreateModel(
            name="Item",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("stock", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "item",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, to="django_shop.item"
                    ),
                ),
                ("receipt_sent", models.DateTimeField(null=True)),
            ],
        ),
        migrations.RunPython(stock, migrations.RunPython.noop),
    )
