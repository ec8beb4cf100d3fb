"""A guest's question to the metadata service, carried by an agent that knows where it came from."""

from __future__ import annotations

from pileus.wire.records import Record
from pileus.wire.types import GuestPath, HostName, IpAddress, Line, Uuid


class MetadataRequest(Record, frozen=True):
    """A GET of ``path`` from ``source_ip`` on a network (``network_id``) or behind a router
    (``router_id``): one of the two is given. The server finds the port, and by it the guest."""

    host: HostName
    path: GuestPath
    source_ip: IpAddress
    network_id: Uuid | None = None
    router_id: Uuid | None = None


class MetadataReply(Record, frozen=True):
    """The answer for the guest."""

    status: int
    content_type: Line
    body: bytes
