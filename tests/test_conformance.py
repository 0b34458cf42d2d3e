"""The conformance suite on every driver that ``--driver`` names."""

from gaffer.testing.suite import *  # noqa: F403
