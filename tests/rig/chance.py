"""Random numbers that can be had again."""

from __future__ import annotations

import random
import sys

__all__ = ["chance"]


def chance(seed: int | None = None) -> random.Random:
    """Return random numbers, and say where they begin: at *seed*, or anywhere."""
    seed = random.randrange(2**32) if seed is None else seed
    sys.stdout.write(f"seed {seed}\n")
    sys.stdout.flush()
    return random.Random(seed)
