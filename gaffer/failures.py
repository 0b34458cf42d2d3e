"""What a failed attempt leaves behind: plain values that can always be stored.

Tracebacks are turned into text here and dropped, so that no job's frames stay alive.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from gaffer import codec
from gaffer.job import JSON

__all__ = ["failure", "lost", "timed_out"]

_MAX_MESSAGE = 2 * 2**10
_MAX_TRACEBACK = 16 * 2**10


def failure(error: BaseException) -> JSON:
    """Return an exception as ``{"type", "message", "traceback"}``, whatever it does when asked."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__}.{name}"
    return {
        "type": codec.text(name, 200),
        "message": codec.text(error, _MAX_MESSAGE),
        "traceback": codec.text(_traceback(error), _MAX_TRACEBACK),
    }


def _traceback(error: BaseException) -> str:
    # The first frame is the one of gaffer that called the worker.
    try:
        own = error.__traceback__
        return "".join(traceback.format_exception(type(error), error, own and own.tb_next))
    except BaseException as failed:  # a hostile exception, or one nested too deep
        return f"<no traceback: {type(failed).__name__}>"


def timed_out(seconds: float, stack: Sequence[str]) -> JSON:
    """Return the error of an attempt that ran longer than *seconds*; *stack* is where it was."""
    return {
        "type": "timeout",
        "message": f"timeout: still running after {seconds:g} s",
        "traceback": codec.text("".join(stack), _MAX_TRACEBACK),
    }


def lost(lease: float) -> JSON:
    """Return the error of an attempt whose node was silent for *lease* seconds."""
    return {
        "type": "lost",
        "message": f"lost: the node that ran it was silent for {lease:g} s",
        "traceback": "",
    }
