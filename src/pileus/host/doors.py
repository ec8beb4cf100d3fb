"""Doors: where in the node's namespaces guests may ask for their metadata.

The agents that make the namespaces say which doors there are; the metadata agent stands behind
them. What the guests of a door have in common tells the server where a question came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

METADATA_V4 = "169.254.169.254"
METADATA_V6 = "fe80::a9fe:a9fe"


class Door(msgspec.Struct, frozen=True):
    """A listening place: ``address`` and ``port`` in ``namespace``; an IPv6 one is on ``interface``.

    Who comes through is of a network, or is behind a router: one of the two ids is given.
    """

    namespace: str
    address: str
    port: int
    interface: str | None = None
    network_id: str | None = None
    router_id: str | None = None


class DoorKeeper(Protocol):
    """Stands behind doors: ``pileus.host.metadata.agent.MetadataAgent`` is one."""

    def open_doors(self, owner: str, doors: Mapping[str, Iterable[Door]]) -> None:
        """These are all doors of an owner now, by namespace."""
        ...
