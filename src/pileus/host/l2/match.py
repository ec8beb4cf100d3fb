"""Security rules as OpenFlow matches: protocols, port ranges as the fewest masks, addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from pileus.wire.switch import SecurityRule

_NUMBERS = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "egp": 8,
    "udp": 17,
    "ipv6-encap": 41,
    "ipv6-route": 43,
    "ipv6-frag": 44,
    "rsvp": 46,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ospf": 89,
    "pim": 103,
    "pgm": 113,
    "vrrp": 112,
    "sctp": 132,
    "dccp": 33,
    "udplite": 136,
}
"""Neutron's names of IP protocols and IANA's numbers."""

_PORTED = {6: "tcp", 17: "udp", 132: "sctp"}
"""Protocols whose ports Open vSwitch can match."""


class Unmatchable(ValueError):
    """A rule that Open vSwitch can't express; it permits nothing."""


def protocol_number(protocol: str) -> int:
    """A name of Neutron's or a number as text; raises Unmatchable."""
    if protocol.isdigit() and int(protocol) <= 255:
        return int(protocol)
    try:
        return _NUMBERS[protocol.lower()]
    except KeyError:
        raise Unmatchable(f"unknown protocol {protocol!r}") from None


def port_masks(low: int, high: int) -> Iterator[str]:
    """The fewest value/mask pairs that cover ports ``low`` to ``high``, as Open vSwitch writes them."""
    while low <= high:
        size = low & -low or 1 << 16
        while size > high - low + 1:
            size >>= 1
        if size == 1:
            yield str(low)
        elif size == 1 << 16:
            yield "0x0/0x0"
        else:
            yield f"0x{low:x}/0x{0x10000 - size:x}"
        low += size


def rule_matches(rule: SecurityRule) -> list[str]:
    """Matches of the protocol part of a rule, one for each mask; raises Unmatchable.

    For ICMP the range is type and code (Neutron's API), for others destination ports.
    """
    v6 = rule.ethertype == "IPv6"
    family = "ipv6" if v6 else "ip"
    if rule.protocol is None or rule.protocol in ("any", "0"):
        return [family]
    number = protocol_number(rule.protocol)
    if number in (1, 58):
        # "icmp" in an IPv6 rule means ICMPv6 (Neutron accepts both spellings).
        name = "icmp6" if v6 else "icmp"
        if (number == 58) and not v6:
            raise Unmatchable("ICMPv6 in an IPv4 rule")
        match = name
        if rule.port_range_min is not None:
            match += f",icmp_type={rule.port_range_min}"
            if rule.port_range_max is not None:
                match += f",icmp_code={rule.port_range_max}"
        return [match]
    low, high = rule.port_range_min, rule.port_range_max
    if number in _PORTED:
        name = _PORTED[number] + ("6" if v6 else "")
        if low is None and high is None:
            return [name]
        low = 0 if low is None else low
        high = low if high is None else high
        if (low, high) == (0, 65535):
            return [name]
        return [f"{name},tp_dst={mask}" for mask in port_masks(low, high)]
    if low is not None or high is not None:
        raise Unmatchable(f"ports of protocol {rule.protocol} can't be matched")
    return [f"{family},nw_proto={number}"]


def address_match(direction: str, address: str) -> str:
    """The other side's address: the source on ingress, the destination on egress.

    ``address`` may be a prefix; a prefix of length 0 is only the family.
    """
    network = ipaddress.ip_network(address, strict=False)
    v6 = network.version == 6
    family = "ipv6" if v6 else "ip"
    if network.prefixlen == 0:
        return family
    side = "src" if direction == "ingress" else "dst"
    field = f"ipv6_{side}" if v6 else f"nw_{side}"
    text = str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
    return f"{family},{field}={text}"


def conjoin(*matches: str) -> str:
    """Matches joined, without repeating a field or naming the plain family beside a protocol."""
    parts = dict.fromkeys(part for match in matches if match for part in match.split(","))
    for family, special in (
        ("ip", ("tcp", "udp", "sctp", "icmp")),
        ("ipv6", ("tcp6", "udp6", "sctp6", "icmp6")),
    ):
        if family in parts and any(name in parts for name in special):
            del parts[family]
    return ",".join(parts)
