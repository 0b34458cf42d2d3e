"""The page of the command line says what the parser says."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from gaffer.cli.exits import Exit
from gaffer.cli.parser import build

PAGE = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text()
HEADINGS = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Give each command's name and the long options that are its own."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for action in inner:
        for word, command in action.choices.items():
            yield from commands(command, f"{name} {word}".strip())
    if not inner:
        everywhere = {"--help", "--driver", "--app", "--json", "--verbose"}
        options = {option for action in parser._actions for option in action.option_strings}
        yield name, {option for option in options if option.startswith("--")} - everywhere


def section(name: str) -> str:
    """Return what stands under the heading that names a command."""
    [heading] = [one for one in HEADINGS if name in one.split(", ")]
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_each_command_has_a_section_and_no_other_is_told_of() -> None:
    told = {name for heading in HEADINGS for name in heading.split(", ")}

    assert told - {"Everywhere", "Exit codes"} == {name for name, _ in commands(build())}


def test_each_option_stands_in_the_section_of_its_command_and_no_other_does() -> None:
    for name, options in commands(build()):
        told = set(re.findall(r"(--[a-z][a-z-]+)", section(name)))

        assert options - told == set(), name
        others = {option for _, all in commands(build()) for option in all}
        assert told - options - {"--app", "--driver", "--json"} <= others, name


def test_each_exit_code_is_told() -> None:
    told = re.findall(r"^\| (\d+) \|", section_of_codes(), re.MULTILINE)

    assert [int(code) for code in told] == [*Exit]


def section_of_codes() -> str:
    """Return the section of the exit codes."""
    return PAGE.split("\n## Exit codes\n")[1].split("\n## ")[0]
