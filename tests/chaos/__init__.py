"""Chaos: gaffer under load while everything around it fails, by chance, and a judgement at the end.

``python -m tests.chaos --minutes 3 --seed 7`` starts a PostgreSQL server and worker processes of
its own, strikes them with the `nemeses`, lets everything heal, and has the `checker` of the rig
hold what happened against what gaffer promises. The exit code is 0 if nothing was found.
"""
