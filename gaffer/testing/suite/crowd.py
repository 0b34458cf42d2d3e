"""Threads for the races: all start at once, and the interpreter switches as often as it can."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeVar

from gaffer.driver import Driver, SystemClock
from gaffer.testing.doubles import PATIENCE

__all__ = ["attempt", "rounds", "together", "until"]

_T = TypeVar("_T")
_monotonic = SystemClock().monotonic
_P = ParamSpec("_P")

ROUND_SECONDS = 0.15
LEAST_ROUNDS = 3


def rounds() -> Iterator[int]:
    """Count rounds for as long as one race may take, a few at least."""
    end = _monotonic() + ROUND_SECONDS
    for number in count():
        if number >= LEAST_ROUNDS and _monotonic() > end:
            return
        yield number


def until(done: Callable[[], object]) -> Iterator[None]:
    """Go round until *done* is true; raise `TimeoutError` if that takes too long."""
    end = _monotonic() + PATIENCE
    while not done():
        if _monotonic() > end:
            raise TimeoutError(f"not done within {PATIENCE:g} s")
        yield


def attempt(refusal: type[Exception], do: Callable[..., object], *args: Any) -> bool:
    """Do something; return whether it was done, and not refused."""
    try:
        do(*args)
    except refusal:
        return False
    return True


def together(
    work: Callable[Concatenate[Driver, _P], _T],
    handles: Sequence[Driver],
    *args: _P.args,
    **options: _P.kwargs,
) -> list[_T]:
    """Do *work* with each of *handles* on a thread of its own, at once; return the answers.

    Raise what any of them raised, or `TimeoutError` if one does not end.
    """
    answers: dict[int, _T] = {}
    errors: list[BaseException] = []
    ready = threading.Barrier(len(handles))

    def run(number: int, handle: Driver) -> None:
        try:
            ready.wait(PATIENCE)
            answers[number] = work(handle, *args, **options)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(handles)]
    with _eager_switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    if errors:
        raise errors[0]
    if any(thread.is_alive() for thread in threads):
        raise TimeoutError(f"a thread did not end within {PATIENCE:g} s")
    return [answers[number] for number in range(len(handles))]


@contextmanager
def _eager_switching() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
