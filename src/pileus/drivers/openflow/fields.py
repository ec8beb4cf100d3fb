"""The fields that flows match and set, by all of their names (ovs-fields(7)).

Every value is turned into an integer, so that ``fa:16:3e:00:00:01``, ``0xfa163e000001`` and
what a ``load`` writes are the same thing. Names that mean the same bits become one name:
``tcp_dst``, ``udp_dst`` and ``tp_dst`` are ``tp_dst``, since the protocol is matched beside it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import msgspec


class BadFlow(ValueError):
    """A flow that no switch would take: an unknown field or a value that can't be read."""


class Field(msgspec.Struct, frozen=True):
    """A field's one name, its width in bits, and what reads its values."""

    name: str
    bits: int
    parse: Callable[[str], int]

    @property
    def ones(self) -> int:
        """A mask of all its bits."""
        return (1 << self.bits) - 1


PORTS = {
    "IN_PORT": 0xFFF8,
    "TABLE": 0xFFF9,
    "NORMAL": 0xFFFA,
    "FLOOD": 0xFFFB,
    "ALL": 0xFFFC,
    "CONTROLLER": 0xFFFD,
    "LOCAL": 0xFFFE,
    "ANY": 0xFFFF,
    "NONE": 0xFFFF,
}
"""Reserved ports by name, as OpenFlow 1.0 numbers them (ovs-ofctl(8), "Port names")."""

_CT_STATE = ("new", "est", "rel", "rpl", "inv", "trk", "snat", "dnat")
_TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns")
_TUN_FLAGS = ("oam",)
FLAGS = {"ct_state": _CT_STATE, "tcp_flags": _TCP_FLAGS, "tun_flags": _TUN_FLAGS}
FRAGMENTS = {"no": (0, 3), "yes": (1, 1), "first": (1, 3), "later": (2, 2), "not_later": (0, 2)}
"""ip_frag in words: value and mask."""


def integer(text: str) -> int:
    """A number in decimal or, with 0x, in hexadecimal."""
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text)


def port(text: str) -> int:
    """A port's number; reserved ones by name too, in OpenFlow 1.0's 16 bits."""
    named = PORTS.get(text.upper())
    if named is not None:
        return named
    number = integer(text)
    if number >= 0xFFFFFF00:  # reserved ones in OpenFlow 1.1's 32 bits
        number &= 0xFFFF
    if number > 0xFFFF:
        raise BadFlow(f"there is no port {text}")
    return number


def mac(text: str) -> int:
    """A MAC address, also one that a ``load`` writes as a number."""
    return int(text.replace(":", ""), 16) if ":" in text else integer(text)


def ipv4(text: str) -> int:
    """An IPv4 address, also as a number."""
    return int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big") if "." in text else integer(text)


def ipv6(text: str) -> int:
    """An IPv6 address, also as a number."""
    return int.from_bytes(socket.inet_pton(socket.AF_INET6, text), "big") if ":" in text else integer(text)


# name, bits, reader, then the other names (our own lower-case aliases, NXM and OXM names)
_DECLARED: tuple[tuple[str, int, Callable[[str], int], str], ...] = (
    ("conj_id", 32, integer, "NXM_NX_CONJ_ID"),
    ("tun_id", 64, integer, "tunnel_id OXM_OF_TUNNEL_ID NXM_NX_TUN_ID"),
    ("tun_src", 32, ipv4, "NXM_NX_TUN_IPV4_SRC"),
    ("tun_dst", 32, ipv4, "NXM_NX_TUN_IPV4_DST"),
    ("tun_ipv6_src", 128, ipv6, "NXM_NX_TUN_IPV6_SRC"),
    ("tun_ipv6_dst", 128, ipv6, "NXM_NX_TUN_IPV6_DST"),
    ("tun_gbp_id", 16, integer, "NXM_NX_TUN_GBP_ID"),
    ("tun_gbp_flags", 8, integer, "NXM_NX_TUN_GBP_FLAGS"),
    ("tun_flags", 16, integer, "NXM_NX_TUN_FLAGS"),
    ("in_port", 16, port, "in_port_oxm NXM_OF_IN_PORT OXM_OF_IN_PORT"),
    ("pkt_mark", 32, integer, "NXM_NX_PKT_MARK"),
    ("ct_state", 32, integer, "NXM_NX_CT_STATE"),
    ("ct_zone", 16, integer, "NXM_NX_CT_ZONE"),
    ("ct_mark", 32, integer, "NXM_NX_CT_MARK"),
    ("ct_label", 128, integer, "NXM_NX_CT_LABEL"),
    ("ct_nw_src", 32, ipv4, "NXM_NX_CT_NW_SRC"),
    ("ct_nw_dst", 32, ipv4, "NXM_NX_CT_NW_DST"),
    ("ct_ipv6_src", 128, ipv6, "NXM_NX_CT_IPV6_SRC"),
    ("ct_ipv6_dst", 128, ipv6, "NXM_NX_CT_IPV6_DST"),
    ("ct_nw_proto", 8, integer, "NXM_NX_CT_NW_PROTO"),
    ("ct_tp_src", 16, integer, "NXM_NX_CT_TP_SRC"),
    ("ct_tp_dst", 16, integer, "NXM_NX_CT_TP_DST"),
    ("metadata", 64, integer, "OXM_OF_METADATA"),
    ("dl_src", 48, mac, "eth_src OXM_OF_ETH_SRC NXM_OF_ETH_SRC"),
    ("dl_dst", 48, mac, "eth_dst OXM_OF_ETH_DST NXM_OF_ETH_DST"),
    ("dl_type", 16, integer, "eth_type OXM_OF_ETH_TYPE NXM_OF_ETH_TYPE"),
    ("dl_vlan", 16, integer, ""),
    ("dl_vlan_pcp", 8, integer, ""),
    ("vlan_vid", 13, integer, "OXM_OF_VLAN_VID"),
    ("vlan_pcp", 3, integer, "OXM_OF_VLAN_PCP"),
    ("vlan_tci", 16, integer, "NXM_OF_VLAN_TCI"),
    ("mpls_label", 20, integer, "OXM_OF_MPLS_LABEL"),
    ("mpls_tc", 3, integer, "OXM_OF_MPLS_TC"),
    ("mpls_bos", 1, integer, "OXM_OF_MPLS_BOS"),
    ("mpls_ttl", 8, integer, "NXM_NX_MPLS_TTL"),
    ("nw_src", 32, ipv4, "ip_src OXM_OF_IPV4_SRC NXM_OF_IP_SRC"),
    ("nw_dst", 32, ipv4, "ip_dst OXM_OF_IPV4_DST NXM_OF_IP_DST"),
    ("ipv6_src", 128, ipv6, "OXM_OF_IPV6_SRC NXM_NX_IPV6_SRC"),
    ("ipv6_dst", 128, ipv6, "OXM_OF_IPV6_DST NXM_NX_IPV6_DST"),
    ("ipv6_label", 20, integer, "OXM_OF_IPV6_FLABEL NXM_NX_IPV6_LABEL"),
    ("nw_proto", 8, integer, "ip_proto OXM_OF_IP_PROTO NXM_OF_IP_PROTO"),
    ("nw_ttl", 8, integer, "NXM_NX_IP_TTL"),
    ("ip_frag", 8, integer, "nw_frag NXM_NX_IP_FRAG"),
    ("nw_tos", 8, integer, "NXM_OF_IP_TOS"),
    ("ip_dscp", 6, integer, "OXM_OF_IP_DSCP"),
    ("nw_ecn", 2, integer, "ip_ecn OXM_OF_IP_ECN NXM_NX_IP_ECN"),
    ("arp_op", 16, integer, "OXM_OF_ARP_OP NXM_OF_ARP_OP"),
    ("arp_spa", 32, ipv4, "OXM_OF_ARP_SPA NXM_OF_ARP_SPA"),
    ("arp_tpa", 32, ipv4, "OXM_OF_ARP_TPA NXM_OF_ARP_TPA"),
    ("arp_sha", 48, mac, "OXM_OF_ARP_SHA NXM_NX_ARP_SHA"),
    ("arp_tha", 48, mac, "OXM_OF_ARP_THA NXM_NX_ARP_THA"),
    (
        *("tp_src", 16, integer),
        "tcp_src udp_src sctp_src OXM_OF_TCP_SRC NXM_OF_TCP_SRC "
        "OXM_OF_UDP_SRC NXM_OF_UDP_SRC OXM_OF_SCTP_SRC",
    ),
    (
        *("tp_dst", 16, integer),
        "tcp_dst udp_dst sctp_dst OXM_OF_TCP_DST NXM_OF_TCP_DST "
        "OXM_OF_UDP_DST NXM_OF_UDP_DST OXM_OF_SCTP_DST",
    ),
    ("tcp_flags", 12, integer, "ONFOXM_ET_TCP_FLAGS NXM_NX_TCP_FLAGS"),
    (
        *("icmp_type", 8, integer),
        "icmpv6_type OXM_OF_ICMPV4_TYPE NXM_OF_ICMP_TYPE OXM_OF_ICMPV6_TYPE NXM_NX_ICMPV6_TYPE",
    ),
    (
        *("icmp_code", 8, integer),
        "icmpv6_code OXM_OF_ICMPV4_CODE NXM_OF_ICMP_CODE OXM_OF_ICMPV6_CODE NXM_NX_ICMPV6_CODE",
    ),
    ("nd_target", 128, ipv6, "OXM_OF_IPV6_ND_TARGET NXM_NX_ND_TARGET"),
    ("nd_sll", 48, mac, "OXM_OF_IPV6_ND_SLL NXM_NX_ND_SLL"),
    ("nd_tll", 48, mac, "OXM_OF_IPV6_ND_TLL NXM_NX_ND_TLL"),
    ("nd_reserved", 32, integer, "ERICOXM_OF_ICMPV6_ND_RESERVED"),
    ("nd_options_type", 8, integer, "ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE"),
    *((f"reg{n}", 32, integer, f"NXM_NX_REG{n}") for n in range(16)),
    *((f"xreg{n}", 64, integer, f"OXM_OF_PKT_REG{n}") for n in range(8)),
    *((f"xxreg{n}", 128, integer, f"NXM_NX_XXREG{n}") for n in range(4)),
    *((f"tun_metadata{n}", 992, integer, f"NXM_NX_TUN_METADATA{n}") for n in range(64)),
)

FIELDS: dict[str, Field] = {}
for _name, _bits, _parse, _others in _DECLARED:
    _field = Field(_name, _bits, _parse)
    for _alias in (_name, *_others.split()):
        FIELDS[_alias] = _field


def field(name: str) -> Field:
    """A field by any of its names, in any case as ovs-ofctl takes them; raises BadFlow."""
    found = FIELDS.get(name) or FIELDS.get(name.lower()) or FIELDS.get(name.upper())
    if found is None:
        raise BadFlow(f"unknown field {name}")
    return found


def value_and_mask(name: str, text: str) -> tuple[str, int, int]:
    """A field's one name, value and mask from ``value`` or ``value/mask`` in any notation.

    Bits outside of the mask are cleared. Raises BadFlow.
    """
    known = field(name)
    ones = known.ones
    try:
        if known.name in FLAGS and not text[:1].isdigit():
            value, mask = _flags(FLAGS[known.name], text, ones)
        elif known.name == "ip_frag" and text in FRAGMENTS:
            value, mask = FRAGMENTS[text]
        else:
            value_text, slash, mask_text = text.partition("/")
            value = known.parse(value_text)
            mask = _mask(known, mask_text) if slash else ones
    except (ValueError, OSError) as error:
        raise BadFlow(f"{name}={text}: {error}") from error
    if value > ones or value < 0:
        raise BadFlow(f"{name}={text}: the value does not fit into {known.bits} bits")
    return known.name, value & mask, mask & ones


def _mask(known: Field, text: str) -> int:
    if known.parse in (ipv4, ipv6) and text.isdigit():
        length = int(text)
        if length > known.bits:
            raise BadFlow(f"a prefix of {length} bits is too long")
        return known.ones ^ (known.ones >> length)
    return known.parse(text)


def _flags(names: tuple[str, ...], text: str, ones: int) -> tuple[int, int]:
    if text[0] not in "+-":  # flags joined by bars are all of them: the others must be clear
        known = (1 << len(names)) - 1 if names is _CT_STATE else ones  # a switch knows no others there
        return sum(1 << names.index(name) for name in text.split("|")), known
    value = mask = 0
    for part in text.replace("+", " +").replace("-", " -").split():
        bit = 1 << names.index(part[1:])
        mask |= bit
        if part[0] == "+":
            value |= bit
    return value, mask
