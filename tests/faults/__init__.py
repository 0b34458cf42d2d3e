"""Provoked faults: what may go wrong around a queue, and what must come of it all the same."""
