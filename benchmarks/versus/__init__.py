"""The same work for gaffer and its peers, side by side on one server: ``python benchmarks/versus``.

`act` and what it imports runs in the peers' environments: nothing there may need gaffer.
"""
