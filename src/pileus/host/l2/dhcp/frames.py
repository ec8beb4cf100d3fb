"""Frames of UDP: the questions of guests, and the answers to them (RFC 768, 791, 8200)."""

from __future__ import annotations

import ipaddress
import struct

import msgspec

_ETHERNET = struct.Struct("!6s6sH")
_IPV4, _IPV6, _UDP = struct.Struct("!BBHHHBBH4s4s"), struct.Struct("!IHBB16s16s"), struct.Struct("!HHHH")
_TYPE_IPV4, _TYPE_IPV6, _PROTOCOL, _TTL = 0x0800, 0x86DD, 17, 64
_OFFSET, _MORE = 0x1FFF, 0x2000


class Question(msgspec.Struct, frozen=True):
    """The datagram in a frame, and its sender."""

    mac: bytes
    source: bytes
    payload: bytes


def read_v4(frame: bytes) -> Question | None:
    """A datagram of IPv4 that is whole; None: the frame is something else."""
    if len(frame) < _ETHERNET.size + _IPV4.size + _UDP.size:
        return None
    _, mac, kind = _ETHERNET.unpack_from(frame)
    version, _, length, _, fragment, _, protocol, _, source, _ = _IPV4.unpack_from(frame, _ETHERNET.size)
    size = (version & 15) * 4
    if kind != _TYPE_IPV4 or version >> 4 != 4 or size < _IPV4.size or protocol != _PROTOCOL:
        return None
    if fragment & (_OFFSET | _MORE) or len(frame) < _ETHERNET.size + length or length < size + _UDP.size:
        return None
    return _datagram(mac, source, frame[_ETHERNET.size + size : _ETHERNET.size + length])


def read_v6(frame: bytes) -> Question | None:
    """A datagram of IPv6 that is whole and without further headers; None: the frame is something else."""
    if len(frame) < _ETHERNET.size + _IPV6.size + _UDP.size:
        return None
    _, mac, kind = _ETHERNET.unpack_from(frame)
    first, length, following, _, source, _ = _IPV6.unpack_from(frame, _ETHERNET.size)
    start = _ETHERNET.size + _IPV6.size
    if kind != _TYPE_IPV6 or first >> 28 != 6 or following != _PROTOCOL or len(frame) < start + length:
        return None
    return _datagram(mac, source, frame[start : start + length])


def _datagram(mac: bytes, source: bytes, data: bytes) -> Question | None:
    if len(data) < _UDP.size:
        return None
    length = _UDP.unpack_from(data)[2]
    if not _UDP.size <= length <= len(data):
        return None
    return Question(mac, source, data[_UDP.size : length])


def write_v4(macs: tuple[bytes, bytes], addresses: tuple[str, str], payload: bytes) -> bytes:
    """An answer of a DHCP server; both pairs are receiver and sender."""
    receiver, sender = (ipaddress.IPv4Address(one).packed for one in addresses)
    length = _UDP.size + len(payload)
    pseudo = sender + receiver + struct.pack("!HH", _PROTOCOL, length)
    datagram = _udp(67, 68, pseudo, payload)
    head = _IPV4.pack(0x45, 0xC0, _IPV4.size + length, 0, 0, _TTL, _PROTOCOL, 0, sender, receiver)
    head = head[:10] + checksum(head) + head[12:]
    return _ETHERNET.pack(*macs, _TYPE_IPV4) + head + datagram


def write_v6(macs: tuple[bytes, bytes], addresses: tuple[str, str], payload: bytes) -> bytes:
    """An answer of a DHCPv6 server; both pairs are receiver and sender."""
    receiver, sender = (ipaddress.IPv6Address(one).packed for one in addresses)
    length = _UDP.size + len(payload)
    datagram = _udp(547, 546, sender + receiver + struct.pack("!II", length, _PROTOCOL), payload)
    head = _IPV6.pack(6 << 28, length, _PROTOCOL, _TTL, sender, receiver)
    return _ETHERNET.pack(*macs, _TYPE_IPV6) + head + datagram


def _udp(source: int, destination: int, pseudo: bytes, payload: bytes) -> bytes:
    head = _UDP.pack(source, destination, _UDP.size + len(payload), 0)
    summed = checksum(pseudo + head + payload)
    # A sum of 0 would mean that there is none.
    return head[:6] + (b"\xff\xff" if summed == b"\0\0" else summed) + payload


def checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def mac_bytes(text: str) -> bytes:
    """A hardware address as it stands in a frame."""
    return bytes.fromhex(text.replace(":", ""))
