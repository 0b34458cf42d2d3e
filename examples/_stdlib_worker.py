"""One worker process of `index_stdlib --processes`: works `index` until its input ends.

The first line of the standard input says how, as JSON; each event is a line of the standard output.
The input ends when the parent closes it, or has ended itself: no worker outlives it for long.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from contextlib import suppress

from _stdlib_member import Plan
from _stdlib_tally import told
from index_stdlib import declare, index, open_gaffer

import gaffer


def tell(event: gaffer.Event) -> None:
    """Be a hook: tell the parent of *event*."""
    for line in told(event):
        _write(*line)


def _write(*words: object) -> None:
    """Write a line at once, since several threads do."""
    with suppress(BrokenPipeError):  # the parent has ended, and so does the input
        os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which ends the input
    warnings.simplefilter("ignore")  # of the files that are parsed
    plan = Plan(**json.loads(sys.stdin.readline()))
    with open_gaffer(plan, tell) as g:
        declare(g, plan, {"index": index})
        _write("ready")
        sys.stdin.read()


if __name__ == "__main__":
    main()
