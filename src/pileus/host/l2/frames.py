"""The facts that a frame states of itself: addresses, protocol, ports; as far as it can be read."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

_VLAN = {0x8100, 0x88A8}
_IPV4, _IPV6 = 0x0800, 0x86DD
_PORTED = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
_ICMP = {1: "icmp", 58: "ipv6-icmp"}
_IN_BETWEEN = {0, 43, 60}
_FRAGMENT = 44
_MOST_HEADERS = 8


def described(frame: bytes) -> dict[str, Any]:
    """The fields of a frame that a log has; those that are not there, or cut off, are left out."""
    try:
        kind, rest = _ethernet(frame)
        if kind == _IPV4:
            return _ipv4(rest)
        if kind == _IPV6:
            return _ipv6(rest)
    except (struct.error, ValueError, IndexError):
        return {}
    return {"ethertype": f"0x{kind:04x}"}


def _ethernet(frame: bytes) -> tuple[int, bytes]:
    at = 12
    (kind,) = struct.unpack_from("!H", frame, at)
    while kind in _VLAN:
        at += 4
        (kind,) = struct.unpack_from("!H", frame, at)
    return kind, frame[at + 2 :]


def _ipv4(packet: bytes) -> dict[str, Any]:
    length = (packet[0] & 15) * 4
    (fragment,) = struct.unpack_from("!H", packet, 6)
    found = {
        "ethertype": "IPv4",
        "source": str(ipaddress.IPv4Address(packet[12:16])),
        "destination": str(ipaddress.IPv4Address(packet[16:20])),
    }
    return found | _payload(packet[9], packet[length:], first=not fragment & 0x1FFF)


def _ipv6(packet: bytes) -> dict[str, Any]:
    found = {
        "ethertype": "IPv6",
        "source": str(ipaddress.IPv6Address(packet[8:24])),
        "destination": str(ipaddress.IPv6Address(packet[24:40])),
    }
    protocol, rest, first = packet[6], packet[40:], True
    for _ in range(_MOST_HEADERS):
        if protocol == _FRAGMENT:
            first = first and not struct.unpack_from("!H", rest, 2)[0] & 0xFFF8
            protocol, rest = rest[0], rest[8:]
        elif protocol in _IN_BETWEEN:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
        else:
            break
    return found | _payload(protocol, rest, first=first)


def _payload(protocol: int, rest: bytes, *, first: bool) -> dict[str, Any]:
    """Protocol and ports, or type and code; a later fragment has none."""
    found: dict[str, Any] = {"protocol": _PORTED.get(protocol) or _ICMP.get(protocol) or str(protocol)}
    if first and protocol in _PORTED and len(rest) >= 4:
        found["source_port"], found["destination_port"] = struct.unpack_from("!HH", rest)
    elif first and protocol in _ICMP and len(rest) >= 2:
        found["icmp_type"], found["icmp_code"] = rest[0], rest[1]
    return found
