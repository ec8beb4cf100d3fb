"""Packets that tell the neighbours whose an address is: ARP (RFC 826, 5227) and ICMPv6 (RFC 4861)."""

from __future__ import annotations

import ipaddress
import socket
import struct

_ARP, _IPV6 = 0x0806, 0x86DD
_EVERYBODY = b"\xff" * 6
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_NEIGHBOUR_ADVERTISEMENT = 136
_ROUTER_AND_OVERRIDE = 0xA0000000
_OVERRIDE = 0x20000000
_TARGET_LINK_ADDRESS = 2


def announcement(mac: str, address: str, *, router: bool = False) -> bytes:
    """The frame in which the interface ``mac`` claims ``address``."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    ip = ipaddress.ip_address(address)
    if ip.version == 4:
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + hardware + ip.packed + bytes(6) + ip.packed
        return _EVERYBODY + hardware + struct.pack("!H", _ARP) + body
    body = struct.pack("!I", _ROUTER_AND_OVERRIDE if router else _OVERRIDE) + ip.packed
    body += struct.pack("!BB", _TARGET_LINK_ADDRESS, 1) + hardware
    packet = icmpv6_packet(ip.packed, _ALL_NODES, _NEIGHBOUR_ADVERTISEMENT, body)
    return _ALL_NODES_MAC + hardware + struct.pack("!H", _IPV6) + packet


def icmpv6_packet(source: bytes, destination: bytes, kind: int, body: bytes) -> bytes:
    """An IPv6 packet of the link (hop limit 255) with an ICMPv6 message and its checksum (RFC 4443)."""
    message = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = source + destination + struct.pack("!II", len(message), socket.IPPROTO_ICMPV6)
    message = message[:2] + struct.pack("!H", _checksum(pseudo + message)) + message[4:]
    head = struct.pack("!IHBB", 0x60000000, len(message), socket.IPPROTO_ICMPV6, 255)
    return head + source + destination + message


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
