"""Which addresses of a guest nobody tells it on the network. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Subnet = Mapping[str, Any]


def is_static(subnet: Subnet) -> bool:
    """Whether neither a DHCP server nor a router tells the addresses of this subnet."""
    return not subnet["enable_dhcp"] and not subnet["ipv6_address_mode"]


def is_untold(subnets: Iterable[Subnet], network_ids: Iterable[str]) -> bool:
    """Whether one of these networks has static subnets only: a config drive alone tells a guest of it."""
    of_network: dict[str, list[bool]] = {}
    for subnet in subnets:
        of_network.setdefault(subnet["network_id"], []).append(is_static(subnet))
    wanted = set(network_ids)
    return any(all(static) for network_id, static in of_network.items() if network_id in wanted)
