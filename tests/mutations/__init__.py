"""The mutation check: each line that a promise hangs on is taken out, and a test has to notice.

``python -m tests.mutations`` runs it. `tests/mutants.py` is another thing: whole drivers with a
fault, for the conformance suite to find.
"""
