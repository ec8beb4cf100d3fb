"""Reading a namespace: interfaces, addresses and routes by three dumps of rtnetlink (RFC 3549, rtnetlink(7)).

Apart from pyroute2, which opens an event loop for each socket and decodes every attribute: with hundreds of
namespaces that takes seconds where this takes milliseconds.
"""

from __future__ import annotations

import socket
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from pileus.drivers.netlink.links import (
    FIRST_PRIORITY,
    FIRST_TABLE,
    LAST_PRIORITY,
    LAST_TABLE,
    Hop,
    Link,
    LinkError,
    PolicyRule,
    Route,
)

T = TypeVar("T")

_GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR, _GET_RULE = 18, 22, 26, 30, 34
_ERROR, _DONE = 2, 3
_REQUEST_DUMP, _INTERRUPTED = 0x301, 0x10
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")
_RULE = struct.Struct("=BBBBBBBBI")
_FRA_PRIORITY, _FRA_MARK, _FRA_SUPPRESS, _FRA_TABLE, _FRA_MASK = 6, 10, 14, 15, 16
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_NDA_DESTINATION = 1
PROXY = 8
"""NTF_PROXY, of a neighbour for whom somebody here answers (linux/neighbour.h)."""
_ADDRESS_MAC, _NAME, _MTU, _ALIAS = 1, 3, 4, 20
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DESTINATION, _RTA_DEVICE, _RTA_GATEWAY, _RTA_HOPS, _RTA_TABLE = 1, 4, 5, 9, 15
_TYPE_MASK = 0x3FFF
_UP = 1
MAIN_TABLE, _UNICAST = 254, 1
SET_BY_SOMEBODY = 4
"""RTPROT_STATIC, what routes of ours are marked with (linux/rtnetlink.h)."""
_BUFFER = 1 << 18
_TIMEOUT_S = 10.0
_TRIES = 10


def dump_links() -> dict[str, Link]:
    """The interfaces of the namespace that the calling thread is in. Raises LinkError."""
    with _socket() as netlink:
        return _repeat_interrupted(lambda: _links(netlink))


def dump_links_and_routes() -> tuple[dict[str, Link], tuple[Route, ...]]:
    """Interfaces with the neighbours that they answer for, and the routes of the main table and of ours that
    somebody set. Raises LinkError."""
    with _socket() as netlink:
        links = _repeat_interrupted(lambda: _links(netlink))
        proxied = _repeat_interrupted(lambda: _proxied(netlink))
        links = {
            name: msgspec.structs.replace(link, proxied=tuple(sorted(proxied[link.index])))
            if link.index in proxied
            else link
            for name, link in links.items()
        }
        names = {link.index: name for name, link in links.items()}
        return links, _repeat_interrupted(lambda: tuple(_routes(netlink, names)))


def dump_rules() -> tuple[PolicyRule, ...]:
    """The rules that are ours: each that holds for IPv4 and IPv6, or IPv4 where there is no IPv6. One of a
    single kind of address is not as it shall be, and left out. Raises LinkError."""
    with _socket() as netlink:
        old = _repeat_interrupted(lambda: set(_rules(netlink, socket.AF_INET)))
        new = _repeat_interrupted(lambda: set(_rules(netlink, socket.AF_INET6)))
    return tuple(sorted(old & new))


class _Interrupted(Exception):
    """Something changed while it was being listed."""


def _socket() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    netlink.settimeout(_TIMEOUT_S)
    netlink.bind((0, 0))
    return netlink


def _repeat_interrupted(read: Callable[[], T]) -> T:
    for _ in range(_TRIES):
        try:
            return read()
        except _Interrupted:
            continue
        except OSError as error:
            raise LinkError(f"reading interfaces: {error}") from error
    raise LinkError("reading interfaces: they never stop changing")


def _links(netlink: socket.socket) -> dict[str, Link]:
    addresses: dict[int, list[str]] = defaultdict(list)
    for body in _dump(netlink, _GET_ADDRESS, bytes(_ADDRESS.size)):
        family, length, _, _, index = _ADDRESS.unpack_from(body)
        found = _attributes(body[_ADDRESS.size :])
        packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if packed is not None and family in (socket.AF_INET, socket.AF_INET6):
            addresses[index].append(f"{socket.inet_ntop(family, packed)}/{length}")
    links = {}
    for body in _dump(netlink, _GET_LINK, bytes(_LINK.size)):
        _, _, _, index, flags, _ = _LINK.unpack_from(body)
        found = _attributes(body[_LINK.size :])
        name = _text(found[_NAME])
        links[name] = Link(
            name=name,
            mac=found.get(_ADDRESS_MAC, b"").hex(":"),
            mtu=_number(found.get(_MTU, bytes(4))),
            label=_text(found.get(_ALIAS, b"")),
            up=bool(flags & _UP),
            addresses=tuple(sorted(addresses[index])),
            index=index,
        )
    return links


def _proxied(netlink: socket.socket) -> dict[int, list[str]]:
    """The IPv6 neighbours for whom somebody answers, by the interface."""
    found: dict[int, list[str]] = defaultdict(list)
    asked = _NEIGHBOUR.pack(socket.AF_INET6, 0, 0, 0, 0, PROXY, 0)
    for body in _dump(netlink, _GET_NEIGHBOUR, asked):
        family, _, _, index, _, flags, _ = _NEIGHBOUR.unpack_from(body)
        packed = _attributes(body[_NEIGHBOUR.size :]).get(_NDA_DESTINATION)
        if family == socket.AF_INET6 and flags & PROXY and packed is not None:
            found[index].append(socket.inet_ntop(family, packed))
    return found


def _routes(netlink: socket.socket, names: dict[int, str]) -> Iterator[Route]:
    for body in _dump(netlink, _GET_ROUTE, bytes(_ROUTE.size)):
        family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
        if (protocol, kind) != (SET_BY_SOMEBODY, _UNICAST):
            continue
        found = _attributes(body[_ROUTE.size :])
        table = _number(found[_RTA_TABLE]) if _RTA_TABLE in found else table
        if table != MAIN_TABLE and not FIRST_TABLE <= table <= LAST_TABLE:
            continue
        everything = bytes(4 if family == socket.AF_INET else 16)
        destination = socket.inet_ntop(family, found.get(_RTA_DESTINATION, everything))
        gateway = found.get(_RTA_GATEWAY)
        device = found.get(_RTA_DEVICE)
        yield Route(
            None,
            f"{destination}/{length}",
            socket.inet_ntop(family, gateway) if gateway is not None else None,
            names.get(_number(device)) if device is not None else None,
            0 if table == MAIN_TABLE else table,
            tuple(sorted(_hops(found.get(_RTA_HOPS, b""), names))),
        )


def _hops(data: bytes, names: dict[int, str]) -> Iterator[Hop]:
    while len(data) >= _HOP.size:
        length, _, _, index = _HOP.unpack_from(data)
        if length < _HOP.size:
            return
        gateway = _attributes(data[_HOP.size : length]).get(_RTA_GATEWAY)
        if gateway is not None:
            family = socket.AF_INET if len(gateway) == 4 else socket.AF_INET6
            yield Hop(socket.inet_ntop(family, gateway), names.get(index, ""))
        data = data[(length + 3) & ~3 :]


def _rules(netlink: socket.socket, family: int) -> Iterator[PolicyRule]:
    for body in _dump(netlink, _GET_RULE, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
        # A kernel without such rules for a family answers with those of all: they say whose they are.
        own, _, _, _, table, *_ = _RULE.unpack_from(body)
        found = _attributes(body[_RULE.size :])
        priority = _number(found[_FRA_PRIORITY]) if _FRA_PRIORITY in found else 0
        if own != family or not FIRST_PRIORITY <= priority <= LAST_PRIORITY:
            continue
        table = _number(found[_FRA_TABLE]) if _FRA_TABLE in found else table
        mark = _number(found[_FRA_MARK]) if _FRA_MARK in found else 0
        yield PolicyRule(
            priority,
            0 if table == MAIN_TABLE else table,
            mark,
            _number(found[_FRA_MASK]) if _FRA_MASK in found and mark else 0,
            _FRA_SUPPRESS in found and _number(found[_FRA_SUPPRESS]) == 0,
        )


def _dump(netlink: socket.socket, kind: int, body: bytes) -> Iterator[bytes]:
    """The bodies of what the kernel lists."""
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
    interrupted = False
    while True:
        data = netlink.recv(_BUFFER)
        while len(data) >= _HEADER.size:
            length, answer, flags, _, _ = _HEADER.unpack_from(data)
            interrupted |= bool(flags & _INTERRUPTED)
            if answer == _DONE:
                if interrupted:
                    raise _Interrupted
                return
            if answer == _ERROR:
                raise OSError(-struct.unpack_from("=i", data, _HEADER.size)[0], "the kernel refused to list")
            yield data[_HEADER.size : length]
            data = data[(length + 3) & ~3 :]


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _number(data: bytes) -> int:
    number: int = struct.unpack("=I", data)[0]
    return number
