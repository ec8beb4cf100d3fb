"""Publishing names: of which addresses, and as which records. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pileus.core.dns import DnsRecord
from pileus.services.network.rules.segments import Ranges


def is_projects_own(
    network_type: str, segmentation_id: int | None, physical_network: str | None, ranges: Ranges
) -> bool:
    """Whether a segment is one that projects are given, which nobody outside reaches the addresses of."""
    return any(
        low <= (segmentation_id or 0) <= high
        for name, several in ranges.pools(network_type)
        for low, high in several
        if not name or name == physical_network
    )


def published_addresses(
    fixed_ips: Sequence[Mapping[str, str]],
    network: Mapping[str, Any],
    flagged: Collection[str],
    ranges: Ranges,
) -> set[str]:
    """The addresses of a port that names lead to: those of subnets that say so, and all on a network that is
    reached from outside, as a provider's is; of external networks the floating IPs alone."""
    named = {ip["ip_address"] for ip in fixed_ips if ip["subnet_id"] in flagged}
    own = not network["has_several"] and is_projects_own(
        network["network_type"], network["segmentation_id"], network["physical_network"], ranges
    )
    return named if network["external"] or own else {ip["ip_address"] for ip in fixed_ips}


def records_of(names: Mapping[str, str], *, reverse: bool) -> Iterator[DnsRecord]:
    """The records of addresses with their whole names."""
    for text, name in names.items():
        address = ipaddress.ip_address(text)
        yield DnsRecord(name, "A" if address.version == 4 else "AAAA", str(address))
        if reverse:
            yield DnsRecord(f"{address.reverse_pointer}.", "PTR", name)
