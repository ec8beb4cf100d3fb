"""Records of the domain name system, and what brings them to a server of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol


class DnsRecord(NamedTuple):
    """One record: ``name`` is whole, with a dot at its end; ``kind`` is ``A``, ``AAAA`` or ``PTR``."""

    name: str
    kind: str
    data: str


class DnsUnreachable(Exception):
    """The server gives no answer, or none that can be trusted."""


class DnsPublisher(Protocol):
    """Brings records to a server; each of its verbs can be repeated."""

    async def change(
        self, add: Collection[DnsRecord], remove: Collection[DnsRecord]
    ) -> Mapping[DnsRecord, str]:
        """Add and remove records; returns those that the server refused, with its reasons, while all others
        are as they should be. Raises DnsUnreachable: then nothing is known of any."""
        ...
