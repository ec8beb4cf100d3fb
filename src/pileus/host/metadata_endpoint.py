"""Metadata endpoints: where in the node's namespaces guests may ask for their metadata.

The agents that make the namespaces say which endpoints there are; the metadata agent serves
them. What the guests of an endpoint have in common tells the server where a question came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

METADATA_V4 = "169.254.169.254"
METADATA_V6 = "fe80::a9fe:a9fe"


class MetadataEndpoint(msgspec.Struct, frozen=True):
    """A place to listen at: ``address`` and ``port`` in ``namespace``; an IPv6 one is on ``interface``.

    Who asks there is of a network, or is behind a router: one of the two ids is given.
    """

    namespace: str
    address: str
    port: int
    interface: str | None = None
    network_id: str | None = None
    router_id: str | None = None


class MetadataServer(Protocol):
    """Answers at endpoints: ``pileus.host.metadata.agent.MetadataAgent`` is one."""

    def serve_metadata(self, owner: str, endpoints: Mapping[str, Iterable[MetadataEndpoint]]) -> None:
        """Serve these endpoints of an owner, by namespace, and no others of it."""
        ...
