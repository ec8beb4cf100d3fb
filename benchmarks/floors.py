"""What the parts underneath cost by themselves, in the same run: the floor of what can be reached."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from pathlib import Path


def sqlite_commit_ms(count: int = 200) -> float:
    """Median of a durable commit of three inserts, by the bare module."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT, b TEXT)")
        times = []
        for number in range(count):
            started = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for part in range(3):
                connection.execute(
                    "INSERT INTO t VALUES (?, ?, ?)", (f"{number}-{part}", "a" * 36, "b" * 200)
                )
            connection.execute("COMMIT")
            times.append(time.perf_counter() - started)
        connection.close()
    return statistics.median(times) * 1000
