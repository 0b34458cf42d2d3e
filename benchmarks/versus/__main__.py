"""The command: ``python benchmarks/versus``, or ``python -m benchmarks.versus``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `versus` and `measure`

from versus.command import main

# As Ctrl-C: servers and processes are stopped, and what was measured until then is shown.
signal.signal(signal.SIGTERM, signal.default_int_handler)
sys.exit(main())
