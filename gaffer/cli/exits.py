"""What a command's exit code means."""

from __future__ import annotations

from enum import IntEnum

from gaffer import (
    DriverUnavailable,
    GafferError,
    InvalidDriver,
    InvalidJob,
    InvalidPayload,
    InvalidQueueConf,
    UnknownDriver,
    UnknownJob,
    UnknownQueue,
)

__all__ = ["Exit", "NotThere", "UsageError", "exit_of"]


class Exit(IntEnum):
    """The exit codes of all commands."""

    DONE = 0
    """It is done."""
    NO = 1
    """The answer is no, or something was found: what is pending, what is wrong."""
    USAGE = 2
    """The command cannot be understood, or names something that is none."""
    UNKNOWN = 3
    """There is no such queue or job."""
    UNAVAILABLE = 4
    """The storage does not answer."""
    REFUSED = 5
    """It was refused, and nothing has changed: by the job's state, a conflict, the storage."""
    INTERRUPTED = 130
    """Ctrl-C."""


class NotThere(Exception):
    """There is no such queue or job."""


class UsageError(Exception):
    """A command that cannot be understood; the message says what would be right."""


_CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (NotThere, Exit.UNKNOWN),
    (UnknownQueue, Exit.UNKNOWN),
    (UnknownJob, Exit.UNKNOWN),
    (DriverUnavailable, Exit.UNAVAILABLE),
    (UnknownDriver, Exit.USAGE),
    (InvalidDriver, Exit.USAGE),
    (InvalidQueueConf, Exit.USAGE),
    (InvalidJob, Exit.USAGE),
    (InvalidPayload, Exit.USAGE),
    (UsageError, Exit.USAGE),
    (GafferError, Exit.REFUSED),
    (OSError, Exit.REFUSED),
)


def exit_of(error: Exception) -> Exit:
    """Return the code for what a command raised; raise what is none of gaffer's again."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    raise error
