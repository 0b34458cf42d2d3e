"""Which design of the PostgreSQL tables is fast? A table of figures for each question.

Raw SQL over psycopg, on an embedded server unless --dsn names another. Ratios are medians of those
within a round; differences below a fifth, or not seen in 85 % of the rounds, are none.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from _schema_backlog import chains, schedules
from _schema_churn import churn
from _schema_claim import claims
from _schema_insert import inserts
from _schema_life import documents, endings, fillfactors, listings, queues, states
from _schema_room import Bench, server
from _schema_settle import settles
from measure import machine

QUESTIONS: dict[int, Callable[[Bench], None]] = {
    1: states,
    2: documents,
    3: queues,
    4: fillfactors,
    5: endings,
    6: inserts,
    7: claims,
    8: settles,
    9: schedules,
    10: chains,
    11: churn,
    12: listings,
}
SLOW = {11}


def _question(text: str) -> int:
    if not text.isdecimal() or int(text) not in QUESTIONS:
        raise argparse.ArgumentTypeError(f"{text} is not one of 1 to {max(QUESTIONS)}")
    return int(text)


def main() -> None:
    """Answer the questions that were asked, or all but the slow one."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "questions", nargs="*", type=_question, metavar="question",
        help=f"1 to {max(QUESTIONS)} (default: all but {', '.join(map(str, SLOW))})",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, help="how often each is measured")
    parser.add_argument("--dsn", help="a server, instead of an embedded one")
    options = parser.parse_args()
    began = time.perf_counter()
    print(f"{__doc__.splitlines()[0]}\n{machine()}")
    with server(options.dsn) as dsn:
        bench = Bench(dsn, options.rounds, embedded=options.dsn is None)
        print(f"{bench.floor()}\nµs per statement; jobs/s as such; in brackets the ratio")
        try:
            for number in options.questions or sorted(set(QUESTIONS) - SLOW):
                QUESTIONS[number](bench)
        finally:
            bench.close()
    load = os.getloadavg()[0]
    print(f"\nAll in {time.perf_counter() - began:.0f} s; load at the end {load:.1f}")


if __name__ == "__main__":
    main()
