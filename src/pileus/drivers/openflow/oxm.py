"""Fields as a switch reads them: OXM and NXM headers, and matches made of them.

A header is class (16 bits), field (7), "has a mask" (1) and length of the payload (8), by the OpenFlow
Switch Specification 1.4 (7.2.3.2) and ovs-fields(7). Fields of other names share one here when they mean
the same bits (``tp_dst`` is the port of TCP, UDP or SCTP), so some are told apart by the protocol.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

from pileus.drivers.openflow.fields import FIELDS, BadFlow, Field, field, ipv4, ipv6, mac
from pileus.drivers.openflow.match import Match
from pileus.drivers.openflow.memos import MEMOS

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
HEADER = struct.Struct("!HBB")
_EXPERIMENTER = 0xFFFF
_EXPERIMENTER_ID = struct.Struct("!I")
_ONF = 0x4F4E4600
_MATCH_HEAD = struct.Struct("!HH")
_OXM_MATCH = 1
_NXM_OF, _NXM_NX, _OXM_OF, _OXM_REGS, _ERICOXM = 0x0000, 0x0001, 0x8000, 0x8001, 0x1000
_MASKED = 1
_PORT_RESERVED_16, _PORT_RESERVED_32 = 0xFF00, 0xFFFF0000

# What a field's bits are called on the wire: class, number and bytes. Where the name depends on the
# protocol the key has it.
_CODES: dict[tuple[str, int], tuple[int, int, int]] = {
    ("dl_type", 0): (_OXM_OF, 5, 2),
    ("in_port", 0): (_OXM_OF, 0, 4),
    ("metadata", 0): (_OXM_OF, 2, 8),
    ("dl_dst", 0): (_OXM_OF, 3, 6),
    ("dl_src", 0): (_OXM_OF, 4, 6),
    ("vlan_tci", 0): (_NXM_OF, 4, 2),
    ("vlan_vid", 0): (_OXM_OF, 6, 2),
    ("vlan_pcp", 0): (_OXM_OF, 7, 1),
    ("ip_dscp", 0): (_OXM_OF, 8, 1),
    ("nw_ecn", 0): (_OXM_OF, 9, 1),
    ("nw_proto", 0): (_OXM_OF, 10, 1),
    ("nw_src", 0): (_OXM_OF, 11, 4),
    ("nw_dst", 0): (_OXM_OF, 12, 4),
    ("tp_src", TCP): (_OXM_OF, 13, 2),
    ("tp_dst", TCP): (_OXM_OF, 14, 2),
    ("tp_src", UDP): (_OXM_OF, 15, 2),
    ("tp_dst", UDP): (_OXM_OF, 16, 2),
    ("tp_src", SCTP): (_OXM_OF, 17, 2),
    ("tp_dst", SCTP): (_OXM_OF, 18, 2),
    ("icmp_type", ICMP): (_OXM_OF, 19, 1),
    ("icmp_code", ICMP): (_OXM_OF, 20, 1),
    ("arp_op", 0): (_OXM_OF, 21, 2),
    ("arp_spa", 0): (_OXM_OF, 22, 4),
    ("arp_tpa", 0): (_OXM_OF, 23, 4),
    ("arp_sha", 0): (_OXM_OF, 24, 6),
    ("arp_tha", 0): (_OXM_OF, 25, 6),
    ("ipv6_src", 0): (_OXM_OF, 26, 16),
    ("ipv6_dst", 0): (_OXM_OF, 27, 16),
    ("ipv6_label", 0): (_OXM_OF, 28, 4),
    ("icmp_type", ICMPV6): (_OXM_OF, 29, 1),
    ("icmp_code", ICMPV6): (_OXM_OF, 30, 1),
    ("nd_target", 0): (_OXM_OF, 31, 16),
    ("nd_sll", 0): (_OXM_OF, 32, 6),
    ("nd_tll", 0): (_OXM_OF, 33, 6),
    ("mpls_label", 0): (_OXM_OF, 34, 4),
    ("mpls_tc", 0): (_OXM_OF, 35, 1),
    ("mpls_bos", 0): (_OXM_OF, 36, 1),
    ("tun_id", 0): (_OXM_OF, 38, 8),
    ("nw_tos", 0): (_NXM_OF, 5, 1),
    ("ip_frag", 0): (_NXM_NX, 26, 1),
    ("nw_ttl", 0): (_NXM_NX, 29, 1),
    ("mpls_ttl", 0): (_NXM_NX, 30, 1),
    ("tun_src", 0): (_NXM_NX, 31, 4),
    ("tun_dst", 0): (_NXM_NX, 32, 4),
    ("pkt_mark", 0): (_NXM_NX, 33, 4),
    ("tcp_flags", 0): (_NXM_NX, 34, 2),
    ("conj_id", 0): (_NXM_NX, 37, 4),
    ("tun_gbp_id", 0): (_NXM_NX, 38, 2),
    ("tun_gbp_flags", 0): (_NXM_NX, 39, 1),
    ("tun_flags", 0): (_NXM_NX, 104, 2),
    ("ct_state", 0): (_NXM_NX, 105, 4),
    ("ct_zone", 0): (_NXM_NX, 106, 2),
    ("ct_mark", 0): (_NXM_NX, 107, 4),
    ("ct_label", 0): (_NXM_NX, 108, 16),
    ("tun_ipv6_src", 0): (_NXM_NX, 109, 16),
    ("tun_ipv6_dst", 0): (_NXM_NX, 110, 16),
    ("ct_nw_proto", 0): (_NXM_NX, 119, 1),
    ("ct_nw_src", 0): (_NXM_NX, 120, 4),
    ("ct_nw_dst", 0): (_NXM_NX, 121, 4),
    ("ct_ipv6_src", 0): (_NXM_NX, 122, 16),
    ("ct_ipv6_dst", 0): (_NXM_NX, 123, 16),
    ("ct_tp_src", 0): (_NXM_NX, 124, 2),
    ("ct_tp_dst", 0): (_NXM_NX, 125, 2),
    ("nd_reserved", 0): (_ERICOXM, 1, 4),
    ("nd_options_type", 0): (_ERICOXM, 2, 1),
    **{(f"reg{number}", 0): (_NXM_NX, number, 4) for number in range(16)},
    **{(f"xreg{number}", 0): (_OXM_REGS, number, 8) for number in range(8)},
    **{(f"xxreg{number}", 0): (_NXM_NX, 111 + number, 16) for number in range(4)},
}
# Other numbers under which a switch may answer.
_ALSO: dict[tuple[int, int], str] = {
    (_NXM_OF, 0): "in_port",
    (_NXM_OF, 1): "dl_dst",
    (_NXM_OF, 2): "dl_src",
    (_NXM_OF, 3): "dl_type",
    (_NXM_OF, 6): "nw_proto",
    (_NXM_OF, 7): "nw_src",
    (_NXM_OF, 8): "nw_dst",
    (_NXM_OF, 9): "tp_src",
    (_NXM_OF, 10): "tp_dst",
    (_NXM_OF, 11): "tp_src",
    (_NXM_OF, 12): "tp_dst",
    (_NXM_OF, 13): "icmp_type",
    (_NXM_OF, 14): "icmp_code",
    (_NXM_OF, 15): "arp_op",
    (_NXM_OF, 16): "arp_spa",
    (_NXM_OF, 17): "arp_tpa",
    (_NXM_NX, 16): "tun_id",
    (_NXM_NX, 17): "arp_sha",
    (_NXM_NX, 18): "arp_tha",
    (_NXM_NX, 19): "ipv6_src",
    (_NXM_NX, 20): "ipv6_dst",
    (_NXM_NX, 21): "icmp_type",
    (_NXM_NX, 22): "icmp_code",
    (_NXM_NX, 23): "nd_target",
    (_NXM_NX, 24): "nd_sll",
    (_NXM_NX, 25): "nd_tll",
    (_NXM_NX, 27): "ipv6_label",
    (_NXM_NX, 28): "nw_ecn",
    (_EXPERIMENTER, 42): "tcp_flags",
}
_NAMES = {(code[0], code[1]): name for (name, _), code in _CODES.items()} | _ALSO
_FIRST = ("dl_type", "vlan_tci", "vlan_vid", "vlan_pcp", "nw_proto", "ct_state", "icmp_type", "icmp_code")
_ORDER = {name: place for place, name in enumerate(FIELDS)}
for _place, _name in enumerate(_FIRST):  # what others require comes before them
    _ORDER[_name] = _place - len(_FIRST)


def header(known: Field, protocol: int = 0, masked: bool = False) -> bytes:
    """The header of a field; ``protocol`` tells ports and ICMP types apart. Raises BadFlow."""
    # As a part of others the port has OpenFlow 1.0's 16 bits, since that is the number of bits it has here.
    kind, number, size = (_NXM_OF, 0, 2) if known.name == "in_port" else _code(known.name, protocol)
    return HEADER.pack(kind, number << 1 | masked, size * 2 if masked else size)


def assignment(name: str, value: int, mask: int, protocol: int = 0) -> bytes:
    """A field with its value, and its mask where not all bits count; raises BadFlow."""
    known = FIELDS[name]
    kind, number, size = _code(name, protocol)
    if name == "in_port":
        value, mask = port_32(value), (1 << 32) - 1
    if mask == known.ones or (name == "in_port"):
        return HEADER.pack(kind, number << 1, size) + value.to_bytes(size)
    return HEADER.pack(kind, number << 1 | _MASKED, 2 * size) + value.to_bytes(size) + mask.to_bytes(size)


def _code(name: str, protocol: int) -> tuple[int, int, int]:
    code = _CODES.get((name, 0)) or _CODES.get((name, protocol))
    if code is None:
        raise BadFlow(f"{name} is not told without its protocol")
    return code


def port_32(number: int) -> int:
    """A port's number in OpenFlow 1.1's 32 bits."""
    return number | _PORT_RESERVED_32 if number >= _PORT_RESERVED_16 else number


def protocol_of(match: Match) -> int:
    """The protocol above IP that a match is about; 0: none."""
    return next((value for name, value, mask in match if name == "nw_proto" and mask == 0xFF), 0)


def encode_match(match: Match) -> bytes:
    """``ofp_match`` with its padding; raises BadFlow."""
    protocol = protocol_of(match)
    parts = sorted((_ORDER[part[0]], _matched(*part, protocol)) for part in match)
    body = b"".join([encoded for _, encoded in parts])
    length = _MATCH_HEAD.size + len(body)
    return _MATCH_HEAD.pack(_OXM_MATCH, length) + body + bytes(-length % 8)


@MEMOS.remember(32768)
def _matched(name: str, value: int, mask: int, protocol: int) -> bytes:
    return assignment(name, value, mask, protocol)


def decode_match(data: memoryview | bytes) -> str:
    """``ofp_match``'s fields in the words of ovs-ofctl; raises BadFlow, struct.error."""
    kind, length = _MATCH_HEAD.unpack_from(data)
    if kind != _OXM_MATCH or not _MATCH_HEAD.size <= length <= len(data):
        raise BadFlow(f"a match of kind {kind} and length {length}")
    return ",".join([words(part) for part in split_fields(bytes(data[_MATCH_HEAD.size : length]))])


def match_size(data: memoryview | bytes) -> int:
    """The bytes of an ``ofp_match``, its padding among them."""
    length: int = _MATCH_HEAD.unpack_from(data)[1]
    return length + -length % 8


def split_fields(data: bytes) -> Iterator[bytes]:
    """Each field with its header; raises BadFlow where one goes beyond the end."""
    start = 0
    while start < len(data):
        if start + HEADER.size > len(data):
            raise BadFlow("a match is cut off")
        end = start + HEADER.size + data[start + 3]
        if end > len(data):
            raise BadFlow("a match is cut off")
        yield data[start:end]
        start = end


def read_header(data: bytes) -> tuple[Field, bool, int]:
    """Field, whether a mask follows, and bytes of the header; raises BadFlow."""
    kind, number, _ = HEADER.unpack_from(data)
    size = HEADER.size
    if kind == _EXPERIMENTER:
        if len(data) < size + 4 or _EXPERIMENTER_ID.unpack_from(data, size)[0] != _ONF:
            raise BadFlow("a field of an unknown experimenter")
        size += _EXPERIMENTER_ID.size
    name = _NAMES.get((kind, number >> 1))
    if name is None:
        raise BadFlow(f"an unknown field {kind:#x}:{number >> 1}")
    return field(name), bool(number & _MASKED), size


@MEMOS.remember(32768)
def words(part: bytes) -> str:
    """A field with its value in the words of ovs-ofctl; raises BadFlow."""
    known, value, mask = read_field(part)
    text = f"{known.name}={written(known, value)}"
    return text if mask is None else f"{text}/{written(known, mask)}"


def read_field(part: bytes) -> tuple[Field, int, int | None]:
    """Field, value and mask (None: all bits) of a header with its payload; raises BadFlow."""
    known, masked, size = read_header(part)
    payload = part[size:]
    if not masked:
        return known, int.from_bytes(payload), None
    half = len(payload) // 2
    return known, int.from_bytes(payload[:half]), int.from_bytes(payload[half:])


def written(known: Field, value: int) -> str:
    """A value as people write it."""
    if known.parse is ipv4:
        return str(ipaddress.IPv4Address(value))
    if known.parse is ipv6:
        return str(ipaddress.IPv6Address(value))
    if known.parse is mac:
        return value.to_bytes(6).hex(":")
    return f"{value:#x}" if value > 9 else str(value)
