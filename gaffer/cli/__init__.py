"""The command line: ``gaffer``, or ``python -m gaffer``.

`main` reads the arguments, runs one command, and turns what is raised into an exit code. Each
command is a module with `add`, which tells the parser of it, and a function that runs it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence

from gaffer.cli.exits import Exit, exit_of
from gaffer.cli.output import Output
from gaffer.cli.parser import parsed

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* (by default the program's arguments) names; return its code.

    The codes are those of `gaffer.cli.exits.Exit`. Wrong arguments raise `SystemExit(2)`.
    """
    args = parsed(sys.argv[1:] if argv is None else argv)
    try:
        code: Exit = args.run(args, Output(sys.stdout, as_json=args.json))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        code = exit_of(error)
        _complain(error, code, as_json=args.json, verbose=args.verbose)
        return code


def _complain(error: Exception, code: Exit, *, as_json: bool, verbose: bool) -> None:
    if verbose:
        traceback.print_exception(error)
    if as_json:
        told = {"error": type(error).__name__, "message": str(error), "exit": int(code)}
        print(json.dumps(told), file=sys.stderr)
    else:
        print(f"gaffer: {error}", file=sys.stderr)
