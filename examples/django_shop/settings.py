"""The settings of the shop; where its database is, the environment says."""

from __future__ import annotations

import os
from typing import Any

from psycopg.conninfo import conninfo_to_dict


def _database(url: str) -> dict[str, Any]:
    given = conninfo_to_dict(url)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST"}
    names["port"] = "PORT"
    known = {setting: given.pop(name, "") for name, setting in names.items()}
    return {"ENGINE": "django.db.backends.postgresql", **known, "OPTIONS": given}


SECRET_KEY = os.environ.get("SECRET_KEY", "for development only")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")
ROOT_URLCONF = "django_shop.urls"
INSTALLED_APPS = ["django_shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": _database(os.environ["DATABASE_URL"])}

# After so many seconds without a sign of life a process is dead, and others take over its jobs.
GAFFER_LEASE = float(os.environ.get("LEASE", "20"))
