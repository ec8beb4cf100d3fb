"""How much longer than usual tests wait: ``PILEUS_TEST_PATIENCE`` times, where a machine is emulated."""

from __future__ import annotations

import os

PATIENCE = float(os.environ.get("PILEUS_TEST_PATIENCE", "1"))
