"""Messages of DHCPv6 about one delegated prefix (RFC 8415), and their octets. Pure."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator

import msgspec

SOLICIT, ADVERTISE, REQUEST, RENEW, REBIND, REPLY, RELEASE = 1, 2, 3, 5, 6, 7, 8
CLIENT_PORT, SERVER_PORT = 546, 547
SERVERS = "ff02::1:2"
_CLIENT, _SERVER, _ELAPSED, _STATUS, _PD, _PREFIX = 1, 2, 8, 13, 25, 26
_LENGTH = 64
_LONGEST_S = 365 * 86400
"""In the place of infinity, which timers do not know."""


class Lease(msgspec.Struct, frozen=True):
    """A prefix with its times in seconds: until it is renewed, asked of any server, and gone."""

    cidr: str
    renew_s: float
    rebind_s: float
    valid_s: float


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message. ``hint``: a prefix that a client would like, or has. ``refused``: the server's status, if
    it is no success."""

    kind: int
    transaction: int
    client: bytes
    association: int
    server: bytes = b""
    hint: str | None = None
    lease: Lease | None = None
    refused: int = 0


def encode(message: Message, elapsed_s: float = 0.0) -> bytes:
    """A client's message."""
    asked = ipaddress.IPv6Network(message.hint or f"::/{_LENGTH}")
    prefix = struct.pack("!IIB", 0, 0, asked.prefixlen) + asked.network_address.packed
    association = struct.pack("!III", message.association, 0, 0) + _option(_PREFIX, prefix)
    parts = [
        struct.pack("!I", message.kind << 24 | message.transaction),
        _option(_CLIENT, message.client),
        *([_option(_SERVER, message.server)] if message.server else []),
        _option(_ELAPSED, struct.pack("!H", min(int(elapsed_s * 100), 0xFFFF))),
        _option(_PD, association),
    ]
    return b"".join(parts)


def decode(octets: bytes) -> Message:
    """A server's message; ValueError where it is none."""
    try:
        return _decode(octets)
    except struct.error as error:
        raise ValueError(str(error)) from None


def _decode(octets: bytes) -> Message:
    (head,) = struct.unpack_from("!I", octets)
    client = server = b""
    association, refused, lease = 0, 0, None
    for code, value in _options(octets[4:]):
        if code == _CLIENT:
            client = value
        elif code == _SERVER:
            server = value
        elif code == _STATUS:
            refused = refused or _status(value)
        elif code == _PD and not association:
            association, renew_s, rebind_s = struct.unpack_from("!III", value)
            lease, why = _lease(value[12:], renew_s, rebind_s)
            refused = refused or why
    return Message(
        kind=head >> 24,
        transaction=head & 0xFFFFFF,
        client=client,
        server=server,
        association=association,
        lease=lease,
        refused=refused,
    )


def _lease(octets: bytes, renew_s: int, rebind_s: int) -> tuple[Lease | None, int]:
    """The first prefix of which a subnet can be made: of a shorter one its first part."""
    refused = 0
    found: Lease | None = None
    for code, value in _options(octets):
        if code == _STATUS:
            refused = refused or _status(value)
        elif code == _PREFIX and found is None:
            preferred_s, valid_s, length = struct.unpack_from("!IIB", value)
            if len(value) < 25 or length > _LENGTH or not valid_s:
                continue
            network = ipaddress.IPv6Network((value[9:25], _LENGTH), strict=False)
            if not is_usable(network):
                continue
            half, most = renew_s or preferred_s // 2, rebind_s or preferred_s * 4 // 5
            times = sorted(min(one, _LONGEST_S) for one in (half, most, valid_s))
            found = Lease(str(network), *map(float, times))
    return found, refused


def is_usable(network: ipaddress.IPv6Network) -> bool:
    """Whether guests can have addresses of it."""
    strange = network.is_multicast or network.is_link_local or network.is_loopback
    return not strange and int(network.network_address) != 0


def _status(value: bytes) -> int:
    (code,) = struct.unpack_from("!H", value)
    return int(code)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("!HH", code, len(value)) + value


def _options(octets: bytes) -> Iterator[tuple[int, bytes]]:
    while octets:
        code, length = struct.unpack_from("!HH", octets)
        if len(octets) < 4 + length:
            raise ValueError("an option is cut off")
        yield code, octets[4 : 4 + length]
        octets = octets[4 + length :]
