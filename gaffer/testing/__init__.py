"""For tests: of programs that use gaffer, of gaffer itself, and of drivers by third parties.

`fixtures` is the pytest plugin for tests of programs, made of `jobs`, `expected` and `stage`.
`doubles` has a clock that stands still and a driver that fails when told to. `harness`, `plugin`,
`model`, `strategies`, `stateful` and `suite` are the conformance suite that every driver passes.
Only the last three need Hypothesis, only `fixtures`, `plugin` and `suite` need pytest.
"""

from __future__ import annotations

from gaffer.testing.doubles import FaultyDriver, Hold, ManualClock, start_stop_stress
from gaffer.testing.harness import DriverHarness

__all__ = ["DriverHarness", "FaultyDriver", "Hold", "ManualClock", "start_stop_stress"]
