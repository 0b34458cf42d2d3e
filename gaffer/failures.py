"""What a failed attempt leaves behind: plain values that can always be stored.

Tracebacks are turned into text here and dropped, so that no job's frames stay alive.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from gaffer import codec
from gaffer.job import JSON

__all__ = ["failure", "in_a_line", "lost", "timed_out"]

_MAX_MESSAGE = 2 * 2**10
_MAX_TRACEBACK = 16 * 2**10


def failure(error: BaseException) -> JSON:
    """Return an exception as ``{"type", "message", "traceback"}``, whatever it does when asked."""
    return {
        "type": codec.text(_name(error), 200),
        "message": codec.text(error, _MAX_MESSAGE),
        "traceback": codec.text(_traceback(error), _MAX_TRACEBACK),
    }


def _name(error: BaseException) -> str:
    kind = type(error)
    try:
        known = kind.__module__ in ("builtins", "__main__")
        return kind.__qualname__ if known else f"{kind.__module__}.{kind.__qualname__}"
    except BaseException:  # a metaclass that raises
        return codec.type_name(error)


def _traceback(error: BaseException) -> str:
    # The first frame is the one of gaffer that called the worker.
    try:
        own = error.__traceback__
        return "".join(traceback.format_exception(type(error), error, own and own.tb_next))
    except BaseException as failed:  # a hostile exception, or one nested too deep
        return f"<no traceback: {codec.type_name(failed)}>"


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


def in_a_line(error: JSON, longest: int = 200) -> str:
    """Return what an attempt failed of in one line: the type and the message, if it has these."""
    if isinstance(error, dict) and "type" in error:
        text = f"{error['type']}: {error.get('message', '')}".strip(": ")
    else:
        text = error if isinstance(error, str) else codec.shown(error)
    return codec.text(" ".join(text.split()), longest)
