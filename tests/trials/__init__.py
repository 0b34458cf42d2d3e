"""Trials: promises as figures. Each module here is one, and says what it does and measures.

``python -m tests.trials`` lists them, ``python -m tests.trials NAME`` runs one in full and prints
its figures with their bounds; the exit code is 1 if a bound is broken. With ``--short`` it takes
seconds: so the tests run them.
"""
