"""The remembered results of those who read and write flows, in the driver and above it."""

from __future__ import annotations

from pileus.core.memo import Memos

MEMOS = Memos()
