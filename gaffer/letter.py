"""A letter: a job that was forwarded, on its way back to the queue that it came from.

Its payload is what `gaffer.machine.forwarded` made of the original. It may have been written by an
earlier release, or by hand: what does not hold is refused, and the letter stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gaffer import codec, machine
from gaffer.codec import shown
from gaffer.conf import check_job
from gaffer.errors import InvalidJob, InvalidPayload
from gaffer.job import Exponential, Job

__all__ = ["Unfit", "origin", "returned"]


class Unfit(Exception):
    """A job that cannot be sent back; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def origin(letter: Job) -> str:
    """Return the name of the queue that *letter* came from; raise `Unfit` if it tells none."""
    queue = _carried(letter).get("queue")
    if not isinstance(queue, str):
        raise Unfit(f"its payload names no queue that it came from, but {shown(queue)}")
    return queue


def returned(letter: Job, template: Job, *, now: datetime, limit: int) -> Job:
    """Return the job that *letter* becomes in the queue of *template*; raise `Unfit`.

    It has the payload, the kind and the options of the original, and those of *template* where the
    letter has none. It begins anew: no attempts, no errors, no hops. Its id is the same at every
    try. A payload may take *limit* bytes.
    """
    carried = _carried(letter)
    if "payload" not in carried:
        raise Unfit("its payload has no payload of an original")
    payload = carried["payload"]
    if isinstance(payload, dict) and payload.get("gaffer:error") == "omitted":
        raise Unfit(
            "the original's payload was too large to be forwarded with it; retry the original, "
            f"job {carried.get('id')} of queue {template.queue!r}, if it is still kept"
        )
    try:
        text = codec.encode(payload, limit=limit)
        options = check_job(_options(carried))
    except (InvalidPayload, InvalidJob) as error:
        raise Unfit(str(error)) from None
    return machine.create(
        template,
        text,
        id=machine.forwarded_id(letter, template.queue),
        now=now,
        **options,
    )


def _carried(letter: Job) -> Mapping[str, Any]:
    if not isinstance(letter.payload, dict):
        raise Unfit("it was not forwarded: its payload does not tell of an original")
    return letter.payload


def _options(carried: Mapping[str, Any]) -> dict[str, Any]:
    given = carried.get("options") or {}
    if not isinstance(given, dict):
        raise Unfit(f"its payload has options that are none: {shown(given)}")
    options = {**given, "kind": carried.get("kind")}
    backoff = options.get("backoff")
    if isinstance(backoff, dict):
        try:
            options["backoff"] = Exponential(**backoff)
        except (TypeError, ValueError) as error:
            raise Unfit(f"its payload has a backoff that is none: {error}") from None
    return options
