"""Does what a page tells a new user to do: writes its files, types its commands, reads what comes.

The blocks of the page are taken in their order. One with ``<!-- file: jobs.py -->`` before it
becomes that file. An ``sh`` block is typed into one terminal, a bash; the ``text`` block after it
is what it prints, but for ``...`` and the number of spaces. What only looks is repeated until it
sees that, as by a reader who was too quick; all else is done once.

``<!-- in an empty environment -->`` stands before blocks that make one, and say where the jobs are.
Unless the program is run by itself they are left out: the environment is there.

    python -m tests.first_hour docs/tutorial/first-hour.md
"""

from __future__ import annotations

import doctest
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from threading import Event

from tests.rig.waiting import free_port
from tests.test_docs_examples import Block, blocks

CURL = Path(__file__).parent / "rig" / "curl.py"
PATIENCE = 60.0
INSTALLING = 600.0

LOOKS = re.compile(
    r"(?:gaffer (?:jobs (?:list|show)|why|queues|doctor)|curl -s http|cat|tail|grep)\b"
)
APART = re.compile(r"^\s*<!-- in an empty environment -->\s*$")
PORT = re.compile(r"\b812\d\b")
END = "\x04the end, with "


@dataclass(frozen=True)
class Step:
    """What to do at one place of a page: write a file, or type commands and see what they say."""

    block: Block
    apart: bool
    said: str | None = None

    @property
    def looks(self) -> bool:
        """Whether nothing changes by it."""
        return all(LOOKS.match(line) for line in self.block.source.splitlines())


def steps(text: str) -> Iterator[Step]:
    """Find what a page tells to do, in order."""
    lines = text.splitlines()
    found = list(blocks(text))
    for block, after in zip_longest(found, found[1:]):
        if block.file or block.language == "sh":
            above = lines[block.line - 3] if block.line > 2 else ""
            said = after.source if after and after.language == "text" and not block.file else None
            yield Step(block, bool(APART.match(above)), said)


class Terminal:
    """A bash in *folder*; it and all that was started in it end with the block."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        ours = ("GAFFER_", "PYTEST", "PYTHON", "PG", "DATABASE_URL", "FLASK_", "VIRTUAL_ENV")
        others = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        # The commands of this environment, whether it was activated or not.
        here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed at the end)
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**others, "PATH": here, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait(PATIENCE)
        for file in (self._bash.stdin, self._bash.stdout, self._errors):
            assert file is not None
            file.close()

    def type(self, commands: str, patience: float = PATIENCE) -> tuple[int, str]:
        """Type *commands*; return the exit code of the last, and what all have printed."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{commands}\nprintf '{END}%s\\n' $?\n".encode())
        self._bash.stdin.flush()
        printed = b""
        deadline = time.monotonic() + patience
        ended = re.compile(rb"(?s)(.*)" + END.encode() + rb"(\d+)\n")
        while not (end := ended.fullmatch(printed)):
            printed += self._read(deadline, commands)
        return int(end[2]), end[1].decode()

    def _read(self, deadline: float, commands: str) -> bytes:
        assert self._bash.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._bash.stdout, selectors.EVENT_READ)
            ready = selector.select(max(0.0, deadline - time.monotonic()))
        more = os.read(self._bash.stdout.fileno(), 65536) if ready else b""
        assert more, f"{commands!r} does not end; {self.complaints()}"
        return more

    def complaints(self) -> str:
        """Return what was written to the standard error so far."""
        self._errors.seek(0)
        return self._errors.read()


def follow(page: Path, folder: Path, settings: Mapping[str, str], *, empty: bool = False) -> None:
    """Do in *folder* what *page* says; *empty*: in an environment that it makes."""
    text = page.read_text("utf-8")
    for port in set(PORT.findall(text)):  # so that it does not matter who else has them
        text = text.replace(port, str(free_port()))
    with Terminal(folder, settings) as terminal:
        if shutil.which("curl") is None:
            terminal.type(
                f'curl() {{ {shlex.quote(sys.executable)} {shlex.quote(str(CURL))} "$@"; }}'
            )
        for step in steps(text):
            if step.block.file:
                (folder / step.block.file).write_text(step.block.source, "utf-8")
            elif empty or not step.apart:
                _do(terminal, step, f"{page.name}:{step.block.line}")


def _do(terminal: Terminal, step: Step, place: str) -> None:
    patience = INSTALLING if step.apart else PATIENCE
    deadline = time.monotonic() + PATIENCE
    pause = Event()
    while True:
        code, printed = terminal.type(step.block.source, patience)
        if step.said is None or _alike(step.said, printed):
            break
        if not step.looks or time.monotonic() > deadline:
            raise AssertionError(
                f"{place} prints\n{printed}\nand not\n{step.said}\n{terminal.complaints()}"
            )
        pause.wait(0.2)
    assert code == 0 or step.looks, f"{place} ends with {code}: {printed}{terminal.complaints()}"


def _alike(told: str, printed: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(told, printed, flags)


if __name__ == "__main__":
    # The server may be about to end: it is the last that lets go of its folder.
    with tempfile.TemporaryDirectory("", "gaffer-newcomer-", ignore_cleanup_errors=True) as place:
        follow(Path(sys.argv[1]), Path(place), {}, empty=True)
