"""Forgetting connections: what translation rules decided at a connection's first packet stays in the
kernel's table for as long as it lives, so a floating IP that goes must take its connections along, and a
port forwarding those of its ports.

Speaks ctnetlink (linux/netfilter/nfnetlink_conntrack.h) on a raw netlink socket: one dump,
then the entries to delete, some hundred to a message.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

from pileus.drivers.namespace import socket_in

_NETLINK_NETFILTER = 12
_CT_NEW, _CT_GET, _CT_DELETE = 0x100, 0x101, 0x102
_ERROR, _DONE = 2, 3
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_DESTINATION, _PROTO_NUMBER, _PROTO_DESTINATION_PORT = 2, 1, 3
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_NESTED_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_AT_ONCE = 200
_ENOENT = 2
_TIMEOUT_S = 10.0


class Listening(NamedTuple):
    """Some ports of an address to which connections were made."""

    address: str
    protocol: str
    first: int
    last: int


def forget(namespace: str | None, gone: Collection[str | Listening]) -> int:
    """Delete the connections that have one of these IPv4 addresses at any end, before or after translation,
    or were made to one of the ports. Gives back how many went; blocks. Raises OSError."""
    if not gone:
        return 0
    addresses = {ipaddress.IPv4Address(one).packed for one in gone if isinstance(one, str)}
    listening: dict[tuple[bytes, int], list[tuple[int, int]]] = {}
    for one in gone:
        if isinstance(one, Listening):
            key = ipaddress.IPv4Address(one.address).packed, _PROTOCOLS[one.protocol]
            listening.setdefault(key, []).append((one.first, one.last))

    def is_wanted(body: bytes) -> bool:
        if addresses and _ends(body) & addresses:
            return True
        address, protocol, port = _made_to(body)
        return any(first <= port <= last for first, last in listening.get((address, protocol), ()))

    with socket_in(namespace, socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.bind((0, 0))
        netlink.send(_message(_CT_GET, _REQUEST | _DUMP, 1, b""))
        found = [body for body in _dumped(netlink) if is_wanted(body)]
        return sum(
            _delete(netlink, found[start : start + _AT_ONCE]) for start in range(0, len(found), _AT_ONCE)
        )


def _delete(netlink: socket.socket, bodies: Collection[bytes]) -> int:
    """An entry is named by its tuple, and by its id lest a successor be met."""
    messages = [
        _message(_CT_DELETE, _REQUEST | _ACK, number, _pick(body, (_TUPLE_ORIG, _ZONE, _ID)))
        for number, body in enumerate(bodies, start=2)
    ]
    netlink.send(b"".join(messages))
    answers, gone = 0, 0
    while answers < len(messages):
        for kind, body in _messages(netlink.recv(1 << 20)):
            if kind == _ERROR:
                answers += 1
                number = -struct.unpack_from("=i", body)[0]
                if number not in (0, _ENOENT):  # it may have ended by itself
                    raise OSError(number, f"deleting a connection: {os.strerror(number)}")
                gone += number == 0
    return gone


def _dumped(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        for kind, body in _messages(netlink.recv(1 << 20)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", body)[0]
                raise OSError(number, f"listing connections: {os.strerror(number)}")
            if kind == _CT_NEW:
                yield body[4:]


def _message(kind: int, flags: int, sequence: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Kind, value, and the whole as it was."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        whole = data[: (length + 3) & ~3]
        yield kind & _NESTED_MASK, data[_ATTRIBUTE.size : length], whole
        data = data[len(whole) :]


def _pick(body: bytes, kinds: Collection[int]) -> bytes:
    return b"".join(whole for kind, _, whole in _attributes(body) if kind in kinds)


def _ends(body: bytes) -> set[bytes]:
    """Both addresses of both directions."""
    return {
        address
        for direction, tuple_, _ in _attributes(body)
        if direction in (_TUPLE_ORIG, _TUPLE_REPLY)
        for kind, ip, _ in _attributes(tuple_)
        if kind == _TUPLE_IP
        for _, address, _ in _attributes(ip)
    }


def _made_to(body: bytes) -> tuple[bytes, int, int]:
    """The address, protocol and port that the first packet was for."""
    address, protocol, port = b"", 0, 0
    for direction, tuple_, _ in _attributes(body):
        if direction != _TUPLE_ORIG:
            continue
        for kind, part, _ in _attributes(tuple_):
            values = {number: value for number, value, _ in _attributes(part)}
            if kind == _TUPLE_IP:
                address = values.get(_IP_DESTINATION, b"")
            elif kind == _TUPLE_PROTO:
                protocol = values.get(_PROTO_NUMBER, b"\0")[0]
                port = int.from_bytes(values.get(_PROTO_DESTINATION_PORT, b""), "big")
    return address, protocol, port
