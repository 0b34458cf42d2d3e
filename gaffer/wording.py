"""Words for people: how many things there are, and commands that can be pasted into a shell."""

from __future__ import annotations

import shlex

__all__ = ["are", "command", "counted"]


def counted(number: int, thing: str = "job") -> str:
    """Return ``"1 job"``, or ``"2 jobs"``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def are(number: int) -> str:
    """Return ``"is"`` or ``"are"``."""
    return "is" if number == 1 else "are"


def command(verb: str, *arguments: str, **options: str) -> str:
    """Return a command of ``gaffer``; names of queues may begin with a dash, and have spaces."""
    words = ["gaffer", verb]
    for name, value in options.items():
        between = "=" if value.startswith("-") else " "
        words.append(f"--{name}{between}{shlex.quote(value)}")
    if any(argument.startswith("-") for argument in arguments):
        words.append("--")
    return " ".join([*words, *map(shlex.quote, arguments)])
