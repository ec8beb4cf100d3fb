"""The deadline of a statement on SQLite, which has none of its own.

SQLite asks a progress handler now and then whether to go on. PostgreSQL and MariaDB are told the time
when a connection is opened (``statement_timeout``, ``max_statement_time``).
"""

from __future__ import annotations

import math
import sqlite3
import time

# Steps of SQLite's machine between two looks at the clock: some tenths of a millisecond. Fewer would be felt,
# since each look needs the interpreter.
STEPS = 10_000

STATEMENT_TIMEOUT_S = 20.0
"""Longer than any lock is waited for, which is another error."""


class Deadline:
    """Ends statements of one connection ``seconds`` after ``start``. Used in the connection's thread only."""

    __slots__ = ("_seconds", "_until")

    def __init__(self, raw: sqlite3.Connection, seconds: float) -> None:
        self._seconds = seconds
        self._until = math.inf
        raw.set_progress_handler(self._is_over, STEPS)

    def start(self) -> None:
        """A statement begins."""
        self._until = time.monotonic() + self._seconds

    def stop(self) -> None:
        """Stop the clock: the statements that come now are the engine's own."""
        self._until = math.inf

    def _is_over(self) -> bool:
        return time.monotonic() > self._until
