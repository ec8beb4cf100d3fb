"""Frames that a router itself sends: ICMP errors (RFC 792, RFC 4443), advertisements of itself (RFC 4861),
and the fragments of a packet that is too long for a link. Pure.

Errors are not sent to broadcasts, to errors, to later fragments, and to what is no packet (RFC 1122, 3.2.2;
RFC 4443, 2.4): then there is None.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable

import msgspec

TIME_EXCEEDED, TOO_BIG = "time exceeded", "too big"

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_TYPE_IPV4, _TYPE_IPV6 = 0x0800, 0x86DD
_ICMP, _ICMPV6 = 1, 58
_TTL, _NEIGHBOUR_HOPS = 64, 255
_LONGEST_V4, _LONGEST_V6 = 576, 1280
"""Bytes of an error's packet (RFC 1812, 4.3.2.3; RFC 4443, 2.4)."""
_ERRORS_V4 = frozenset((3, 4, 5, 11, 12))
_FIRST_INFORMATION, _REDIRECT = 128, 137
_DONT_FRAGMENT, _MORE_FRAGMENTS, _OFFSET = 0x4000, 0x2000, 0x1FFF
_CODES = {
    (TIME_EXCEEDED, _TYPE_IPV4): (11, 0),
    (TIME_EXCEEDED, _TYPE_IPV6): (3, 0),
    (TOO_BIG, _TYPE_IPV4): (3, 4),
    (TOO_BIG, _TYPE_IPV6): (2, 0),
}
_ADVERTISEMENT, _FROM_ROUTER, _SOLICITED, _OVERRIDE = 136, 1 << 31, 1 << 30, 1 << 29
_TARGET_LINK_ADDRESS = 2
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_UNSPECIFIED = bytes(16)


class Speaker(msgspec.Struct, frozen=True):
    """A hardware address and one of IP, both packed."""

    mac: bytes
    address: bytes


class Origin(msgspec.Struct, frozen=True):
    """With what a router speaks on a network; each family may have a port of its own."""

    ipv4: Speaker | None = None
    ipv6: Speaker | None = None


def origin(ports: Iterable[tuple[str, Iterable[str]]]) -> Origin:
    """The first address of each family among ports (hardware address, addresses); of IPv6 one that is heard
    beyond the link, if there is one."""
    known = [
        (ipaddress.ip_address(address), bytes.fromhex(mac.replace(":", "")))
        for mac, addresses in ports
        for address in addresses
    ]
    known.sort(key=lambda one: one[0].is_link_local)
    found = {
        version: next((Speaker(mac, one.packed) for one, mac in known if one.version == version), None)
        for version in (4, 6)
    }
    return Origin(found[4], found[6])


def error(frame: bytes, kind: str, by: Origin, mtu: int = 0) -> bytes | None:
    """The error that a router answers a frame with."""
    if len(frame) < _ETHERNET.size:
        return None
    _, sender, family = _ETHERNET.unpack_from(frame)
    if sender[0] & 1 or (kind, family) not in _CODES:
        return None
    speaker = by.ipv4 if family == _TYPE_IPV4 else by.ipv6
    if speaker is None:
        return None
    # Of IPv4 a number of 16 bits, after as many that are unused (RFC 1191).
    parts = struct.pack("!BB", *_CODES[kind, family]), struct.pack("!I", mtu)
    make = _error_v4 if family == _TYPE_IPV4 else _error_v6
    answer = make(frame[_ETHERNET.size :], *parts, speaker.address, to_many=kind == TOO_BIG)
    return None if answer is None else _ETHERNET.pack(sender, speaker.mac, family) + answer


def _error_v4(packet: bytes, head: bytes, rest: bytes, address: bytes, *, to_many: bool) -> bytes | None:
    size = _size_v4(packet)
    if size is None:
        return None
    _, _, length, _, fragment, _, protocol, _, source, destination = _IPV4.unpack_from(packet)
    if fragment & _OFFSET or _is_many_v4(source) or _is_many_v4(destination):
        return None
    if protocol == _ICMP and (len(packet) <= size or packet[size] in _ERRORS_V4):
        return None
    quoted = packet[: min(length, len(packet), _LONGEST_V4 - _IPV4.size - 8)]
    message = head + b"\0\0" + rest + quoted
    message = message[:2] + checksum(message) + message[4:]
    return _ipv4((0x45, 0xC0, _IPV4.size + len(message), 0, 0, _TTL, _ICMP), address, source) + message


def _error_v6(packet: bytes, head: bytes, rest: bytes, address: bytes, *, to_many: bool) -> bytes | None:
    if len(packet) < _IPV6.size or packet[0] >> 4 != 6:
        return None
    _, length, protocol, _, source, destination = _IPV6.unpack_from(packet)
    if source[0] == 0xFF or source == _UNSPECIFIED or (destination[0] == 0xFF and not to_many):
        return None
    if protocol == _ICMPV6 and (
        len(packet) <= _IPV6.size
        or packet[_IPV6.size] < _FIRST_INFORMATION
        or packet[_IPV6.size] == _REDIRECT
    ):
        return None
    quoted = packet[: min(_IPV6.size + length, len(packet), _LONGEST_V6 - _IPV6.size - 8)]
    return _ipv6(head + b"\0\0" + rest + quoted, address, source, _TTL)


def fragments(frame: bytes, mtu: int) -> list[bytes]:
    """The frames by which a packet of IPv4 goes over a link of a smaller MTU (RFC 791, 3.2); none of one that
    may not be taken apart. Options are left out of all but the first."""
    packet = frame[_ETHERNET.size :]
    size = _size_v4(packet)
    if size is None or _ETHERNET.unpack_from(frame)[2] != _TYPE_IPV4:
        return []
    version, tos, length, number, fragment, ttl, protocol, _, source, to = _IPV4.unpack_from(packet)
    if fragment & _DONT_FRAGMENT or not size < length <= len(packet) or mtu < size + 8:
        return []
    data, offset = packet[size:length], fragment & _OFFSET
    found: list[bytes] = []
    while data:
        options = packet[_IPV4.size : size] if not found else b""
        header = _IPV4.size + len(options)
        room = (mtu - header) // 8 * 8 if len(data) > mtu - header else len(data)
        part, data = data[:room], data[room:]
        more = _MORE_FRAGMENTS if data else fragment & _MORE_FRAGMENTS
        words = version & 0xF0 | header // 4
        fields = (words, tos, header + len(part), number, more | offset, ttl, protocol)
        found.append(frame[: _ETHERNET.size] + _ipv4(fields, source, to, options) + part)
        offset += room // 8
    return found


def may_be_taken_apart(frame: bytes) -> bool:
    """Whether a router may make fragments of a frame's packet."""
    if len(frame) < _ETHERNET.size + _IPV4.size or _ETHERNET.unpack_from(frame)[2] != _TYPE_IPV4:
        return False
    return not _IPV4.unpack_from(frame, _ETHERNET.size)[4] & _DONT_FRAGMENT


def neighbour_advertisement(frame: bytes, mac: bytes) -> bytes | None:
    """The answer to a neighbour solicitation for an address of whoever has ``mac`` (RFC 4861, 7.2.4); to
    everybody on the link where it came from no address, as of one who asks whether the address is free."""
    if len(frame) < _ETHERNET.size + _IPV6.size + 24:
        return None
    _, sender, _ = _ETHERNET.unpack_from(frame)
    source = _IPV6.unpack_from(frame, _ETHERNET.size)[4]
    asked = source != _UNSPECIFIED
    flags = _FROM_ROUTER | _OVERRIDE | (_SOLICITED if asked else 0)
    message = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, flags) + target(frame)
    message += bytes([_TARGET_LINK_ADDRESS, 1]) + mac
    packet = _ipv6(message, target(frame), source if asked else _ALL_NODES, _NEIGHBOUR_HOPS)
    return _ETHERNET.pack(sender, mac, _TYPE_IPV6) + packet


def target(frame: bytes) -> bytes:
    """The address that a neighbour solicitation asks for."""
    return frame[_ETHERNET.size + _IPV6.size + 8 :][:16]


def of_link(message: bytes, mac: bytes, source: bytes, to: bytes, to_mac: bytes) -> bytes:
    """The frame of an ICMPv6 message, whose checksum is not made yet, that never leaves its link."""
    return _ETHERNET.pack(to_mac, mac, _TYPE_IPV6) + _ipv6(message, source, to, _NEIGHBOUR_HOPS)


def _size_v4(packet: bytes) -> int | None:
    """The bytes of an IPv4 header; None: it is none."""
    if len(packet) < _IPV4.size:
        return None
    size = (packet[0] & 15) * 4
    return size if packet[0] >> 4 == 4 and _IPV4.size <= size <= len(packet) else None


def _ipv4(fields: tuple[int, ...], source: bytes, to: bytes, options: bytes = b"") -> bytes:
    head = _IPV4.pack(*fields, 0, source, to) + options
    return head[:10] + checksum(head) + head[12:]


def _ipv6(message: bytes, source: bytes, to: bytes, hops: int) -> bytes:
    pseudo = source + to + struct.pack("!II", len(message), _ICMPV6)
    message = message[:2] + checksum(pseudo + message) + message[4:]
    return _IPV6.pack(6 << 28, len(message), _ICMPV6, hops, source, to) + message


def _is_many_v4(address: bytes) -> bool:
    one = ipaddress.IPv4Address(address)
    return one.is_multicast or one.is_unspecified or one.is_loopback or address == b"\xff" * 4


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
