"""A guest's request to the metadata service, carried by an agent that knows where it came from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.wire.records import Record
from pileus.wire.types import GuestPath, HostName, IpAddress, Line, Uuid

LONGEST_POST = 4 * 255
"""Octets that a guest may post: a password, encrypted for the server's key pair."""


class MetadataRequest(Record, frozen=True):
    """A GET of ``path`` from ``source_ip`` on a network (``network_id``) or behind a router
    (``router_id``): one of the two is given. The server finds the port, and by it the guest."""

    host: HostName
    path: GuestPath
    source_ip: IpAddress
    network_id: Uuid | None = None
    router_id: Uuid | None = None


class MetadataPost(Record, frozen=True):
    """A POST of ``body`` to ``path``; the rest is as a MetadataRequest has it."""

    host: HostName
    path: GuestPath
    source_ip: IpAddress
    body: Annotated[bytes, Meta(max_length=LONGEST_POST)]
    network_id: Uuid | None = None
    router_id: Uuid | None = None

    def __repr__(self) -> str:
        """Show where it came from; the body is a secret, and no log's."""
        place = self.network_id or self.router_id
        return f"MetadataPost({self.host!r}, {self.path!r}, {self.source_ip!r}, {place!r})"


class MetadataReply(Record, frozen=True):
    """The answer for the guest."""

    status: int
    content_type: Line
    body: bytes
