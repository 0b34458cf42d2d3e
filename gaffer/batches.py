"""What `insert_many` is given: which of it are payloads, and in how many writes it goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from gaffer.conf import NewJob

__all__ = ["BATCH", "PLAIN", "batches", "has_id"]

BATCH = 1000
"""Jobs in one write, where there may be any number."""
PLAIN = frozenset({dict, list, str, int, float, bool, type(None)})


def has_id(payload: Any) -> bool:
    """Return whether *payload* comes with an id of its own."""
    kind = type(payload)
    return kind not in PLAIN and issubclass(kind, NewJob) and payload.id is not None


def batches(payloads: Iterable[Any]) -> Iterator[Sequence[Any]]:
    """Give an iterator in batches, anything else as a whole."""
    if isinstance(payloads, Iterator):
        while batch := list(islice(payloads, BATCH)):
            yield batch
    else:
        yield list(payloads)
