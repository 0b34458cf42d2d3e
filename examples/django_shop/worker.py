"""For processes that work: `gaffer work django_shop.worker:queues`."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_shop.settings")
django.setup()

from django_shop.jobs import queues  # noqa: E402  (imports the models, which need the setup)

__all__ = ["queues"]
