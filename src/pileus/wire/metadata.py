"""A guest's question to the metadata service, carried by an agent that knows where it came from."""

from __future__ import annotations

from pileus.wire.records import Record


class MetadataRequest(Record, frozen=True):
    """A GET of ``path`` from ``source_ip`` on a network (``network_id``) or behind a router
    (``router_id``): one of the two is given. The server finds the port, and by it the guest."""

    host: str
    path: str
    source_ip: str
    network_id: str | None = None
    router_id: str | None = None


class MetadataReply(Record, frozen=True):
    """What the guest is answered."""

    status: int
    content_type: str
    body: bytes
