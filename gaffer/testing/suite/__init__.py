"""The conformance suite: every sentence of `gaffer.driver`, as a test.

A driver adopts it with one line in a test file of its own, ``from gaffer.testing.suite import *``,
or without any file, by ``--pyargs gaffer.testing.suite`` on the command line of pytest.
"""

# ruff: noqa: F403 - the tests of all modules are taken over, whatever their names
from __future__ import annotations

from gaffer.testing.suite.test_ahead import *
from gaffer.testing.suite.test_chains import *
from gaffer.testing.suite.test_claims import *
from gaffer.testing.suite.test_ended import *
from gaffer.testing.suite.test_freed import *
from gaffer.testing.suite.test_lifecycle import *
from gaffer.testing.suite.test_lists import *
from gaffer.testing.suite.test_nodes import *
from gaffer.testing.suite.test_prunes import *
from gaffer.testing.suite.test_queues import *
from gaffer.testing.suite.test_races import *
from gaffer.testing.suite.test_read_races import *
from gaffer.testing.suite.test_schedules import *
from gaffer.testing.suite.test_stateful import *
from gaffer.testing.suite.test_subscribe import *
from gaffer.testing.suite.test_unique import *
from gaffer.testing.suite.test_values import *
from gaffer.testing.suite.test_write_and_claim import *
from gaffer.testing.suite.test_write_and_claim_races import *
from gaffer.testing.suite.test_writes import *

__all__ = [
    name for name, value in globals().items() if name.startswith("test_") and callable(value)
]
