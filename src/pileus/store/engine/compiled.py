"""How many compiled statements an engine remembers."""

from __future__ import annotations

from typing import Any

from sqlalchemy.util import LRUCache

COMPILED = 500
"""More than are sent often. Each takes some 30 KiB; SQLAlchemy forgets when there are half as many more."""
LONGEST = 8 << 10
"""Characters of SQL. What is longer has as many conditions as a client cared to write, takes up to 64 times
its length, and comes in as many forms as he likes."""


class Compiled(LRUCache[Any, Any]):
    """An engine's memory of compiled statements, without the long ones."""

    def __init__(self) -> None:
        super().__init__(COMPILED)

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(value.string) <= LONGEST:
            super().__setitem__(key, value)
