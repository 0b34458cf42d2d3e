"""As much of curl as pages use, for a machine without: ``-s -o FILE -d NAME=TEXT URL``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import urlopen


def main() -> int:
    """Ask, and print or write the answer; return curl's code where nobody answers."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-o", type=Path)
    parser.add_argument("-d", action="append", default=[])
    parser.add_argument("url")
    args = parser.parse_args()
    data = "&".join(quote(text, safe="=") for text in args.d).encode() or None
    try:
        answer = urlopen(args.url, data, timeout=30)
    except HTTPError as error:
        answer = error
    except URLError:
        return 7
    with answer:
        body = answer.read()
    if args.o is None:
        sys.stdout.buffer.write(body)
    else:
        args.o.write_bytes(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
