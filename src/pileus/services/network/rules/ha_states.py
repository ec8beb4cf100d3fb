"""States of a router of high availability on one of its agents, in the words of the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ACTIVE, STANDBY, UNKNOWN = "active", "standby", "unknown"
STATES = (ACTIVE, STANDBY, UNKNOWN)


def leading(bindings: Iterable[Any]) -> Any:
    """The binding by which a router's ports are bound (rows of bindings): the one that became active last (a
    host that dies says nothing), else the oldest."""
    several = sorted(bindings, key=lambda row: row.binding_index)
    active = [row for row in several if row.ha_state == ACTIVE]
    return max(active, key=lambda row: row.ha_state_at) if active else several[0]
