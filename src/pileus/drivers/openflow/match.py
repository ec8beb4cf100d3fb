"""The match of a flow, in one canonical form (ovs-fields(7), "Matching").

The same match is written in many ways (``tcp`` or ``dl_type=0x800,nw_proto=6``, ``dl_vlan=5`` or
``vlan_tci=0x1005/0x1fff``, any order of flags and fields, unmasked host bits); a switch
answers in its own. Two texts match the same packets exactly if their forms here are equal.
"""

from __future__ import annotations

import itertools
import re

from pileus.drivers.openflow.fields import BadFlow, value_and_mask
from pileus.drivers.openflow.memos import MEMOS

Match = frozenset[tuple[str, int, int]]
"""Fields with value and mask. A field that matches everything is not among them."""

_TYPE, _PROTOCOL = ("dl_type", 0xFFFF), ("nw_proto", 0xFF)
_SHORTHANDS: dict[str, tuple[int, int | None]] = {
    "ip": (0x0800, None),
    "ipv6": (0x86DD, None),
    "icmp": (0x0800, 1),
    "icmp6": (0x86DD, 58),
    "tcp": (0x0800, 6),
    "tcp6": (0x86DD, 6),
    "udp": (0x0800, 17),
    "udp6": (0x86DD, 17),
    "sctp": (0x0800, 132),
    "sctp6": (0x86DD, 132),
    "arp": (0x0806, None),
    "rarp": (0x8035, None),
    "mpls": (0x8847, None),
    "mplsm": (0x8848, None),
}
_VLAN_PRESENT = 0x1000
_SPELT_OTHERWISE = frozenset(
    (
        *("dl_vlan", "vlan_vid", "dl_vlan_pcp", "vlan_pcp", "vlan_tci", "nw_tos"),
        *(f"xreg{number}" for number in range(8)),
        *(f"xxreg{number}" for number in range(4)),
    )
)
_IP4, _IP6, _ARP = (0x0800,), (0x86DD,), (0x0806, 0x8035)
_IP = _IP4 + _IP6
_NEEDS: dict[str, tuple[tuple[int, ...], tuple[int, ...] | None]] = {
    **dict.fromkeys(("nw_src", "nw_dst"), (_IP4, None)),
    **dict.fromkeys(("nw_proto", "nw_ttl", "ip_frag", "ip_dscp", "nw_ecn"), (_IP, None)),
    **dict.fromkeys(("ipv6_src", "ipv6_dst", "ipv6_label"), (_IP6, None)),
    **dict.fromkeys(("arp_op", "arp_spa", "arp_tpa", "arp_sha", "arp_tha"), (_ARP, None)),
    **dict.fromkeys(("tp_src", "tp_dst"), (_IP, (6, 17, 132))),
    **dict.fromkeys(("icmp_type", "icmp_code"), (_IP, (1, 58))),
    **dict.fromkeys(("nd_target", "nd_sll", "nd_tll"), (_IP6, (58,))),
    "tcp_flags": (_IP, (6,)),
}
# Where one token changes what another one means, or adds to it.
_COMBINED = re.compile(r"pcp|arp|icmp|0x0*806\b|0x0*8035\b|(?:nw|ip)_proto=(?:1|58|0x1|0x3a)\b")
_ARP_NAMES = {"nw_proto": "arp_op", "nw_src": "arp_spa", "nw_dst": "arp_tpa"}
_ICMP_NAMES = {"tp_src": "icmp_type", "tp_dst": "icmp_code"}


@MEMOS.remember(32768)
def canonical_match(text: str) -> Match:
    """The canonical form of a match as ovs-ofctl writes or reads it; raises BadFlow."""
    parts = [_fields(token) for token in text.replace(" ", "").split(",")]
    if not _COMBINED.search(text):
        return frozenset(itertools.chain.from_iterable(parts))
    fields: dict[str, tuple[int, int]] = {}
    for name, value, mask in itertools.chain.from_iterable(parts):
        if name in fields:  # parts of one field: vlan id and priority
            value, mask = value | fields[name][0], mask | fields[name][1]
        fields[name] = (value, mask)
    kind = fields.get("dl_type", (0, 0))[0]
    if kind in (0x0806, 0x8035):
        fields = {_ARP_NAMES.get(name, name): pair for name, pair in fields.items()}
        if "arp_op" in fields:
            fields["arp_op"] = (fields["arp_op"][0], 0xFFFF)
    elif fields.get("nw_proto", (0, 0))[0] in (1, 58) and ("tp_src" in fields or "tp_dst" in fields):
        for old, new in _ICMP_NAMES.items():
            if old in fields:
                fields[new] = (fields.pop(old)[0], 0xFF)
    return frozenset((name, value, mask) for name, (value, mask) in fields.items())


def check_prerequisites(match: Match) -> None:
    """Raise BadFlow for a field without the protocol it belongs to (ovs-fields(7), "Prerequisites").

    ovs-ofctl leaves such a field out with a warning only, so that the flow matches more than was meant.
    """
    values = {name: value for name, value, _ in match}
    kind, protocol = values.get("dl_type"), values.get("nw_proto")
    for name in values:
        needed = _NEEDS.get(name)
        if needed is not None and (
            kind not in needed[0] or (needed[1] is not None and protocol not in needed[1])
        ):
            raise BadFlow(f"{name} is matched without its protocol")


def matches_vlan(match: Match) -> bool:
    """Whether only packets with a VLAN tag match."""
    return any(name == "vlan_tci" and value & mask & _VLAN_PRESENT for name, value, mask in match)


@MEMOS.remember(32768)
def _fields(token: str) -> tuple[tuple[str, int, int], ...]:
    if not token:
        return ()
    name, equals, text = token.partition("=")
    if not equals:
        kind, protocol = _shorthand(token)
        pair = (_TYPE[0], kind, _TYPE[1])
        return (pair,) if protocol is None else (pair, (_PROTOCOL[0], protocol, _PROTOCOL[1]))
    if text == "*":
        return ()
    name, value, mask = value_and_mask(name, text)
    if mask == 0:
        return ()
    if name not in _SPELT_OTHERWISE:
        return ((name, value, mask),)
    match name:
        case "dl_vlan" | "vlan_tci" if (value, mask) == (0xFFFF if name == "dl_vlan" else 0, 0xFFFF):
            # "No tag" has one form in OpenFlow's own words, whatever the other bits were to be.
            return (("vlan_tci", 0, 0x1FFF),)
        case "dl_vlan" | "vlan_vid":
            present = _VLAN_PRESENT if name == "dl_vlan" else 0
            return (
                ("vlan_tci", value & 0xFFF | value & _VLAN_PRESENT | present, mask & 0xFFF | _VLAN_PRESENT),
            )
        case "dl_vlan_pcp" | "vlan_pcp":
            return (("vlan_tci", value << 13 | _VLAN_PRESENT, 0xE000 | _VLAN_PRESENT),)
        case "nw_tos":
            return (("ip_dscp", value >> 2, 0x3F),)
        case "vlan_tci":
            return ((name, value, mask),)
    number = int(name.lstrip("xreg"))
    count = 2 if name.startswith("xr") else 4
    return _registers(number * count, count, value, mask)


def _shorthand(token: str) -> tuple[int, int | None]:
    try:
        return _SHORTHANDS[token]
    except KeyError:
        raise BadFlow(f"unknown keyword {token}") from None


def _registers(first: int, count: int, value: int, mask: int) -> tuple[tuple[str, int, int], ...]:
    """A wide register is its 32-bit registers, the most significant first."""
    parts = []
    for place in range(count):
        shift = 32 * (count - 1 - place)
        if part := mask >> shift & 0xFFFFFFFF:
            parts.append((f"reg{first + place}", value >> shift & 0xFFFFFFFF, part))
    return tuple(parts)
